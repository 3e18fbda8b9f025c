#!/usr/bin/env -S python3 -ES
"""Run a command, or an array of them, on this machine, each with its output in a log (Kaldi's run.pl).

The command is started as it stands, word for word, without a shell: spaces, quotes, `$` and
backquotes in an argument reach the program unchanged, and `|`, `>` or `&&` are plain words
(write `bash -c '...'` where a shell is wanted).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import IO, NamedTuple

# A recipe starts this program some fifty times: dataclasses and pathlib alone would take half of its start.

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

TAIL = 15  # lines of the first failing log that are shown
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
GRACE = 5.0  # seconds between SIGTERM and SIGKILL when run.py is told to stop


class Options(NamedTuple):
    """What the command line asks for."""

    log: str
    command: list[str]
    job_name: str = ""
    first: int = 1
    last: int = 1
    max_jobs_run: int = 0  # 0: not given
    num_threads: int = 1
    gpu: int = 0

    def words(self, text: str, number: int) -> str:
        """`text` with the job's number in place of its name."""
        return text.replace(self.job_name, str(number)) if self.job_name else text


class Job(NamedTuple):
    """One job that runs."""

    log: str
    process: subprocess.Popen[bytes] | None  # None: it could not be started
    started: float  # seconds, monotonic
    gpu_locks: list[IO[str]]
    code: int = 0  # exit status, when it could not be started


class WrongUsage(Exception):
    """The command line cannot be carried out; the message says why."""


def parse(words: Sequence[str]) -> Options:
    """Read the command line; options and JOB=1:N may stand in any order before the log."""
    rest = deque(words)
    numbers = {"max_jobs_run": 0, "num_threads": 1, "gpu": 0}
    job_name, first, last = "", 1, 1
    while rest:
        word = rest[0]
        name = word.lstrip("-").replace("-", "_")
        job = re.fullmatch(r"([A-Za-z_]\w*)=(\d+)(?::(\d+))?", word)
        if word.startswith("-"):
            rest.popleft()
            if name not in (*numbers, "mem", "time"):
                raise WrongUsage(f"{word}: no such option (--help lists them)")
            if not rest:
                raise WrongUsage(f"{word}: its value is missing")
            value = rest.popleft()
            if name in numbers:
                least = 0 if name == "gpu" else 1
                if not value.isdecimal() or int(value) < least:
                    raise WrongUsage(f"{word} {value}: expected a whole number, {least} or more")
                # cmd.sh may give one as well: the smaller limit holds, as in run.pl
                both = name == "max_jobs_run" and numbers[name] > 0
                numbers[name] = min(numbers[name], int(value)) if both else int(value)
        elif job and not job_name:
            rest.popleft()
            job_name, first = job[1], int(job[2])
            last = int(job[3]) if job[3] else first
            if first < 1 or last < first:
                raise WrongUsage(f"{word}: expected a range that begins at 1 or more, as in {job_name}=1:8")
        elif re.match(r"[A-Za-z_]\w*=[^/]*:", word):
            raise WrongUsage(f"{word}: expected a range of jobs, as in JOB=1:8")
        else:
            break
    if len(rest) < 2:
        raise WrongUsage("expected a log and a command (--help shows how)")
    log, *command = rest
    if last > first and job_name not in log:
        raise WrongUsage(f"{log}: {last - first + 1} jobs would write this log; put {job_name} into its name")
    return Options(log, command, job_name, first, last, **numbers)


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


def now() -> str:
    """The time, as `date` prints it in the C locale."""
    return time.strftime("%a %b %e %H:%M:%S %Z %Y")


def die_with_parent() -> None:
    """Called in the job before exec: SIGTERM for it when run.py is gone (kill -9), so that no orphan works on."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def start(options: Options, number: int, locks: list[IO[str]]) -> Job:
    """Start one job; a command that cannot be started is a job that ended with 126 or 127, as in a shell."""
    log = options.words(options.log, number)
    command = [options.words(word, number) for word in options.command]
    os.makedirs(os.path.dirname(log) or ".", exist_ok=True)  # noqa: PTH103, PTH120
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.num_threads)}
    if locks:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(lock.gpu for lock in locks)  # type: ignore[attr-defined]
    began = time.monotonic()
    with open(log, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(f"# {shown(command)}\n# Started at {now()}\n#\n")
        stream.flush()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                process_group=0,
                pass_fds=[lock.fileno() for lock in locks],
                preexec_fn=die_with_parent if sys.platform == "linux" else None,
            )
        except OSError as error:
            stream.write(f"run.py: {command[0]}: {error.strerror}\n")
            return Job(log, None, began, locks, 127 if isinstance(error, FileNotFoundError) else 126)
    return Job(log, process, began, locks)


def shown(command: Sequence[str]) -> str:
    """The command as one can paste it into a shell."""
    return " ".join(word if re.fullmatch(r"[\w@%+=:,./-]+", word) else shlex.quote(word) for word in command)


def finish(job: Job, options: Options) -> bool:
    """Write the end of an ended job's log, free its GPUs, and tell whether it succeeded."""
    code = job.process.returncode if job.process else job.code
    seconds = round(time.monotonic() - job.started)
    ended = f"code {code}" if code >= 0 else f"code {128 - code}; signal {-code}"
    try:
        with open(job.log, "a", encoding="utf-8") as stream:
            stream.write(f"# Accounting: time={seconds} threads={options.num_threads}\n")
            stream.write(f"# Ended ({ended}) at {now()}, elapsed time {seconds} seconds\n")
    except OSError as error:  # a full disk: the job's status still counts
        print(f"run.py: {job.log}: {error.strerror}", file=sys.stderr)
    for lock in job.gpu_locks:
        lock.close()
    return code == 0


def stop(jobs: Sequence[Job], options: Options) -> None:
    """End the jobs with all that they started: SIGTERM to their process groups, SIGKILL if they go on."""
    for job in jobs:
        signal_group(job, signal.SIGTERM)
    give_up = time.monotonic() + GRACE
    for job in jobs:
        if job.process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                job.process.wait(max(0.0, give_up - time.monotonic()))
            signal_group(job, signal.SIGKILL)  # what the job itself left behind, too
            job.process.wait()
        finish(job, options)


def signal_group(job: Job, number: int) -> None:
    """Send a signal to a job's process group, if any of it is left."""
    if job.process:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.process.pid, number)


def parent_gone(parent: int) -> bool:
    """Whether the recipe that called run.py is gone (asked only where a recipe says that it wants this)."""
    recipe = os.environ.get("KDASR_RECIPE_PID", "")
    if not recipe.isdecimal():
        return False
    if os.getppid() != parent:
        return True
    try:
        os.kill(int(recipe), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def tail(log: str) -> str:
    """The last lines of a log, its accounting left out."""
    try:
        with open(log, encoding="utf-8", errors="replace", newline="\n") as stream:
            # a progress bar is one line with many carriage returns: its last state is enough
            lines = deque((line.rstrip("\r\n").rsplit("\r", 1)[-1] for line in stream), maxlen=TAIL + 2)
    except OSError as error:
        return f"(cannot be read: {error.strerror})"
    kept = [line for line in lines if not line.startswith(("# Accounting: ", "# Ended ("))]
    return "\n".join(kept[-TAIL:])


def report(options: Options, failed: Sequence[str], not_started: int) -> None:
    """Say on stderr what failed, and show the end of the first failing log."""
    number = options.last - options.first + 1
    if number == 1:
        print(f"run.py: job failed, log is in {failed[0]}", file=sys.stderr)
    else:
        pattern = options.log.replace(options.job_name, "*")
        rest = f" ({not_started} not started)" if not_started else ""
        print(f"run.py: {len(failed)} / {number} failed{rest}, log is in {pattern}", file=sys.stderr)
    print(f"--- the end of {failed[0]}:\n{tail(failed[0])}\n---", file=sys.stderr)


def run(options: Options) -> int:
    """Run all jobs and return the exit status."""
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: stopped.append(number))
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
            if parent_gone(parent):
                stopped.append(signal.SIGTERM)
        if stopped:
            stop(running, options)
            print(f"run.py: stopped by {signal.Signals(stopped[0]).name}, jobs ended: {options.log}", file=sys.stderr)
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
        ended = [job for job in running if job.process is None or job.process.poll() is not None]
        for job in ended:
            running.remove(job)
            if not finish(job, options):
                failed.append(job.log)
        if not ended:
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)
    if failed:
        report(options, failed, len(waiting))
        return 1
    return 0


def main(words: Sequence[str]) -> int:
    """Run what the command line says and return the exit status."""
    if words and words[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    try:
        return run(parse(words))
    except (WrongUsage, OSError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
