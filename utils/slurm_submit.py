"""How slurm.py hands a job to SLURM, and finds the one that an earlier slurm.py left behind.

Each submission has a folder q/LOG.TIME.PROCESS beside its log: spec.json (what is run), job.sh (what SLURM runs),
id (the job's number, as sbatch has printed it), exit.NUMBER (how each element ended). It goes when all is well.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jobs
import slurm_queue
from jobs import Options, WrongUsage

# Variables that a job gets whatever sbatch's --export says: names, and beginnings of names.
NEEDED = ("PATH", "LD_LIBRARY_PATH", "LANG")
NEEDED_FAMILIES = ("LC_", "PYTHON", "KDASR_")
RUNNER = Path(__file__).resolve().with_name("slurm_job.py")
TRIES, BETWEEN = 8, 15.0  # attempts at a controller that does not answer, and seconds between them


def specification(options: Options) -> dict[str, object]:
    """All that the job has to know."""
    needed = {
        name: value
        for name, value in slurm_queue.environment().items()
        if name in NEEDED or name.startswith(NEEDED_FAMILIES)
    }
    return {"options": options._asdict(), "directory": str(Path.cwd()), "environment": needed}


def place_of(options: Options) -> tuple[Path, str]:
    """The directory of this log's submissions, and what their folders' names begin with."""
    fixed = options.log.split(options.job_name)[0] if options.job_name else options.log
    parent = fixed.rpartition("/")[0]
    name = options.log[len(parent) :].strip("/").replace("/", "_")
    return Path.cwd() / parent / "q", f"{name}."


def job_of(folder: Path) -> str:
    """The number of the job that was submitted from this folder; empty when there was none."""
    with contextlib.suppress(OSError):
        return (folder / "id").read_text().strip().split(";")[0]
    return ""


def left_behind(options: Options, spec: dict[str, object]) -> Path | None:
    """The folder of a job that a killed slurm.py has left and that does just this; what has ended is removed."""
    place, prefix = place_of(options)
    for folder in sorted(place.iterdir()) if place.is_dir() else []:
        if not folder.name.startswith(prefix) or not (folder / "spec.json").exists():
            continue
        old = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        old["environment"] = spec["environment"]
        if (old["directory"], old["options"]["log"]) != (spec["directory"], options.log):
            continue  # another log, whose name begins in the same way
        job = job_of(folder)
        done = slurm_queue.ordered(["squeue", "--noheader", f"--jobs={job}", "-o", "%o"]) if job else None
        if job and (done is None or (done.returncode and "Invalid job id" not in done.stderr)):
            raise WrongUsage(
                f"SLURM does not say whether job {job} of an earlier run still works ({folder}); try again"
            )
        # job numbers start again from 1 when a cluster is set up again: the script identifies ours
        if done is None or str(folder / "job.sh") not in done.stdout.splitlines():
            shutil.rmtree(folder, ignore_errors=True)
            continue
        if old != json.loads(json.dumps(spec)) or (folder / "cancelled").exists() or detached(options):
            raise WrongUsage(
                f"{options.log}: job {job} of an earlier run still writes it; wait for its end (squeue -j {job}), "
                f"or end it (scancel {job}), and try again"
            )
        jobs.say(f"job {job} of an earlier run still does this; waiting for it (to begin anew: scancel {job})")
        return folder
    return None


def detached(options: Options) -> bool:
    """Whether no process is to wait for the job."""
    return options.given.get("detach", "0") != "0"


def submit(options: Options, spec: dict[str, object], sbatch: Sequence[str], conf: str, caught: list[int]) -> Path:
    """Make a folder, submit the job, and return the folder, whose file id has the job's number."""
    place, prefix = place_of(options)
    if "\\" in str(Path.cwd() / options.log):
        raise WrongUsage(f"{Path.cwd() / options.log}: sbatch takes no log with a backslash in its name")
    folder = place / f"{prefix}{time.strftime('%Y%m%d-%H%M%S')}.{os.getpid()}"
    folder.mkdir(parents=True)
    for number in range(options.first, options.last + 1):
        own = Path(options.words(options.log, number))
        own.parent.mkdir(parents=True, exist_ok=True)
        own.unlink(missing_ok=True)  # an earlier run's is not to be taken for this one's
    (folder / "spec.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")
    python = shlex.join([sys.executable, "-ES", "-X", "utf8", str(RUNNER), str(folder)])
    (folder / "job.sh").write_text(f"#!/bin/sh\nexec {python}\n", encoding="utf-8", errors="surrogateescape")
    output, array = options.log.replace("%", "%%"), []
    if options.job_name:
        output = output.replace(options.job_name, "%a")
        limit = f"%{options.max_jobs_run}" if options.max_jobs_run else ""
        array = [f"--array={options.first}-{options.last}{limit}"]
    name = Path(options.pattern()).name.removesuffix(".log").replace("*", "").strip(".") or "job"
    output = str(Path(str(Path.cwd()).replace("%", "%%")) / output)
    after = options.given.get("after")
    # a job whose condition can never be met would wait for ever
    order = [f"--dependency=afterok:{after}", "--kill-on-invalid-dep=yes"] if after else []
    # what a site gives goes before what this program depends on: the last one counts
    words = [sbatch[0], f"--job-name={name}", *sbatch[1:], *array, *order]
    words += ["--parsable", f"--output={output}", f"--error={output}", "--open-mode=append", str(folder / "job.sh")]
    for attempt in range(1, TRIES + 1):
        complaint = handed_over(words, folder / "id")
        if not complaint:
            return folder
        silent = "Unable to contact slurm controller" in complaint
        if not silent or attempt == TRIES or not slurm_queue.slept(BETWEEN, caught, 0):
            break
        jobs.say(f"SLURM's controller does not answer; attempt {attempt + 1} of {TRIES} to submit")
    shutil.rmtree(folder, ignore_errors=True)
    hint = " (more elements than the cluster's MaxArraySize?)" if "array specification" in complaint else ""
    raise WrongUsage(f"SLURM does not take the job{hint}: {complaint}\n({conf} makes it: {jobs.shown(words[:-5])})")


def handed_over(words: Sequence[str], id_file: Path) -> str:
    """Call sbatch, which writes the job's number into a file; its complaint, empty when it has taken the job."""
    try:
        with id_file.open("w") as stream:
            # in a process group of its own: Ctrl-C is not to end it before the number is known
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.PIPE, text=True, errors="replace",
                process_group=0, env=slurm_queue.environment(), check=False,
            )  # fmt: skip
    except FileNotFoundError:
        raise WrongUsage(
            f"{words[0]}: not found; slurm.py works where SLURM's commands are, run.py everywhere"
        ) from None
    if done.returncode == 0:
        return ""
    return done.stderr.strip() or f"{words[0]}: status {done.returncode}"
