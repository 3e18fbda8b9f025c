"""Data directories that are too long to lie in memory: tables stay on disk, lines are copied by key.

Axes: U utterances, in the order of utt2spk.
"""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from kdasr.data.kaldi_dir import ALL_TABLES, CMVN, RECORDING_TABLES, SPEAKER_TABLES, check_place
from kdasr.data.utterances import original_of
from kdasr.errors import UserError
from kdasr.files import atomic_dir, split_key
from kdasr.keyed import Keyed, hashes_of, order_of, rows, table

SOME = 10_000  # lines at a time


class _Same(Exception):
    """What is to be written is there already."""


class LongDir:
    """A data directory as `kdasr.data.kaldi_dir.read_dir` reads it, its tables left on disk while it is open."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        if not (directory / "utt2spk").is_file():
            raise UserError(
                f"{directory}/utt2spk: no such file; name a data directory, or run the stage that writes it"
            )
        with contextlib.ExitStack() as stack:
            self.tables: dict[str, Keyed] = {}
            for name in ALL_TABLES:  # utt2spk is the first
                if (directory / name).is_file():
                    one = self.tables[name] = stack.enter_context(table(directory / name, name == "text"))
                    if np.array_equal(one.hashes, self.tables["utt2spk"].hashes):
                        one.hashes = self.tables["utt2spk"].hashes  # as nearly always: held once
            self.utt2spk = self.tables["utt2spk"]
            self.speakers, self.speaker = speakers_of(self.utt2spk)  # their names; the number of each one's, (U,)
            self._close = stack.pop_all()

    def __enter__(self) -> LongDir:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def shuffled(self, seed: int) -> np.ndarray:
        """The place of each utterance's group in the order that `kdasr.data.holdout.shuffled` gives them, (U,)."""
        found = bytearray()
        for name, original in self._originals():
            found += hashlib.sha256(f"{seed} {name if original is None else original}".encode()).digest()
        return np.unique(np.array(found).view("S32"), return_inverse=True)[1].astype(np.int32)

    def _originals(self) -> Iterator[tuple[str, str | None]]:
        """The name of each utterance without its speed, and the original that utt2uniq says, if it does."""
        uniq = self.tables.get("utt2uniq")
        for first in range(0, len(self.utt2spk), SOME):
            some = np.arange(first, min(first + SOME, len(self.utt2spk)), dtype=np.int32)
            said: dict[int, str] = {}
            if uniq is not None:
                places = uniq.find(self.utt2spk.hashes[some])
                known = np.flatnonzero(places >= 0)
                said = dict(zip(known.tolist(), (value for _, value in rows(uniq, places[known])), strict=True))
            for number, (name, _) in enumerate(rows(self.utt2spk, some)):
                yield original_of(name), said.get(number)

    def put(self, directory: Path, kept: np.ndarray, without: str = "", cmvn: bytes | None = None) -> bool:
        """Write the part with these utterances, as `kdasr.data.kaldi_dir.put_dir` writes it.

        Args:
            directory: to write.
            kept: (U,) whether an utterance is in it.
            without: a table that the part has not.
            cmvn: of its cmvn.npz.

        Returns:
            Whether anything was written.
        """
        part = {name: lines for name, lines in self.part(kept).items() if name != without}
        return put_rows(directory, part, int(kept.sum()), cmvn)

    def part(self, kept: np.ndarray) -> dict[str, Iterator[tuple[str, str]]]:
        """The lines of each table for these utterances (U,), and the speakers and recordings that they need."""
        wanted = dict.fromkeys(SPEAKER_TABLES, self._speakers_of(kept))
        wanted |= dict.fromkeys(RECORDING_TABLES, self._recordings_of(kept))
        utterances = self.utt2spk.hashes[kept]
        found = {}
        for name, whole in self.tables.items():
            places = in_order(whole)
            same = name not in wanted and whole.hashes is self.utt2spk.hashes
            there = kept if same else np.isin(whole.hashes, wanted.get(name, utterances))
            found[name] = rows(whole, places[there[places]])
        return found

    def cmvn(self) -> bytes | None:
        """Its cmvn.npz: a part keeps the whole's statistics, which need no transcripts."""
        path = self.directory / CMVN
        return path.read_bytes() if path.is_file() else None

    def _speakers_of(self, kept: np.ndarray) -> np.ndarray:
        """Hashes of the speakers of these utterances."""
        return hashes_of(self.speakers[number] for number in np.unique(self.speaker[kept]).tolist())

    def _recordings_of(self, kept: np.ndarray) -> np.ndarray:
        """Hashes of the recordings of these utterances: themselves, or what `segments` says."""
        if "segments" not in self.tables:
            return self.utt2spk.hashes[kept]
        segments = self.tables["segments"]
        places = np.flatnonzero(np.isin(segments.hashes, self.utt2spk.hashes[kept]))
        return np.unique(hashes_of(split_key(line)[0] for _, line in rows(segments, places)))


def put_rows(
    directory: Path, tables: Mapping[str, Iterable[tuple[str, str]]], utterances: int, cmvn: bytes | None = None
) -> bool:
    """Write a data directory of so many utterances, as `kdasr.data.kaldi_dir.put_dir` writes it.

    Args:
        directory: to write.
        tables: the lines of each, key and value, in the order of LC_ALL=C.
        utterances: their number.
        cmvn: of its cmvn.npz.

    Returns:
        Whether anything was written: a directory that holds the same already is left alone.

    Raises:
        UserError: no utterances, or something else than a data directory is in the way.
    """
    check_place(directory, utterances)
    with contextlib.suppress(_Same), atomic_dir(directory) as fresh:
        for name, lines in tables.items():
            _write(fresh / name, (f"{key} {value}".rstrip() + "\n" for key, value in lines))
        with table(fresh / "utt2spk") as utt2spk:
            _write(fresh / "spk2utt", spk2utt_lines(utt2spk))
        if cmvn:
            (fresh / CMVN).write_bytes(cmvn)
        files = {*tables, "spk2utt", *([CMVN] if cmvn else [])}
        there_already = {name for name in [*ALL_TABLES, "spk2utt", CMVN] if (directory / name).exists()}
        if there_already == files and not filecmp.cmpfiles(fresh, directory, sorted(files), shallow=False)[1]:
            raise _Same
        return True
    return False


def _write(path: Path, lines: Iterable[str]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(lines)


def speakers_of(utt2spk: Keyed) -> tuple[list[str], np.ndarray]:
    """The speakers as they come, and the number of each utterance's (U,)."""
    found: dict[str, int] = {}
    each = (found.setdefault(name, len(found)) for _, name in rows(utt2spk))
    numbers = np.fromiter(each, dtype=np.int32, count=len(utt2spk))
    return list(found), numbers


def spk2utt_lines(utt2spk: Keyed) -> Iterator[str]:
    """The lines of spk2utt, speakers in the order of LC_ALL=C, each one's utterances in that of utt2spk."""
    names, speaker = speakers_of(utt2spk)
    counts = np.bincount(speaker, minlength=len(names)).tolist()
    rank = np.empty(len(names), dtype=np.int32)
    ordered = order_of(names)
    rank[ordered] = np.arange(len(names))
    utterances = rows(utt2spk, np.argsort(rank[speaker], kind="stable").astype(np.int32))
    for number in ordered.tolist():
        line = " ".join([names[number], *(next(utterances)[0] for _ in range(counts[number]))])
        yield line.rstrip() + "\n"


def in_order(whole: Keyed) -> np.ndarray:
    """The places of a table's lines in the order of LC_ALL=C."""
    return whole.in_order(lambda line: split_key(line)[0])
