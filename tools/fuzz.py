#!/usr/bin/env python3
"""A fuzzer of all that kdasr reads from files: small valid inputs, damaged in many ways, and what is said of them.

Examples:
  tools/venv/bin/python tools/fuzz.py                                  # a minute, shared among all readers
  tools/venv/bin/python tools/fuzz.py --seconds 3600 --processes 2 --seed 7 --keep /tmp/failed
  tools/venv/bin/python tools/fuzz.py --only soft.ark mask.pth --seconds 20
  tools/venv/bin/python tools/fuzz.py --only mask.pth --replay /tmp/failed/mask.pth.17

A trial is one of

    error         kdasr refused the input in a sentence (UserError, or exit 1 and one line on stderr)
    fine          it was read, and gave what the valid input gives
    other result  it was read without a word, and gave something else
    traceback     any other exception, wrong usage, exit 1 without its line, or the end of the interpreter
    hang          no answer within --patience seconds

Exit status 1 if there was a traceback or a hang, or another result of an input that has a checksum; a letter changed
in a text is another text. `sha256` in the table: another file holds a checksum, which tells of any change (features,
checkpoints, masks, soft targets, archives). `own sum`: a sum of 16 or 32 bits in the file itself (SPHERE, FLAC, .npz),
which has to tell of damage in one place; it cannot where the file is made of two, or its sum was damaged as well.
"""

# ruff: noqa: E402 (the number of threads has to be set before numpy is imported)
from __future__ import annotations

import argparse
import contextlib
import faulthandler
import functools
import math
import multiprocessing
import multiprocessing.connection
import os
import re
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fuzz_inputs
from fuzz_damage import FIRST, Damage, Draw, draw
from fuzz_inputs import OWN_SUM, SHA256, Files, Reader
from tqdm import tqdm

import kdasr
from kdasr.errors import UserError, refusal

OUTCOMES = ("error", "fine", "other result", "traceback", "hang")
GIB = 1 << 30
# damage that a checksum in the file itself has to detect
ONE_PLACE = ("overwrite", "truncate", "extend", "delete", "duplicate", "integer", "number", "insert")
KEPT = 3  # inputs kept of a group of failures
READY, END = "ready", "end"  # what a child says besides verdicts
FORK = multiprocessing.get_context("fork")  # a child has all modules at once, and a crash is its own
PACKAGE = Path(kdasr.__file__).parent
PIPE_PATIENCE = 2  # seconds: nothing ever comes
HANGS = 3  # of a reader, after which it is left alone


class Verdict(NamedTuple):
    """What became of a trial."""

    trial: int
    outcome: str
    cause: str  # the exception and its place; of another result: the damage
    said: str = ""  # the sentence, or the traceback


class Limits(NamedTuple):
    """When to stop."""

    trials: int  # of a reader
    seconds: float  # of a reader
    patience: float  # seconds of a trial
    memory: float  # GiB that a reader may take beyond what a process has when it begins


# -------------------------------------------------------------------------------------------------- in the child


class Ends(NamedTuple):
    """What binds a child: where it tells of its trials and of its end, and what memory it may take."""

    pipe: Any
    dump: Path
    memory: float


def judge(reader: Reader, expected: str, trial: int, damage: str) -> Verdict:
    """Read, and say what became of it; the working directory is the reader's place."""
    try:
        value = fuzz_inputs.fingerprint(reader.read())
    except UserError as error:
        return Verdict(trial, "error", "", str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # kdasr.cli turns what the system refuses into a sentence, whatever function it came from
        said = refusal(error) if isinstance(error, OSError) else None
        if said:
            return Verdict(trial, "error", "", said)
        return Verdict(trial, "traceback", blame(error), "".join(traceback.format_exception(error)[-60:]))
    return Verdict(trial, "fine", "") if value == expected else Verdict(trial, "other result", damage)


def blame(error: BaseException) -> str:
    """The exception, and where in kdasr it was raised, or what kdasr called."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    return f"{type(error).__name__} {place_of(frames)}"


def place_of(frames: Sequence[tuple[str, int | None]]) -> str:
    """The innermost line of kdasr, or of whatever there is; frames outermost first."""
    for name, line in reversed(frames):
        if Path(name).is_relative_to(PACKAGE):
            return f"kdasr/{Path(name).relative_to(PACKAGE)}:{line}"
    return f"{'/'.join(Path(frames[-1][0]).parts[-2:])}:{frames[-1][1]}" if frames else "?"


def lay(files: Files) -> None:
    """Make the working directory what it was: the files as they were, and nothing else."""
    for path in sorted(Path().rglob("*"), reverse=True):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            if str(path) in files or not any(path.iterdir()):
                shutil.rmtree(path)
        elif str(path) not in files or not stat.S_ISREG(mode):
            path.unlink()
    for name, data in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)


def limit(memory: float, dump: Any) -> None:
    """No more memory than that, no core files, and a word in `dump` on where this process was when it is killed."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + int(memory * GIB)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable(dump, all_threads=False)
    faulthandler.register(signal.SIGUSR1, dump, all_threads=False)


def work(reader: Reader, files: Files, place: Path, draw: Draw, trials: range, until: float, ends: Ends) -> None:
    """Trials from the first on, each verdict sent through the pipe; READY before the first, END behind the last."""
    os.setpgid(0, 0)  # so that a program that a reader starts is ended with it
    stream = open(ends.dump, "w+b", buffering=0)  # noqa: SIM115 (open until the process ends)
    for number in (1, 2):
        os.dup2(stream.fileno(), number)
    limit(ends.memory, stream)
    place.mkdir(parents=True, exist_ok=True)
    os.chdir(place)
    lay(files)
    expected = fuzz_inputs.fingerprint(reader.read())
    lay(files)
    if fuzz_inputs.fingerprint(reader.read()) != expected:
        raise RuntimeError("is read otherwise a second time, so that no difference says anything")
    ends.pipe.send(READY)
    for trial in trials:
        lay(files)
        damage = draw(reader, files, trial)
        damage.put(Path(reader.target))
        stream.truncate(0)
        ends.pipe.send(judge(reader, expected, trial, damage.name))
        if time.monotonic() > until:
            break
    ends.pipe.send(END)


# -------------------------------------------------------------------------------------------------- in the parent


class Run:
    """The trials of one reader, in child processes one after the other: a new one where the last one died."""

    def __init__(self, reader: Reader, files: Files, scratch: Path, draw: Draw, limits: Limits) -> None:
        self.reader, self.files, self.draw, self.limits = reader, files, draw, limits
        self.place, self.dump = scratch / f"run.{reader.plain}", scratch / f"dump.{reader.plain}"
        self.until, self.next, self.ready = time.monotonic() + limits.seconds, 0, False
        self.hangs, self.done = 0, False
        self.start()

    def start(self) -> None:
        """A child that continues with the next trial."""
        self.pipe, theirs = FORK.Pipe(duplex=False)
        ends = Ends(theirs, self.dump, self.limits.memory)
        given = (self.reader, self.files, self.place, self.draw, range(self.next, self.limits.trials), self.until, ends)
        self.child = FORK.Process(target=work, args=given, daemon=True)
        self.child.start()
        theirs.close()
        self.ready, self.heard = False, time.monotonic()

    def look(self) -> Verdict | None:
        """What came through the pipe, if it is a verdict; or that the child has hung or died."""
        try:
            if self.pipe.poll():
                found = self.pipe.recv()
                self.ready, self.heard = True, time.monotonic()
                if isinstance(found, Verdict):
                    self.next = found.trial + 1
                    return found
                if found == END:
                    self.finish()
                return None
        except EOFError:
            self.child.join()
            return self.lost("traceback", f"exit {self.child.exitcode}")
        # before its first trial the child forks and reads the valid input, which may take longer
        if time.monotonic() - self.heard > self.patience:
            # what a hang costs is not taken from the reader's other trials
            self.until += time.monotonic() - self.heard
            self.hangs += 1
            os.kill(self.child.pid, signal.SIGUSR1)
            time.sleep(0.2)
            return self.lost("hang", "no answer")
        return None

    @property
    def patience(self) -> float:
        """Seconds to wait for what comes next."""
        if not self.ready:
            return 6 * self.limits.patience
        return min(self.limits.patience, PIPE_PATIENCE if self.next == len(FIRST) - 1 else math.inf)

    def lost(self, outcome: str, what: str) -> Verdict:
        """The verdict on the trial that a child did not survive; the next child goes on behind it."""
        self.stop()
        said = self.dump.read_text(encoding="utf-8", errors="replace") if self.dump.exists() else ""
        if not self.ready:  # the child has written the traceback
            self.finish()
            last = said.strip().rpartition("\n")[2]
            return Verdict(self.next, "traceback", f"the valid input cannot be read: {what}, {last}", said[-3000:])
        frames = [(name, int(line)) for name, line in re.findall(r'^  File "([^"]+)", line (\d+)', said, re.MULTILINE)]
        verdict = Verdict(self.next, outcome, f"{what} {place_of(frames[::-1])}", said[-3000:])
        self.next += 1
        if self.hangs < HANGS and self.next < self.limits.trials and time.monotonic() < self.until:
            self.start()
        else:
            self.finish()
        return verdict

    def stop(self) -> None:
        """End the child, and what it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.join()
        self.pipe.close()

    def finish(self) -> None:
        """No more trials."""
        self.stop()
        shutil.rmtree(self.place, ignore_errors=True)
        self.done = True


def trials(
    readers: Sequence[Reader], places: dict[str, Files], scratch: Path, draw: Draw, limits: Limits, processes: int = 1
) -> Iterator[tuple[Reader, Verdict | None]]:
    """The verdicts on all readers as they come; None where there is nothing new for a moment."""
    waiting, running = list(readers), []
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                reader = waiting.pop(0)
                running.append(Run(reader, places[reader.name], scratch, draw, limits))
            multiprocessing.connection.wait([run.pipe for run in running], timeout=0.2)
            for run in running:
                yield run.reader, run.look()
            running = [run for run in running if not run.done]
    finally:
        for run in running:
            run.finish()


class Tally:
    """Verdicts counted, and failures grouped by cause."""

    def __init__(self, keep: Path | None = None) -> None:
        self.keep = keep
        self.counts: dict[str, Counter[str]] = {}
        self.groups: Counter[tuple[str, str, str]] = Counter()  # reader, outcome, cause

    def add(self, reader: Reader, verdict: Verdict, damage: Damage) -> None:
        """Count a verdict, and keep the input that caused it if it is a failure."""
        self.counts.setdefault(reader.name, Counter())[verdict.outcome] += 1
        if not failed(reader, verdict):
            return
        group = (reader.name, verdict.outcome, verdict.cause)
        self.groups[group] += 1
        if self.keep is not None and self.groups[group] <= KEPT:
            self.keep.mkdir(parents=True, exist_ok=True)
            file = self.keep / f"{reader.plain}.{verdict.trial}"
            damage.put(file)
            with open(self.keep / "reproduce.txt", "a", encoding="utf-8") as stream:
                line = f"tools/fuzz.py --only {reader.name} --replay {file}"
                print(f"{line}  # {verdict.outcome}, {damage.name}: {verdict.cause}", file=stream)

    def table(self, readers: Sequence[Reader]) -> list[str]:
        """Counts of each reader, and of all."""
        width = max(len(reader.name) for reader in readers)
        lines = [f"{'reader':<{width}}  {'':<7} {'trials':>7}" + "".join(f" {name:>12}" for name in OUTCOMES)]
        every: Counter[str] = Counter()
        for reader in readers:
            counts = self.counts.get(reader.name, Counter())
            every += counts
            lines.append(f"{reader.name:<{width}}  {reader.checked:<7} {cells(counts)}")
        return [*lines, f"{'all':<{width}}  {'':<7} {cells(every)}"]

    def causes(self) -> list[str]:
        """Groups of failures, the largest first: of another result by reader, of others by cause."""
        groups: dict[tuple[str, str], Counter[str]] = {}
        for (reader, outcome, cause), count in self.groups.items():
            head, member = (reader, cause) if outcome == "other result" else (cause, reader)
            groups.setdefault((outcome, head), Counter())[member] += count
        rows = []
        for (outcome, head), members in sorted(groups.items(), key=lambda row: -row[1].total()):
            named = ", ".join(f"{name} ({count})" for name, count in members.most_common(4))
            more = f" and {len(members) - 4} more" if len(members) > 4 else ""
            rows.append(f"{members.total():>6}  {outcome:<12}  {head}: {named}{more}")
        return rows


def cells(counts: Counter[str]) -> str:
    """A row of the table."""
    return f"{counts.total():>7}" + "".join(f" {counts[name]:>12}" for name in OUTCOMES)


def failed(reader: Reader, verdict: Verdict) -> bool:
    """Whether that may not be."""
    if verdict.outcome == "other result":
        return reader.checked == SHA256 or (reader.checked == OWN_SUM and verdict.cause in ONE_PLACE)
    return verdict.outcome in ("traceback", "hang")


def fuzz(readers: Sequence[Reader], seed: int, limits: Limits, processes: int = 1, keep: Path | None = None) -> Tally:
    """Make the inputs, and try all readers."""
    tally, drawn = Tally(keep), functools.partial(draw, seed)
    with workshop(readers) as (scratch, places), tqdm(unit="trial", disable=None, miniters=1) as bar:
        for reader, verdict in trials(readers, places, scratch, drawn, limits, processes):
            if verdict is not None:
                tally.add(reader, verdict, drawn(reader, places[reader.name], verdict.trial))
                bar.set_description(reader.name, refresh=False)
                bar.update()
    return tally


@contextlib.contextmanager
def workshop(readers: Sequence[Reader]) -> Iterator[tuple[Path, dict[str, Files]]]:
    """A scratch directory, in memory if there is a file system for it, and the valid inputs of these readers."""
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    tqdm.monitor_interval = 0  # no thread, as this process forks
    with tempfile.TemporaryDirectory(prefix="kdasr_fuzz.", dir=where) as name:
        scratch = Path(name)
        here = Path.cwd()
        try:
            yield scratch, fuzz_inputs.make(readers, scratch / "shop")
        finally:
            os.chdir(here)


def replay(reader: Reader, file: Path, limits: Limits) -> Verdict:
    """The verdict on a kept input: a file, a directory or a pipe."""
    damage = Damage.of(file)
    with workshop([reader]) as (scratch, places):
        found = trials([reader], places, scratch, lambda *_: damage, limits._replace(trials=1))
        return next(verdict for _, verdict in found if verdict is not None)


def main() -> int:
    """Try the readers, print the table and the causes of failures; 1 if there was any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--seconds", type=float, default=60, help="in all, shared among the readers (default 60)")
    add("--trials", type=int, help="no more than that many of a reader")
    add("--seed", type=int, default=1, help="of all damage (default 1)")
    add("--only", nargs="+", metavar="READER", help="these readers")
    add("--list", action="store_true", help="name the readers, and the files that they read")
    add("--keep", type=Path, metavar="DIR", help="keep inputs that failed here, and in reproduce.txt how to see it")
    add("--processes", type=int, default=1, help="readers at a time (default 1)")
    add("--patience", type=float, default=10, help="seconds after which a trial hangs (default 10)")
    add("--memory", type=float, default=2, help="GiB that reading may take (default 2)")
    add("--replay", type=Path, metavar="FILE", help="read this input as --only READER does, and say all about it")
    args = parser.parse_args()
    known = {reader.name: reader for reader in fuzz_inputs.readers()}
    wrong = sorted(set(args.only or ()) - known.keys())
    if wrong or (args.replay and len(args.only or ()) != 1):
        parser.error(f"no reader {wrong[0]}; see --list" if wrong else "--replay takes one reader: --only NAME")
    readers = [known[name] for name in args.only or known]
    if args.list:
        width = max(map(len, known))
        for reader in readers:
            print(f"{reader.name:<{width}}  {reader.checked:<7}  {reader.target}")
        return 0
    seconds = args.seconds * max(1, args.processes) / len(readers)
    limits = Limits(args.trials or sys.maxsize, seconds, args.patience, args.memory)
    if args.replay:
        verdict = replay(readers[0], args.replay, limits)
        print(f"{verdict.outcome}: {verdict.cause}\n{verdict.said}".strip())
        return int(failed(readers[0], verdict))
    began = time.monotonic()
    tally = fuzz(readers, args.seed, limits, args.processes, args.keep)
    print("\n".join(tally.table(readers)))
    made = sum(counts.total() for counts in tally.counts.values())
    print(f"\n{made} trials in {time.monotonic() - began:.0f} s, seed {args.seed}")
    if tally.groups:
        print("\nfailures:\n" + "\n".join(tally.causes()))
    return int(bool(tally.groups))


if __name__ == "__main__":
    sys.exit(main())
