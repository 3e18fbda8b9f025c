"""What run.py and slurm.py share: the command line, the log's format, the report of a failure.

A recipe starts these programs some fifty times: dataclasses and pathlib alone would take half of a start.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import IO, NamedTuple

TAIL = 15  # lines of the first failing log that are shown
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
GRACE = 5.0  # seconds between SIGTERM and SIGKILL for what has to end
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
launched: dict[int, subprocess.Popen[bytes]] = {}  # the commands that this process has started, by process


class Options(NamedTuple):
    """What the command line asks for."""

    log: str
    command: list[str]
    given: dict[str, str]  # the options as they were written, "-" as "_": mem, time, and a site's own
    job_name: str = ""
    first: int = 1
    last: int = 1
    max_jobs_run: int = 0  # 0: not given
    num_threads: int = 1
    gpu: int = 0

    def words(self, text: str, number: int) -> str:
        """`text` with the job's number in place of its name."""
        return text.replace(self.job_name, str(number)) if self.job_name else text

    def pattern(self) -> str:
        """The log's name with * for the job's number."""
        return self.log.replace(self.job_name, "*") if self.job_name else self.log


class WrongUsage(Exception):
    """The command line cannot be carried out; the message says why."""


def parse(words: Sequence[str], known: Sequence[str] | None = ("mem", "time")) -> Options:
    """Read the command line; options and JOB=1:N may be in any order before the log.

    `known` names the options beside the numbers; None takes any, for the caller to judge.
    """
    rest = deque(words)
    numbers = {"max_jobs_run": 0, "num_threads": 1, "gpu": 0}
    given: dict[str, str] = {}
    job_name, first, last = "", 1, 1
    while rest:
        word = rest[0]
        name = word.lstrip("-").replace("-", "_")
        job = re.fullmatch(r"([A-Za-z_]\w*)=(\d+)(?::(\d+))?", word)
        if word.startswith("-") and not (word == "-" and known is not None):  # run.py takes "-" in place of a log
            rest.popleft()
            if known is not None and name not in (*numbers, *known):
                raise WrongUsage(f"{word}: no such option (--help lists them)")
            if not rest:
                raise WrongUsage(f"{word}: its value is missing")
            value = rest.popleft()
            given[name] = value
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
    return Options(log, command, given, job_name, first, last, **numbers)


# ------------------------------------------------------------------------------------ the job and its log


def now() -> str:
    """The time, as `date` prints it in the C locale."""
    return time.strftime("%a %b %e %H:%M:%S %Z %Y")


def shown(command: Sequence[str]) -> str:
    """The command as one can paste it into a shell."""
    return " ".join(word if re.fullmatch(r"[\w@%+=:,./-]+", word) else shlex.quote(word) for word in command)


def open_log(log: str, mode: str) -> IO[str]:
    """Open a log, w or a. OSError where it is a link, whose target may be the only copy of something."""
    if os.path.islink(log) and not os.path.realpath(log).startswith(("/dev/", "/proc/")):  # noqa: PTH114
        raise OSError(errno.ELOOP, "is a link, through which no log is written; remove it", log)
    return open(log, mode, encoding="utf-8", errors="surrogateescape")


def launch(
    command: Sequence[str],
    log: IO[str] | None,
    environment: dict[str, str],
    *,
    where: str = "",
    group: int | None = None,
    locks: Sequence[int] = (),
) -> subprocess.Popen[bytes] | int:
    """Write the log's head and start the command, its output in the log (None: where ours goes), without a shell.

    A command that cannot be started is one that ended with status 126 or 127, as in a shell: that number is
    returned. `where` is the log's line on the machine, `group` the process group (0: one of its own), `locks`
    the files that the job keeps open.
    """
    if log:
        running = f"# Running on {where}\n" if where else ""
        log.write(f"# {shown(command)}\n{running}# Started at {now()}\n#\n")
        log.flush()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT if log else None,
            env=environment,
            process_group=group,
            pass_fds=locks,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
    except OSError as error:
        print(f"{program()}: {command[0]}: {error.strerror}", file=log or sys.stderr)
        return 127 if isinstance(error, FileNotFoundError) else 126
    launched[process.pid] = process
    return process


def write_end(log: IO[str], code: int, seconds: float, threads: int) -> None:
    """Write the log's last two lines; `code` as Popen gives it, negative for a signal."""
    ended = f"code {code}" if code >= 0 else f"code {128 - code}; signal {-code}"
    log.write(f"# Accounting: time={round(seconds)} threads={threads}\n")
    log.write(f"# Ended ({ended}) at {now()}, elapsed time {round(seconds)} seconds\n")


# ------------------------------------------------------------------------ every process ends with the run


def die_with_parent() -> None:
    """SIGTERM for this process when its starter is gone (kill -9), so that no orphan works on."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def adopt_orphans() -> None:
    """From now on, what a descendant of this process leaves behind when it ends is a child of this process."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> bool:
    """Take in which children have ended, the commands and the orphans; whether there are more children."""
    if sys.platform != "linux":
        return any([command.poll() is None for command in launched.values()])
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        if ended is None:
            return True
        command = launched.pop(ended.si_pid, None)
        if command and command.returncode is None:
            command.poll()  # its status is not to be lost
        else:
            os.waitpid(ended.si_pid, 0)


def descendants() -> Iterator[int]:
    """The processes below this one, whatever group or session they have gone to (elsewhere than on Linux: groups)."""
    if sys.platform != "linux":
        yield from (-number for number, command in launched.items() if command.returncode is None)
        return
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  names are enough
        if name.isdecimal():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stream:
                parent = int(stream.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(name))
    below = children.get(os.getpid(), [])
    while below:
        yield from below
        below = [child for process in below for child in children.get(process, ())]


def end_descendants(grace: float = GRACE) -> None:
    """End all that was started by this process and by its children: SIGTERM, and after `grace` seconds SIGKILL."""
    told: set[int] = set()
    pause, give_up = 0.002, time.monotonic() + grace
    while reap():
        late = time.monotonic() > give_up
        refused = set()
        # parents first: a shell whose child is gone before it would end as if nothing had happened
        for process in (below := list(dict.fromkeys(descendants()))):
            if process not in told or late:
                told.add(process)
                try:
                    os.kill(process, signal.SIGKILL if late else signal.SIGTERM)
                except ProcessLookupError:
                    pass
                except PermissionError:  # it has become another user, as sudo does
                    refused.add(process)
        if late and below and refused == set(below):
            return
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def kept(work: Callable[[list[int]], int]) -> int:
    """Call work(stopped) in a process of its own, the keeper, and return its result: however this ends, no job is left.

    That process, the keeper, has a session of its own: what kills the recipe's process group or session spares it. It
    adopts the orphans among its jobs' processes, and ends all of them when it ends, or this process does, even by
    kill -9. Where the keeper itself is killed, this process does that. `stopped` gets the signals that end the run.
    """
    parent, front = os.getppid(), os.getpid()
    if sys.platform != "linux":
        return work(catch_signals())
    if parent_gone(parent):
        return 128 + signal.SIGTERM
    adopt_orphans()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, as some starter may have left it, it would not come
    heard = [number for number in STOPS if number != signal.SIGHUP or not hangup_ignored()]
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, *heard])
    keeper = os.fork()
    if keeper == 0:
        os.setsid()
        stopped = catch_signals()
        die_with_parent()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD, *heard])
        if os.getppid() != front:
            stopped.append(signal.SIGTERM)
        adopt_orphans()
        try:
            return work(stopped)
        finally:
            end_descendants()
    told = False
    # An alarm wakes this process twice a second. sigtimedwait would, too, but when a process that was stopped goes on
    # (Ctrl-Z and fg, a cluster that suspends jobs) Python 3.11's returns a signal that did not come.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    while not (ended := os.waitpid(keeper, os.WNOHANG))[0]:
        number = signal.sigwaitinfo([signal.SIGCHLD, signal.SIGALRM, *heard]).si_signo
        if number in heard:
            os.kill(keeper, number)
        elif not told and parent_gone(parent):
            told = True
            os.kill(keeper, signal.SIGTERM)
    code = os.waitstatus_to_exitcode(ended[1])
    if code < 0:
        end_descendants()
        say(f"the process that watches its jobs was killed by signal {-code}; jobs ended; run again to continue")
    return code if code >= 0 else 128 - code


# --------------------------------------------------------------------------------------- failures, signals


def program() -> str:
    """The name that the user called, as messages give it."""
    return os.path.basename(sys.argv[0])  # noqa: PTH119


def say(message: str) -> None:
    """A message on stderr, if anybody is left there to read it."""
    with contextlib.suppress(OSError):
        print(f"{program()}: {message}", file=sys.stderr, flush=True)


def hangup_ignored() -> bool:
    """Whether SIGHUP was ignored when this program was started, as nohup wants it."""
    return signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def catch_signals() -> list[int]:
    """The list into which SIGINT, SIGTERM and SIGHUP are put from now on, instead of ending this process."""
    caught: list[int] = []
    for number in STOPS:
        if number != signal.SIGHUP or not hangup_ignored():
            signal.signal(number, lambda number, _frame: caught.append(number))
    return caught


def parent_gone(parent: int) -> bool:
    """Whether the recipe that called us is gone (checked only where a recipe wants it)."""
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


def report(options: Options, failed: Sequence[str], rest: str, reasons: Sequence[str] = ()) -> None:
    """Say on stderr what failed, and show the end of the first failing log.

    `rest` says what became of the others, as in "7 not started"; `reasons` are further lines.
    """
    number = options.last - options.first + 1
    if number == 1:
        say(f"job failed, log is in {failed[0]}")
    else:
        say(f"{len(failed)} / {number} failed{f' ({rest})' if rest else ''}, log is in {options.pattern()}")
    for reason in reasons:
        say(reason)
    print(f"--- the end of {failed[0]}:\n{tail(failed[0])}\n---", file=sys.stderr, flush=True)
