"""sclite's reports of a set that comes in pieces, so that a long one never lies in memory.

The texts of utterances go into files, from where they are put together speaker by speaker; numbers stay.

Axes: U utterances, S speakers, P distinct errors.
"""

from __future__ import annotations

import io
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import IO

import numpy as np

from kdasr.score import layout, sclite
from kdasr.score.align import Aligned, Counts
from kdasr.score.steps import Steps, collect

BLOCK = 1 << 20  # bytes that are copied at a time
ROWS = 10_000  # lines of a list that are made at a time
FOLD = 1 << 18  # errors after which equal ones are counted together
KINDS = ("sys", "raw", "pra", "dtl", "sgml")


class Pieces:
    """Texts of utterances, in a file; `file` is open for reading and writing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ends = array("q", [0])

    def add(self, texts: Sequence[bytes]) -> None:
        """Append the texts of the next utterances."""
        self._file.write(b"".join(texts))
        end = self._ends[-1]
        for text in texts:
            end += len(text)
            self._ends.append(end)

    def copy(self, places: np.ndarray, out: IO[bytes]) -> None:
        """Write the texts of the utterances at these places (N,) one after the other."""
        stops = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
        for first, stop in pairwise(stops):
            start, end = self._ends[places[first]], self._ends[places[stop - 1] + 1]
            self._file.seek(start)
            for size in range(end - start, 0, -BLOCK):
                out.write(self._file.read(min(size, BLOCK)))


class Errors:
    """How often each word was inserted, deleted, or taken for another."""

    def __init__(self) -> None:
        self.words: dict[bytes, int] = {b"": 0}  # word: its number; nothing is 0
        self._keys = np.zeros(0, dtype=np.int64)  # (P,): numbers of reference and hypothesis word, 32 bits each
        self._times = np.zeros(0, dtype=np.int64)  # (P,)
        self._new: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, steps: Steps) -> None:
        """Count the errors of some utterances."""
        times = np.bincount(steps.which, minlength=len(steps.distinct))
        wrong = [place for place, (operation, _, _) in enumerate(steps.distinct) if operation != "C"]
        number = self.words.setdefault
        sides = (steps.distinct[place][1:] for place in wrong)
        keys = [number(ref, len(self.words)) << 32 | number(hyp, len(self.words)) for ref, hyp in sides]
        self._new.append((np.array(keys, dtype=np.int64), times[wrong]))
        if sum(len(new) for new, _ in self._new) > max(FOLD, len(self._keys)):
            self._fold()

    def _fold(self) -> None:
        keys, places = np.unique(np.concatenate([self._keys, *(new for new, _ in self._new)]), return_inverse=True)
        times = np.zeros(len(keys), dtype=np.int64)
        np.add.at(times, places, np.concatenate([self._times, *(new for _, new in self._new)]))
        self._keys, self._times, self._new = keys, times, []

    def lists(self) -> Iterator[bytes]:
        """The lists of them as sclite has them, by falling frequency; of equal ones in the order of their letters."""
        self._fold()
        names = list(self.words)
        rank = np.empty(len(names), dtype=np.int64)
        rank[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        sides = np.stack([self._keys >> 32, self._keys & 0xFFFFFFFF])  # (2, P) numbers of words
        both = (sides > 0).all(axis=0)
        confused, times = sides[:, both], self._times[both]
        # no word has a blank, which comes before all other letters: the order of pairs is that of their names
        order = np.lexsort((rank[confused[1]], rank[confused[0]], -times))
        pairs = (b"%s ==> %s" % (names[a], names[b]) for a, b in _rows(confused[:, order].T))
        yield from _list("CONFUSION PAIRS", pairs, times[order])
        for title, side, of in (
            ("INSERTIONS", 1, sides[0] == 0),
            ("DELETIONS", 0, sides[1] == 0),
            ("SUBSTITUTIONS", 0, both),
            ("FALSELY RECOGNIZED", 1, both),
        ):
            found = np.zeros(len(names), dtype=np.int64)
            np.add.at(found, sides[side, of], self._times[of])
            (words,) = np.nonzero(found)
            words = words[np.lexsort((rank[words], -found[words]))]
            yield from _list(title, (names[word] for word in _rows(words)), found[words])


class Running:
    """The reports, made of utterances that are added in the order of the hypothesis file.

    Args:
        case_sensitive, id_form, chars, kinds, date, optional, fragments: as of `kdasr.score.detail.reports`.
        room: gives an empty file for texts.
    """

    def __init__(
        self,
        case_sensitive: bool = False,
        id_form: str = "rm",
        chars: bool = False,
        kinds: Collection[str] = KINDS,
        date: str | None = None,
        optional: bool = False,
        fragments: bool = False,
        room: Callable[[], IO[bytes]] = io.BytesIO,
    ) -> None:
        self.case_sensitive, self.id_form, self.chars, self.kinds = case_sensitive, id_form, chars, tuple(kinds)
        self._head = layout.sgml_head(date, optional, fragments)
        self._pieces = {kind: Pieces(room()) for kind in self.kinds if kind in ("pra", "sgml")}
        self._errors = Errors()
        self._speakers: dict[bytes, int] = {}
        self._speaker = array("i")  # (U,)
        self._counts: list[np.ndarray] = []

    def add(self, utterances: Sequence[Aligned]) -> None:
        """Take the next utterances."""
        steps = collect(utterances, self.case_sensitive)
        first = len(self._speaker)
        for one in utterances:
            name = sclite.speaker_of(one.id, self.case_sensitive, self.id_form)
            self._speaker.append(self._speakers.setdefault(name, len(self._speakers)))
        self._counts.append(steps.counts.astype(np.int32))
        if "dtl" in self.kinds:
            self._errors.add(steps)
        if "pra" in self.kinds:
            attributes = sclite.SENSITIVE if self.case_sensitive else b""
            self._pieces["pra"].add(sclite.drawings(utterances, steps, self.case_sensitive, attributes))
        if "sgml" in self.kinds:
            self._pieces["sgml"].add(layout.sgml_paths(utterances, steps, self.case_sensitive, self.chars, first))

    def counts(self) -> np.ndarray:
        """(U, 4): words that are correct, substituted, deleted, inserted."""
        if len(self._counts) != 1:
            self._counts = [np.concatenate([np.zeros((0, 4), dtype=np.int32), *self._counts])]
        return self._counts[0]

    def speakers(self) -> dict[bytes, Counts]:
        """Counts of each speaker, in order of appearance."""
        counts, speaker = self.counts(), np.array(self._speaker, dtype=np.int64)
        columns = [*counts.T, np.ones(len(speaker), dtype=np.int32), counts[:, 1:].any(axis=1)]
        sums = (np.bincount(speaker, column, len(self._speakers)).astype(np.int64).tolist() for column in columns)
        return {name: Counts(*one) for name, one in zip(self._speakers, zip(*sums, strict=True), strict=True)}

    def write(self, kind: str, out: IO[bytes]) -> None:
        """Write one of the kinds of report."""
        if kind in ("sys", "raw"):
            out.write(sclite.summary(self.speakers(), kind == "raw", self.chars))
        elif kind == "dtl":
            out.write(layout.dtl_head(self.counts()))
            out.writelines(self._errors.lists())
        elif kind == "pra":
            out.write(b"".join([sclite.PRA, *sclite.list_speakers(self._speakers), b"\n"]))
            for number, (name, places) in enumerate(self._groups()):
                out.write(sclite.SENTENCES % (number, name, len(places)))
                self._pieces["pra"].copy(places, out)
            out.write(b"\n")
        elif kind == "sgml":
            out.write(self._head)
            for name, places in self._groups():
                out.write(b'<SPEAKER id="%s">\n' % name)
                self._pieces["sgml"].copy(places, out)
                out.write(b"</SPEAKER>\n")
            out.write(b"</SYSTEM>\n")

    def _groups(self) -> Iterator[tuple[bytes, np.ndarray]]:
        """Each speaker with the places of the utterances, (N,)."""
        speaker = np.array(self._speaker, dtype=np.int32)
        order = np.argsort(speaker, kind="stable")
        ends = np.cumsum(np.bincount(speaker, minlength=len(self._speakers))).tolist()
        for name, (start, stop) in zip(self._speakers, pairwise([0, *ends]), strict=True):
            yield name, order[start:stop]


def _rows(array_: np.ndarray) -> Iterator[object]:
    """The rows of an array as Python's numbers, some at a time."""
    for first in range(0, len(array_), ROWS):
        yield from array_[first : first + ROWS].tolist()


def _list(title: str, names: Iterable[bytes], times: np.ndarray) -> Iterator[bytes]:
    """One of sclite's lists."""
    yield b"\n%-30s   Total                 (%d)\n" % (title.encode(), len(times))
    yield b"%-30s   With >=  1 occurrences (%d)\n\n" % (b"", len(times))
    for rank, (name, number) in enumerate(zip(names, _rows(times), strict=True), 1):
        yield b"%4d: %4d  ->  %s\n" % (rank, number, name)
    yield b"     -------\n     %5d\n\n\n" % times.sum()
    yield layout.NOTE.get(title, "").encode()
