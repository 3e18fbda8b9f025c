"""Ways to damage a file: what tools/fuzz.py puts in place of a valid one."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from fuzz_inputs import Files, Reader


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

# the first trials of each reader, once each: a pipe that is waited for costs seconds
FIRST = (Damage("absent", kind="absent"), Damage("empty"), Damage("directory", kind="directory"))
FIRST += (Damage("pipe", kind="pipe"),)
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
