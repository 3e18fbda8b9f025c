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
import gzip
import io
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
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fuzz_inputs
from fuzz_inputs import OWN_SUM, SHA256, Files, Reader
from tqdm import tqdm

from kdasr.errors import UserError, refusal

OUTCOMES = ("error", "fine", "other result", "traceback", "hang")
GIB = 1 << 30
# damage that a checksum in the file itself has to detect
ONE_PLACE = ("overwrite", "truncate", "extend", "delete", "duplicate", "integer", "number", "insert")
KEPT = 3  # inputs kept of a group of failures
READY, END = "ready", "end"  # what a child says besides verdicts
FORK = multiprocessing.get_context("fork")  # a child has all modules at once, and a crash is its own


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


class Damage(NamedTuple):
    """The damaged content, in place of the valid file."""

    name: str  # of what was done
    data: bytes = b""
    kind: str = "file"  # or absent, directory, pipe

    def put(self, path: Path) -> None:
        """Put it there."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        if self.kind == "file":
            path.write_bytes(self.data)
        elif self.kind == "directory":
            path.mkdir()
        elif self.kind == "pipe":
            os.mkfifo(path)

    @classmethod
    def of(cls, path: Path) -> Damage:
        """What `put` has put there."""
        if not path.exists():
            return cls("absent", kind="absent")
        if path.is_file():
            return cls("kept", path.read_bytes())
        return cls("kept", kind="directory" if path.is_dir() else "pipe")


Draw = Callable[[Reader, Files, int], Damage]  # of a trial's number

# -------------------------------------------------------------------------------------------------- damage

# the first trials of each reader, once each: a pipe that is waited for costs seconds
FIRST = (Damage("absent", kind="absent"), Damage("empty"), Damage("directory", kind="directory"))
FIRST += (Damage("pipe", kind="pipe"),)
PIPE_PATIENCE = 2  # seconds: nothing ever comes
HANGS = 3  # of a reader, after which it is left alone
INTEGERS = (0, 1, -1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
NUMBERS = (*map(str, INTEGERS), "nan", "-inf", "1e999", "1e-400", "-0", "9" * 5000, "0x10", "1_000", "٣", "")
NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
LONGEST = 4 << 20  # bytes


def draw(seed: int, reader: Reader, files: Files, trial: int) -> Damage:
    """The damage of a trial: what the seed, the reader and the number of the trial determine."""
    if trial < len(FIRST):
        return FIRST[trial]
    random = Random(f"{seed} {reader.name} {trial}")
    data, donors = files[reader.target], [files[name] for name in sorted(files)]
    names = []
    for _ in range(1 if random.random() < 0.8 else random.randint(2, 4)):
        name, data = damaged(random, data, donors)
        names.append(name)
    return Damage(" + ".join(names), data[:LONGEST])


def damaged(random: Random, data: bytes, donors: Sequence[bytes], inside: bool = True) -> tuple[str, bytes]:
    """Bytes with one thing done to them, and its name."""
    packed = data[:2] in (b"PK", b"\x1f\x8b")
    if packed and inside and random.random() < 0.4:
        with contextlib.suppress(zipfile.BadZipFile, OSError, EOFError, zlib.error, ValueError, NotImplementedError):
            return within(random, data, donors)
    does = random.choice(TO_TEXT if is_text(data) and random.random() < 0.5 else TO_ALL)
    return does.__name__, does(random, data, donors)


def is_text(data: bytes) -> bool:
    """Whether these are UTF-8."""
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def within(random: Random, data: bytes, donors: Sequence[bytes]) -> tuple[str, bytes]:
    """Damage to what a zip or gzip file holds, whose own sums are right again."""
    if data[:2] != b"PK":
        name, unpacked = damaged(random, gzip.decompress(data), donors, False)
        return f"{name} in gzip", gzip.compress(unpacked[:LONGEST], 1, mtime=0)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if not members:  # a zip that is whole and empty
        return damaged(random, data, donors, False)
    chosen = random.choice(sorted(members))
    name, members[chosen] = damaged(random, members[chosen], [*members.values()], False)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return f"{name} in zip", stream.getvalue()


def span(random: Random, data: bytes, most: int = 1 << 16) -> tuple[int, int]:
    """Where a block begins and ends, short ones as often as long ones."""
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + int(2 ** random.uniform(0, most.bit_length())))


def flip(random: Random, data: bytes, _: object) -> bytes:
    """One to eight bits."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 8) if data else 0):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def overwrite(random: Random, data: bytes, _: object) -> bytes:
    """A block with noise, zeros or ones."""
    start, stop = span(random, data, 64)
    filler = random.choice([random.randbytes(stop - start), bytes(stop - start), b"\xff" * (stop - start)])
    return data[:start] + filler + data[stop:]


def truncate(random: Random, data: bytes, _: object) -> bytes:
    """Anywhere, or a few bytes before the end."""
    return data[: random.choice([random.randrange(len(data) + 1), max(0, len(data) - random.randint(1, 16))])]


def extend(random: Random, data: bytes, _: object) -> bytes:
    """By noise, zeros, or all of it again."""
    size = int(2 ** random.uniform(0, 14))
    return data + random.choice([random.randbytes(size), bytes(size), data, b"\n"])


def delete(random: Random, data: bytes, _: object) -> bytes:
    """A block."""
    start, stop = span(random, data)
    return data[:start] + data[stop:]


def duplicate(random: Random, data: bytes, _: object) -> bytes:
    """A block, once or often."""
    start, stop = span(random, data)
    return data[:stop] + data[start:stop] * random.choice([1, 1, 2, 50]) + data[stop:]


def splice(random: Random, data: bytes, donors: Sequence[bytes]) -> bytes:
    """A block of a valid file, or all of it."""
    other = random.choice(donors)
    if random.random() < 0.2:
        return other
    (start, stop), (first, last) = span(random, data), span(random, other)
    return data[:start] + other[first:last] + data[stop:]


def integer(random: Random, data: bytes, _: object) -> bytes:
    """One of those that are often forgotten, in 4 or 8 bytes of either order."""
    size = random.choice([4, 8])
    start = random.randrange(max(1, min(len(data), random.choice([64, len(data)])) - size))
    value = random.choice(INTEGERS) % (1 << 8 * size)
    return data[:start] + value.to_bytes(size, random.choice(["little", "big"])) + data[start + size :]


def number(random: Random, data: bytes, _: object) -> bytes:
    """Digits, one of those likewise, or what else passes for a number."""
    found = list(NUMBER.finditer(data[:20000]))
    if not found:
        return integer(random, data, _)
    start, stop = random.choice(found).span()
    return data[:start] + random.choice(NUMBERS).encode() + data[stop:]


def insert(random: Random, data: bytes, _: object) -> bytes:
    """What no text holds, or what divides a line otherwise."""
    strange = [b"\0", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\r", b"\n", b"\t", b"|", "\u2028\u00a0".encode()]
    start = random.choice([0, len(data), random.randrange(len(data) + 1)])
    return data[:start] + random.choice(strange) + data[start:]


def recoded(random: Random, data: bytes, _: object) -> bytes:
    """With a byte-order mark, DOS line ends, or in another encoding."""
    text = data.decode()
    ways = [b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n"), text.encode("utf-16"), data.replace(b"\n", b"\r")]
    return random.choice([*ways, text.encode("latin-1", "replace"), data.upper()])


def long_line(random: Random, data: bytes, _: object) -> bytes:
    """A word of a megabyte, or thousands of words."""
    start = random.randrange(len(data) + 1)
    word, times = random.choice([(b"x", 1 << 20), (b"1", 1 << 20), (b'"', 1 << 20), (b"x ", 1 << 15), (b"1 ", 1 << 15)])
    return data[:start] + word * times + data[start:]


def deep(random: Random, data: bytes, _: object) -> bytes:
    """Brackets in brackets in the middle or instead, or YAML whose names stand for more and more."""
    depth = random.choice([50, 2000, 50000])
    nested = random.choice([b"[", b'{"a":', b"- ", b"{a: ", b"(", b"? "]) * depth
    laughs = b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 30))
    start = random.choice([0, random.randrange(len(data) + 1), max(0, data.rfind(b":") + 2)])
    return random.choice([nested, nested, data[:start] + nested + data[start:], data + b"\n" + laughs])


def lines(random: Random, data: bytes, _: object) -> bytes:
    """One left out, one twice, two exchanged, or none sorted."""
    rows = data.splitlines(keepends=True) or [b""]
    one, other = random.randrange(len(rows)), random.randrange(len(rows))
    way = random.randrange(4)
    if way == 0:
        del rows[one]
    elif way == 1:
        rows.insert(other, rows[one])
    elif way == 2:
        rows[one], rows[other] = rows[other], rows[one]
    else:
        random.shuffle(rows)
    return b"".join(rows)


TO_ALL = (flip, overwrite, truncate, extend, delete, duplicate, splice, integer, number, insert)
TO_TEXT = (number, insert, recoded, long_line, deep, lines)


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
        if "/kdasr/" in name:
            return f"kdasr/{name.rpartition('/kdasr/')[2]}:{line}"
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
