"""Long files of lines that have keys, read by key or in another order; what is kept of a line are twenty-eight bytes.

Axes: U lines with a key, in the file's order.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import pairwise
from typing import IO

import numpy as np

from kdasr.errors import UserError
from kdasr.files import opened, split_key, text_lines

HASH = 16  # bytes: keys of one hash are one key
SOME = 10_000  # lines looked for at a time


class Keyed:
    """The lines of a file by their keys. Use it as a context; it reads the file while it is open.

    Args:
        path: the file, UTF-8; a pipe is copied first.
        key_of: a line's number (from 1) and text -> its key, None for a line that is to be passed over; it may raise.
        name: what messages call a line.

    Attributes:
        hashes: (U,) of the keys.
        numbers: (U,) of the lines, from 1.
        ended: whether the last line of the file has an end.
        rising: whether keys rise as LC_ALL=C sorts them, which leaves no key for a second line.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        key_of: Callable[[int, str], str | None],
        name: Callable[[str], str] = lambda line: split_key(line)[0],
    ) -> None:
        self.path, self._name = path, name
        with contextlib.ExitStack() as stack:
            self._stream = again_and_again(stack.enter_context(opened(path)), stack)
            hashes, starts, numbers, before = bytearray(), array("q"), array("i"), b""
            self.rising, start = True, 0
            for number, (start, line) in enumerate(text_lines(self._stream, path), 1):
                key = key_of(number, line)
                if key is not None:
                    data = key.encode()
                    self.rising = self.rising and data > before
                    before = data
                    hashes += blake2b(data, digest_size=HASH).digest()
                    starts.append(start)
                    numbers.append(number)
            self._stream.seek(-1 if self._stream.tell() else 0, os.SEEK_END)
            self.ended = self._stream.read() == b"\n"
            self._close = stack.pop_all()
        self.hashes = as_hashes(hashes)
        self.starts = np.frombuffer(starts or b"", dtype=np.int64)
        self.numbers = np.frombuffer(numbers or b"", dtype=np.int32)
        self._sorted: tuple[np.ndarray, np.ndarray] | None = None

    def __enter__(self) -> Keyed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._close.close()

    def __len__(self) -> int:
        return len(self.hashes)

    def twice(self) -> tuple[int, int] | None:
        """The first line in the file whose key an earlier line has: (its place, the earlier one's); None without."""
        return None if self.rising else first_twice(self.hashes)

    def once(self) -> Keyed:
        """Itself; UserError if a key is there twice."""
        if two := self.twice():
            with self:
                number, line = self.numbers[two[0]], next(self.read(np.array(two[:1])))
            raise UserError(f"{self.path}:{number}: {self._name(line)} is here a second time; remove one of its lines")
        return self

    def in_order(self, key: Callable[[str], str]) -> np.ndarray:
        """The places of the lines in the order that LC_ALL=C gives their keys, (U,); `key` is a line's."""
        everywhere = np.arange(len(self), dtype=np.int32)
        if self.rising:
            return everywhere
        return order_of(map(key, self.read(everywhere)))

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """The places, (N,), of the keys of these hashes (N,); -1 for one that no line has."""
        if len(hashes) == len(self) and bool((hashes == self.hashes).all()):
            return np.arange(len(self), dtype=np.int32)  # as nearly always: two lists in one order
        if not len(self):
            return np.full(len(hashes), -1, dtype=np.int32)
        if self._sorted is None:
            order = np.argsort(self.hashes, kind="stable").astype(np.int32)
            self._sorted = order, self.hashes[order]
        order, ordered = self._sorted
        found = np.empty(len(hashes), dtype=np.int32)
        for first in range(0, len(hashes), SOME):
            some = hashes[first : first + SOME]
            place = np.minimum(np.searchsorted(ordered, some), len(self) - 1)
            found[first : first + SOME] = np.where(ordered[place] == some, order[place], -1)
        return found

    def read(self, places: np.ndarray) -> Iterator[str]:
        """The lines at these places, (N,); one reader at a time."""
        for first, last in _runs(places):
            number, end = int(self.numbers[first]), int(self.numbers[last])
            wanted = set(self.numbers[first : last + 1].tolist())  # others are comments and the like
            self._stream.seek(int(self.starts[first]))
            for _, line in text_lines(self._stream, self.path, number, end - number + 1):
                if number in wanted:
                    yield line
                number += 1


def table(path: str | os.PathLike[str], empty: bool = False) -> Keyed:
    """As `kdasr.files.read_table`, its lines left on disk."""

    def key_of(number: int, line: str) -> str:
        key, value = split_key(line)
        if not key or (not value and not empty):
            raise UserError(f"{path}:{number}: expected 'KEY VALUE', found {line!r}; correct or remove the line")
        return key

    return Keyed(path, key_of).once()


def hash_of(key: str) -> bytes:
    """A key as `Keyed.hashes` has it."""
    return blake2b(key.encode(), digest_size=HASH).digest()


def hashes_of(names: Iterable[str]) -> np.ndarray:
    """Those of some keys, as `Keyed.hashes` has them."""
    return as_hashes(b"".join(map(hash_of, names)))


def as_hashes(data: bytes | bytearray) -> np.ndarray:
    """Hashes in a row as an array."""
    return np.frombuffer(data, dtype=np.uint8).view(f"S{HASH}")


def rows(whole: Keyed, places: np.ndarray | None = None) -> Iterator[tuple[str, str]]:
    """(key, value) of these lines, by default of all of them."""
    return map(split_key, whole.read(np.arange(len(whole), dtype=np.int32) if places is None else places))


def order_of(names: Iterable[str]) -> np.ndarray:
    """The places of some names, (N,), in the order of LC_ALL=C; of equal ones the first stands first."""
    keys = [name.encode() for name in names]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int32)


def first_twice(hashes: np.ndarray) -> tuple[int, int] | None:
    """The first place of an array (U,) that holds what an earlier place holds, and that earlier one; None without."""
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    if not len(same):
        return None
    later = order[same + 1]
    place = int(later.min())
    return place, int(np.flatnonzero(hashes[:place] == hashes[place])[0])


def _runs(places: np.ndarray) -> Iterator[tuple[int, int]]:
    """The first and last of each row of places that follow each other in a file, SOME at most."""
    ends = np.flatnonzero(np.diff(places) != 1) + 1
    ends = np.union1d(ends, np.arange(0, len(places) + 1, SOME))
    ends = np.union1d(ends, [0, len(places)])
    for first, stop in pairwise(ends.tolist()):
        yield int(places[first]), int(places[stop - 1])


def again_and_again(stream: IO[bytes], stack: contextlib.ExitStack) -> IO[bytes]:
    """A stream that can be read twice: the given one, or a copy of a pipe, which `stack` closes."""
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    shutil.copyfileobj(stream, copy)
    copy.seek(0)
    return copy
