"""The jobs of a recipe's stages, from their folders and from SLURM.

    EXP/jobs/3_teacher.log                       what the stage says
    EXP/jobs/q/3_teacher.log.TIME.PROCESS/       made by utils/slurm.py for each submission
        spec.json  what is run, where, after which job
        job.sh     what SLURM runs; its path tells our jobs from others, numbers of jobs begin anew with a cluster
        id         the job's number
        exit.1     how it ended: {"code": status, or null where SLURM wanted it to stop, "host": node, ...}

An exit file stays as long as the folder does, SLURM forgets a job minutes after its end. No accounting database is
needed.
"""

from __future__ import annotations

import getpass
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import open_now, read_json

LONGEST = 1 << 20  # bytes of an exit file or a job's number that are read
WAIT = 30.0  # seconds that SLURM's commands may take
ENDED = ("done", "failed", "cancelled", "not run", "lost")
SPENT = ("COMPLETED", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT", "DEADLINE", "BOOT_FAIL", "PREEMPTED")
WORDS = {
    "TIMEOUT": "reached its time limit",
    "DEADLINE": "reached its deadline",
    "NODE_FAIL": "lost its node",
    "BOOT_FAIL": "found no node that boots",
    "OUT_OF_MEMORY": "needed more memory than it had asked for",
    "PREEMPTED": "was preempted",
}


@dataclass(frozen=True)
class Told:
    """What squeue says about a job: state, why it waits, its node, and its time so far as squeue prints it."""

    state: str
    reason: str
    node: str
    elapsed: str


@dataclass(frozen=True)
class Stage:
    """A stage that was submitted.

    `state` is waiting, running, done, failed, cancelled, not run (a stage before it has failed), or lost (it ended, and
    nobody knows how); `detail` says more in a few words.
    """

    number: int
    name: str
    job: str
    folder: Path
    script: str
    directory: Path
    log: Path
    state: str
    detail: str

    @property
    def live(self) -> bool:
        """Whether the job waits or runs."""
        return self.state not in ENDED


def chain(exp: str | Path) -> list[Stage]:
    """The stages submitted for `exp`, the last submission of each, by number; UserError if there are none."""
    folders = submissions(exp)
    if not folders:
        raise UserError(f"{exp}: no stage was submitted from here; ./run.sh --submit slurm does that")
    return follow(folders, ask())


def submissions(exp: str | Path) -> list[Path]:
    """The folders of the stages submitted for `exp`, the last one of each, by number."""
    newest: dict[str, Path] = {}
    for spec in Path(exp, "jobs", "q").glob("*/spec.json"):
        log = spec.parent.name.rsplit(".", 2)[0]
        if log not in newest or newest[log].name < spec.parent.name:
            newest[log] = spec.parent
    return sorted(newest.values(), key=lambda folder: int(folder.name.split("_")[0]))


def follow(folders: list[Path], told: Mapping[str, Told]) -> list[Stage]:
    """Stages of these folders, in the order of the chain, so that stages after a failure are recognised."""
    stages: list[Stage] = []
    for folder in folders:
        log, after, directory = _spec(folder / "spec.json")
        job = _line(folder / "id").split(";")[0]
        before = next((stage for stage in stages if stage.job == after), None)
        script = str(log.parent / "q" / folder.name / "job.sh")  # as utils/slurm.py has named it to sbatch
        state, detail = standing(folder, told.get(script), before)
        digits, _, name = log.stem.partition("_")
        number = int(digits) if re.fullmatch("[0-9]{1,9}", digits) else 0
        stages.append(Stage(number, name, job, folder, script, directory, log, state, detail))
    return stages


def standing(folder: Path, told: Told | None, before: Stage | None) -> tuple[str, str]:
    """State and detail of one stage, from its exit file, what SLURM says, and the stage that it waited for."""
    left = _exit(folder)
    if told and told.state not in SPENT and told.state != "CANCELLED":
        if told.state == "PENDING":
            waits_for = f"for {before.name}" if before and before.live and "Dependency" in told.reason else told.reason
            return "waiting", waits_for
        return "running", f"{told.elapsed} on {told.node}" if told.node else told.state.lower()
    if left and left["code"] is not None:
        where = f"on {left['host']}"
        return ("done", where) if left["code"] == 0 else ("failed", f"status {left['code']} {where}")
    if (folder / "cancelled").exists():
        return "cancelled", "by kdasr jobs cancel"
    if not left and before and before.state in ENDED and before.state != "done":
        return "not run", f"{before.name} has not ended well"
    if told and told.state == "COMPLETED":  # the exit file may take a while to be seen here
        return "done", ""
    if told and told.state in WORDS:
        return "failed", WORDS[told.state] + (f" ({told.node})" if told.node else "")
    if left or (told and told.state == "CANCELLED"):
        return "cancelled", "by scancel, or stopped by SLURM (time limit?)" if left else "by scancel"
    return "lost", "it left no exit status: killed, or its node died"


def ask() -> dict[str, Told]:
    """What SLURM knows of this user's jobs, by the path of their scripts; UserError where it does not answer."""
    found = {}
    for row in rows("%o|%T|%r|%N|%M", "--states=all"):
        script, *told = row.rsplit("|", 4)
        if len(told) == 4:
            found[script] = Told(*told)
    return found


def rows(columns: str, *options: str) -> list[str]:
    """Lines of squeue for this user's jobs; UserError where it does not answer."""
    done = command("squeue", "--noheader", f"--user={getpass.getuser()}", f"--format={columns}", *options)
    if done.returncode:
        raise UserError(f"SLURM does not answer ({done.stderr.strip() or done.stdout.strip()}); try again later")
    return done.stdout.splitlines()


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """Call one of SLURM's commands; UserError where it is not there or takes too long."""
    try:
        return subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=WAIT, check=False)
    except FileNotFoundError:
        raise UserError(f"{words[0]}: not found; call this where SLURM's commands are") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{words[0]}: SLURM does not answer within {WAIT:.0f} s; try again later") from None


def _spec(path: Path) -> tuple[Path, str | None, Path]:
    """Log, the job that it waits for, and directory of a submitted stage; UserError if its record is damaged."""
    spec = read_json(path)
    try:
        directory = Path(spec["directory"])
        after = spec["options"]["given"].get("after")
        return directory / spec["options"]["log"], after, directory
    except (KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: is no record of a submitted stage; remove {path.parent}") from None


def _line(path: Path) -> str:
    if not path.is_file():
        return ""
    with open_now(path) as stream:
        return stream.read(LONGEST).decode(errors="replace").strip()


def _exit(folder: Path) -> dict[str, str | int | None] | None:
    """The exit file's fields; None where there is none."""
    text = _line(folder / "exit.1")
    try:
        left = json.loads(text) if text else None
    except (ValueError, RecursionError):
        left = None
    whole = isinstance(left, dict) and {"code", "host"} <= left.keys() and isinstance(left["code"], int | None)
    return left if whole else None
