#!/usr/bin/env -S python3 -ES
"""Run a command, or an array of them, on this machine, each with its output in a log (Kaldi's run.pl).

The command is started as it stands, word for word, without a shell: spaces, quotes, `$` and
backquotes in an argument reach the program unchanged, and `|`, `>` or `&&` are plain words
(write `bash -c '...'` where a shell is wanted).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import IO, NamedTuple

import jobs
from jobs import Options, WrongUsage

USAGE = """\
Usage: run.py [options] [JOB=1:N] LOG COMMAND [ARGUMENT...]

  run.py exp/log/train.log kdasr train --config conf/teacher.yaml ...
  run.py JOB=1:8 dump/log/feats.JOB.log kdasr feats --job JOB/8 --data data/train --out dump/fbank/train
  run.py --max-jobs-run 2 --num-threads 4 JOB=1:8 exp/log/x.JOB.log program JOB
  run.py --gpu 1 JOB=1:4 exp/log/nbest.JOB.log kdasr nbest --job JOB/4 ...

JOB (any name) is replaced by the job's number in the log's name and in the arguments. Exit status:
0, 1 when a job failed (the others that run are finished, no further one is started), 2 for wrong usage.

Options, those of slurm.py, so that cmd.sh can name either:
  --max-jobs-run N  jobs that run at once (default: the processors, or what the GPUs allow)
  --num-threads N   threads a job: sets OMP_NUM_THREADS (default: 1)
  --gpu N           GPUs a job: each job gets its own, by CUDA_VISIBLE_DEVICES; it waits for a free one (default: 0)
  --mem X           memory a job, as in 8G: nothing is enforced on this machine
  --time T          time limit: nothing is enforced on this machine

With KDASR_RECIPE_PID=PID in the environment (the recipes set it), the jobs end when the process
that started run.py, or PID, is gone."""

GRACE = 5.0  # seconds between SIGTERM and SIGKILL when run.py is told to stop


class Job(NamedTuple):
    """One job that runs."""

    log: str
    process: subprocess.Popen[bytes] | int  # a number: it could not be started, and counts as ended with it
    started: float  # seconds, monotonic
    gpu_locks: list[IO[str]]


def gpu_names() -> list[str]:
    """The GPUs that this process may use: CUDA_VISIBLE_DEVICES, else what nvidia-smi lists."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return []
    return [str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU ")]


def lock_gpus(names: Sequence[str], number: int) -> list[IO[str]] | None:
    """Lock `number` of these GPUs against this user's other run.py's, or None while too few are free.

    The job inherits the locks, so that they last as long as it does.
    """
    locks: list[IO[str]] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9-]", "_", name)
        path = f"{os.environ.get('TMPDIR', '/tmp')}/run.py.gpu.{os.getuid()}.{plain}"
        lock = open(path, "w")  # noqa: SIM115  closed when the job has ended
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        lock.gpu = name  # type: ignore[attr-defined]
        locks.append(lock)
        if len(locks) == number:
            return locks
    for lock in locks:
        lock.close()
    return None


def start(options: Options, number: int, locks: list[IO[str]]) -> Job:
    """Start one job."""
    log = options.words(options.log, number)
    command = [options.words(word, number) for word in options.command]
    os.makedirs(os.path.dirname(log) or ".", exist_ok=True)  # noqa: PTH103, PTH120
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.num_threads)}
    if locks:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(lock.gpu for lock in locks)  # type: ignore[attr-defined]
    began = time.monotonic()
    with open(log, "w", encoding="utf-8", errors="surrogateescape") as stream:
        process = jobs.launch(command, stream, environment, group=0, locks=[lock.fileno() for lock in locks])
    return Job(log, process, began, locks)


def finish(job: Job, options: Options) -> bool:
    """Write the end of an ended job's log, free its GPUs, and tell whether it succeeded."""
    code = job.process if isinstance(job.process, int) else job.process.returncode
    try:
        with open(job.log, "a", encoding="utf-8") as stream:
            jobs.write_end(stream, code, time.monotonic() - job.started, options.num_threads)
    except OSError as error:  # a full disk: the job's status still counts
        jobs.say(f"{job.log}: {error.strerror}")
    for lock in job.gpu_locks:
        lock.close()
    return code == 0


def stop(running: Sequence[Job], options: Options) -> None:
    """End the jobs with all that they started: SIGTERM to their process groups, SIGKILL if they go on."""
    for job in running:
        signal_group(job, signal.SIGTERM)
    give_up = time.monotonic() + GRACE
    for job in running:
        if not isinstance(job.process, int):
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.process.wait(max(0.0, give_up - time.monotonic()))
            signal_group(job, signal.SIGKILL)  # what the job itself left behind, too
            job.process.wait()
        finish(job, options)


def signal_group(job: Job, number: int) -> None:
    """Send a signal to a job's process group, if any of it is left."""
    if not isinstance(job.process, int):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.process.pid, number)


def run(options: Options) -> int:
    """Run all jobs and return the exit status."""
    stopped = jobs.catch_signals()
    limit = options.max_jobs_run or len(os.sched_getaffinity(0))
    gpus = gpu_names() if options.gpu else []
    if options.gpu > len(gpus):
        raise WrongUsage(
            f"--gpu {options.gpu}: CUDA_VISIBLE_DEVICES or nvidia-smi -L show {len(gpus)} GPU(s) here; ask for fewer"
        )
    if options.gpu and not options.max_jobs_run:
        limit = len(gpus) // options.gpu
    parent = os.getppid()
    waiting = deque(range(options.first, options.last + 1))
    running: list[Job] = []
    failed: list[str] = []
    pause = 0.002  # seconds; grows while nothing ends, so that short jobs cost little and long ones nothing
    looked = time.monotonic()
    while running or (waiting and not failed):
        if not stopped and time.monotonic() - looked > 0.5:
            looked = time.monotonic()
            if jobs.parent_gone(parent):
                stopped.append(signal.SIGTERM)
        if stopped:
            stop(running, options)
            jobs.say(f"stopped by {signal.Signals(stopped[0]).name}, jobs ended: {options.log}")
            return 128 + stopped[0]
        while waiting and not failed and len(running) < limit:
            locks = lock_gpus(gpus, options.gpu) if options.gpu else []
            if locks is None:
                break
            try:
                running.append(start(options, waiting.popleft(), locks))
            except OSError:  # the log cannot be written
                stop(running, options)
                raise
            pause = 0.002
        ended = [job for job in running if isinstance(job.process, int) or job.process.poll() is not None]
        for job in ended:
            running.remove(job)
            if not finish(job, options):
                failed.append(job.log)
        if not ended:
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)
    if failed:
        jobs.report(options, failed, f"{len(waiting)} not started" if waiting else "")
        return 1
    return 0


def main(words: Sequence[str]) -> int:
    """Run what the command line says and return the exit status."""
    if words and words[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    try:
        return run(jobs.parse(words))
    except (WrongUsage, OSError) as error:
        jobs.say(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
