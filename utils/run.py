#!/usr/bin/env -S python3 -ES
"""Run a command, or an array of them, on this machine, each with its output in a log (Kaldi's run.pl).

The command is started as it stands, word for word, without a shell: spaces, quotes, `$` and
backquotes in an argument reach the program unchanged, and `|`, `>` or `&&` are plain words
(write `bash -c '...'` where a shell is wanted).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import jobs
from jobs import Options, WrongUsage

USAGE = """\
Usage: run.py [options] [JOB=1:N] LOG COMMAND [ARGUMENT...]

  run.py exp/log/train.log kdasr train --config conf/teacher.yaml ...
  run.py JOB=1:8 dump/log/feats.JOB.log kdasr feats --job JOB/8 --data data/train --out dump/fbank/train
  run.py --max-jobs-run 2 --num-threads 4 JOB=1:8 exp/log/x.JOB.log program JOB
  run.py --gpu 1 JOB=1:4 exp/log/nbest.JOB.log kdasr nbest --job JOB/4 ...

JOB (any name) is replaced by the job's number in the log's name and in the arguments. With - for LOG, the output
goes where that of run.py goes, and there is no log. Exit status:
0, 1 when a job failed (the others that run are finished, no further one is started), 2 for wrong usage.

Options, those of slurm.py, so that cmd.sh can name either:
  --max-jobs-run N  jobs that run at once (default: the processors, or what the GPUs allow)
  --num-threads N   threads a job: sets OMP_NUM_THREADS (default: 1)
  --gpu N           GPUs a job: each job gets its own, by CUDA_VISIBLE_DEVICES; it waits for a free one (default: 0)
  --mem X           memory a job, as in 8G: nothing is enforced on this machine
  --time T          time limit: nothing is enforced on this machine

What a job starts ends with it, and all of it ends with run.py, however that ends. With KDASR_RECIPE_PID=PID in
the environment (the recipes set it), the jobs also end when the process that started run.py, or PID, is gone;
KDASR_LOCK_FD=N is a file that they keep open, a recipe's lock."""

LINGER = 1.0  # seconds that what a job has left behind may take to end by itself, as the tee of a pipe does
NO_LOG = "-"


class Gpu(NamedTuple):
    """A GPU that is ours."""

    name: str
    lock: int  # the file that is locked


class Job:
    """One job that runs."""

    def __init__(self, log: str, process: subprocess.Popen[bytes] | int, gpus: list[Gpu]) -> None:
        self.log = log
        self.process = process  # a number: it could not be started, and counts as ended with it
        self.gpus = gpus
        self.started = time.monotonic()
        self.ended = 0.0  # when the command itself had ended
        self.told = 0  # the last signal to what it has left behind

    def code(self) -> int | None:
        """How the command has ended, as Popen gives it; None while it runs."""
        code = self.process if isinstance(self.process, int) else self.process.returncode
        if code is not None and not self.ended:
            self.ended = time.monotonic()
        return code

    def over(self) -> bool:
        """Whether the command and the rest of its process group have ended; what is left of the group is ended."""
        if self.code() is None:
            return False
        seconds = time.monotonic() - self.ended
        number = 0 if seconds < LINGER else signal.SIGTERM if seconds < LINGER + jobs.GRACE else signal.SIGKILL
        if isinstance(self.process, int):
            return True
        try:
            os.killpg(self.process.pid, 0 if number == self.told else number)
        except (ProcessLookupError, PermissionError):
            return True
        self.told = number
        return False


def gpu_names() -> list[str]:
    """The GPUs that this process may use: CUDA_VISIBLE_DEVICES, else what nvidia-smi lists."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return []
    return re.findall(r"^GPU (\d+):", listed, re.MULTILINE)  # lines between these are of a GPU's parts


def lock_gpus(names: Sequence[str], number: int) -> list[Gpu] | None:
    """Lock `number` of these GPUs against this user's other run.py's, or None while too few are free.

    The job inherits the locks, so that they last as long as it does.
    """
    gpus: list[Gpu] = []
    folder, path = lock_folder()
    try:
        for name in names:
            lock = open_lock(folder, path, f"{os.uname().nodename}.{re.sub(r'[^A-Za-z0-9-]', '_', name)}")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            gpus.append(Gpu(name, lock))
            if len(gpus) == number:
                return gpus
    finally:
        os.close(folder)
    for gpu in gpus:
        os.close(gpu.lock)
    return None


def lock_folder() -> tuple[int, str]:
    """The directory of the locks, open, and its name: one of this user's own, as others must not lay files there.

    Not in XDG_RUNTIME_DIR: a job of cron has none, and at the last logout it is removed under a run that goes on.
    """
    return open_folder(os.path.expanduser("~/.cache/kdasr/gpu-locks"))  # noqa: PTH111


def own(status: os.stat_result) -> bool:
    """Whether this is a directory of this user that no other user can enter."""
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def open_folder(path: str) -> tuple[int, str]:
    """Make this directory if need be and open it; WrongUsage if others could lay files there."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)  # noqa: PTH102
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        reason = "a link" if error.errno == errno.ELOOP else error.strerror
        raise WrongUsage(
            f"{path}: the locks of the GPUs belong there ({reason}); make it a directory of yours alone (chmod 700)"
        ) from None
    if not own(os.fstat(folder)):
        os.close(folder)
        raise WrongUsage(f"{path}: others can write the locks of the GPUs there; make it yours alone: chmod 700 {path}")
    return folder, path


def open_lock(folder: int, path: str, name: str) -> int:
    """Open a lock, which is left as it is; WrongUsage if it is anything but a plain file of this user."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO would wait for a reader
    try:
        lock = os.open(name, flags, 0o600, dir_fd=folder)
    except OSError as error:
        reason = "a link" if error.errno == errno.ELOOP else error.strerror
    else:
        status = os.fstat(lock)
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid():
            return lock
        os.close(lock)
        reason = "not a plain file" if status.st_uid == os.getuid() else "another user's"
    raise WrongUsage(f"{path}/{name}: the lock of a GPU cannot be opened ({reason}); remove it: rm -r {path}/{name}")


def kept_open() -> list[int]:
    """The files that jobs keep open besides their log: the lock of the recipe."""
    number = os.environ.get("KDASR_LOCK_FD", "")
    try:
        os.fstat(int(number))
    except (ValueError, OSError):
        return []
    return [int(number)]


def start(options: Options, number: int, gpus: list[Gpu]) -> Job:
    """Start one job."""
    log = options.words(options.log, number)
    command = [options.words(word, number) for word in options.command]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.num_threads)}
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpu.name for gpu in gpus)
    locks = [*kept_open(), *(gpu.lock for gpu in gpus)]
    if log == NO_LOG:
        return Job(log, jobs.launch(command, None, environment, group=0, locks=locks), gpus)
    os.makedirs(os.path.dirname(log) or ".", exist_ok=True)  # noqa: PTH103, PTH120
    with jobs.open_log(log, "w") as stream:
        return Job(log, jobs.launch(command, stream, environment, group=0, locks=locks), gpus)


def finish(job: Job, options: Options) -> bool:
    """Write the end of an ended job's log, free its GPUs, and tell whether it succeeded."""
    code = job.code()
    if code is None:  # it runs as another user
        jobs.say(f"{job.log}: its command cannot be ended from here; end it by hand")
        return False
    try:
        if job.log != NO_LOG:
            with jobs.open_log(job.log, "a") as stream:
                if job.told:
                    stream.write(f"# Ended what the command had left running (signal {job.told})\n")
                jobs.write_end(stream, code, job.ended - job.started, options.num_threads)
    except OSError as error:  # a full disk: the job's status still counts
        jobs.say(f"{job.log}: {error.strerror}")
    for gpu in job.gpus:
        os.close(gpu.lock)
    return code == 0


def stop(running: Sequence[Job], options: Options) -> None:
    """End the jobs with all that they started."""
    jobs.end_descendants()
    for job in running:
        finish(job, options)


def run(options: Options, stopped: list[int]) -> int:
    """Run all jobs and return the exit status; a signal in `stopped` ends them."""
    limit = options.max_jobs_run or len(os.sched_getaffinity(0))
    gpus = gpu_names() if options.gpu else []
    if options.gpu > len(gpus):
        raise WrongUsage(
            f"--gpu {options.gpu}: CUDA_VISIBLE_DEVICES or nvidia-smi -L show {len(gpus)} GPU(s) here; ask for fewer"
        )
    if options.gpu and not options.max_jobs_run:
        limit = len(gpus) // options.gpu
    waiting = deque(range(options.first, options.last + 1))
    running: list[Job] = []
    failed: list[str] = []
    pause = 0.002  # seconds; grows while nothing ends, so that short jobs cost little and long ones nothing
    while running or (waiting and not failed):
        if stopped:
            stop(running, options)
            jobs.say(f"stopped by {signal.Signals(stopped[0]).name}, jobs ended: {options.log}")
            return 128 + stopped[0]
        while waiting and not failed and len(running) < limit:
            try:
                own_gpus = lock_gpus(gpus, options.gpu) if options.gpu else []
                if own_gpus is None:
                    break
                running.append(start(options, waiting.popleft(), own_gpus))
            except (OSError, WrongUsage):  # the log cannot be written, a lock cannot be opened
                stop(running, options)
                raise
            pause = 0.002
        jobs.reap()
        ended = [job for job in running if job.over()]
        for job in ended:
            running.remove(job)
            if not finish(job, options):
                failed.append(job.log)
        if not ended:
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)
    if failed and options.log == NO_LOG:
        return 1
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
        options = jobs.parse(words)
        return jobs.kept(lambda stopped: run(options, stopped))
    except (WrongUsage, OSError) as error:
        jobs.say(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
