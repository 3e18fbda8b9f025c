"""Parts of a data directory that is too long to lie in memory: its tables stay on disk, lines are copied by key.

Axes: U utterances, in the order of utt2spk.
"""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdasr.data.kaldi_dir import ALL_TABLES, CMVN, RECORDING_TABLES, SPEAKER_TABLES, check_place
from kdasr.data.utterances import original_of
from kdasr.errors import UserError
from kdasr.files import atomic_dir, split_key
from kdasr.keyed import Keyed, hashes_of, rows, table

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
            names = [name for name in ALL_TABLES if (directory / name).is_file()]
            self.tables = {name: stack.enter_context(table(directory / name, name == "text")) for name in names}
            self.utt2spk = self.tables["utt2spk"]
            self.speakers: dict[str, int] = {}  # each one's number
            numbers = (self.speakers.setdefault(name, len(self.speakers)) for _, name in rows(self.utt2spk))
            self.speaker = np.fromiter(numbers, dtype=np.int32, count=len(self.utt2spk))  # (U,)
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
        check_place(directory, int(kept.sum()))
        names = [name for name in self.tables if name != without]
        wanted = dict.fromkeys(SPEAKER_TABLES, self._speakers_of(kept))
        wanted |= dict.fromkeys(RECORDING_TABLES, self._recordings_of(kept))
        utterances = self.utt2spk.hashes[kept]
        with contextlib.suppress(_Same), atomic_dir(directory) as fresh:
            for name in names:
                whole = self.tables[name]
                places = in_order(whole)
                there = np.isin(whole.hashes, wanted.get(name, utterances))
                with open(fresh / name, "w", encoding="utf-8", newline="\n") as stream:
                    stream.writelines(f"{k} {v}".rstrip() + "\n" for k, v in rows(whole, places[there[places]]))
            with open(fresh / "spk2utt", "w", encoding="utf-8", newline="\n") as stream:
                stream.writelines(self._spk2utt(kept))
            if cmvn:
                (fresh / CMVN).write_bytes(cmvn)
            files = {*names, "spk2utt", *([CMVN] if cmvn else [])}
            there_already = {name for name in [*ALL_TABLES, "spk2utt", CMVN] if (directory / name).exists()}
            if there_already == files and not filecmp.cmpfiles(fresh, directory, sorted(files), shallow=False)[1]:
                raise _Same
            return True
        return False

    def _speakers_of(self, kept: np.ndarray) -> np.ndarray:
        """Hashes of the speakers of these utterances."""
        names = list(self.speakers)
        return hashes_of(names[number] for number in np.unique(self.speaker[kept]).tolist())

    def _recordings_of(self, kept: np.ndarray) -> np.ndarray:
        """Hashes of the recordings of these utterances: themselves, or what `segments` says."""
        if "segments" not in self.tables:
            return self.utt2spk.hashes[kept]
        segments = self.tables["segments"]
        places = np.flatnonzero(np.isin(segments.hashes, self.utt2spk.hashes[kept]))
        return np.unique(hashes_of(split_key(line)[0] for _, line in rows(segments, places)))

    def _spk2utt(self, kept: np.ndarray) -> Iterator[str]:
        """The lines of spk2utt, speakers and each one's utterances in the order of LC_ALL=C."""
        order = in_order(self.utt2spk)
        order = order[kept[order]]
        names = sorted(self.speakers, key=str.encode)
        rank = np.empty(len(names), dtype=np.int32)
        rank[[self.speakers[name] for name in names]] = np.arange(len(names))
        ranks = rank[self.speaker[order]]
        order = order[np.argsort(ranks, kind="stable")]
        utterances = rows(self.utt2spk, order)
        for name, count in zip(names, np.bincount(ranks, minlength=len(names)).tolist(), strict=True):
            if count:
                line = " ".join([name, *(next(utterances)[0] for _ in range(count))])
                yield line.rstrip() + "\n"


def in_order(whole: Keyed) -> np.ndarray:
    """The places of a table's lines in the order of LC_ALL=C."""
    return whole.in_order(lambda line: split_key(line)[0])
