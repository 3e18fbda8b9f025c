"""What run.py and slurm.py share: the command line, the log's format, the report of a failure.

A recipe starts these programs some fifty times: dataclasses and pathlib alone would take half of a start.
"""

from __future__ import annotations

import ctypes
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

TAIL = 15  # lines of the first failing log that are shown
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1  # linux/prctl.h


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
    """Read the command line; options and JOB=1:N may stand in any order before the log.

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
        if word.startswith("-"):
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


def die_with_parent() -> None:
    """Called in the job before exec: SIGTERM for it when its starter is gone (kill -9), so that no orphan works on."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def launch(
    command: Sequence[str],
    log: IO[str],
    environment: dict[str, str],
    *,
    where: str = "",
    group: int | None = None,
    locks: Sequence[int] = (),
) -> subprocess.Popen[bytes] | int:
    """Write the log's head and start the command, its output in the log, without a shell.

    A command that cannot be started is one that ended with status 126 or 127, as in a shell: that number is
    returned. `where` is the log's line on the machine, `group` the process group (0: one of its own), `locks`
    the files that the job keeps open.
    """
    running = f"# Running on {where}\n" if where else ""
    log.write(f"# {shown(command)}\n{running}# Started at {now()}\n#\n")
    log.flush()
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            process_group=group,
            pass_fds=locks,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
    except OSError as error:
        log.write(f"{program()}: {command[0]}: {error.strerror}\n")
        return 127 if isinstance(error, FileNotFoundError) else 126


def write_end(log: IO[str], code: int, seconds: float, threads: int) -> None:
    """Write the log's last two lines; `code` as Popen gives it, negative for a signal."""
    ended = f"code {code}" if code >= 0 else f"code {128 - code}; signal {-code}"
    log.write(f"# Accounting: time={round(seconds)} threads={threads}\n")
    log.write(f"# Ended ({ended}) at {now()}, elapsed time {round(seconds)} seconds\n")


# --------------------------------------------------------------------------------------- failures, signals


def program() -> str:
    """The name that the user called, as messages give it."""
    return os.path.basename(sys.argv[0])  # noqa: PTH119


def say(message: str) -> None:
    """A message on stderr."""
    print(f"{program()}: {message}", file=sys.stderr, flush=True)


def catch_signals() -> list[int]:
    """The list into which SIGINT, SIGTERM and SIGHUP are put from now on, instead of ending this process."""
    caught: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup wants it ignored
            signal.signal(number, lambda number, _frame: caught.append(number))
    return caught


def parent_gone(parent: int) -> bool:
    """Whether the recipe that called us is gone (asked only where a recipe says that it wants this)."""
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
