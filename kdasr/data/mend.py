"""A data directory put in order: sorted, each key once, and no utterance that not all tables cover."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kdasr.data.kaldi_dir import ALL_TABLES, RECORDING_TABLES, SOURCE, SPEAKER_TABLES
from kdasr.data.parts import spk2utt_lines
from kdasr.errors import UserError
from kdasr.files import atomic_write, only_writer, split_key
from kdasr.keyed import Keyed, hashes_of, order_of, table


class _Loose:
    """A table in any order; of a key's lines the first counts, and a line without a value does not.

    A byte-order mark and carriage returns, at which Kaldi's own tools stumble, are not read.
    """

    def __init__(self, path: Path) -> None:
        self.lines = Keyed(path, _key)
        firsts = np.sort(np.unique(self.lines.hashes, return_index=True)[1])
        self.places = firsts.astype(np.int32)  # (N,) of the lines that count
        self.hashes = self.lines.hashes[firsts]  # (N,) of their keys

    def rows(self, there: np.ndarray) -> Iterator[tuple[str, str]]:
        """The lines (key, value) of which `there`, (N,), is true, in the order of LC_ALL=C."""
        places = self.places[there]
        if not self.lines.rising:
            places = places[order_of(key for key, _ in map(_pair, self.lines.read(places)))]
        return map(_pair, self.lines.read(places))

    def values(self) -> Iterator[str]:
        """The values of the lines that count, as they come."""
        return (value for _, value in map(_pair, self.lines.read(self.places)))


def _pair(line: str) -> tuple[str, str]:
    return split_key(line.replace("\r", " "))


def _key(_: int, line: str) -> str | None:
    key, value = _pair(line)
    return key if value else None


def fix_dir(directory: Path) -> tuple[int, int]:
    """Sort the tables, drop repeated keys and what not all of them cover; the old files go to DIR/.backup.

    An utterance is kept if each of text (with words), text.src, feats.scp, segments and wav.scp that exists has it.

    Returns:
        How many utterances were kept, and how many there were.

    Raises:
        UserError: none would be kept, or the backup is a link.
    """
    if not (directory / "utt2spk").is_file():
        raise UserError(f"{directory}/utt2spk: no such file; name a data directory")
    present = [name for name in ALL_TABLES if (directory / name).is_file()]
    with contextlib.ExitStack() as stack:
        tables = {name: _Loose(directory / name) for name in present}
        for one in tables.values():
            stack.enter_context(one.lines)
        speakers = hashes_of(tables["utt2spk"].values())  # of each utterance
        recordings = _recordings(tables["segments"]) if "segments" in tables else None  # of each segment
        keep = _covered(tables, speakers, recordings)
        if not keep.any():
            raise UserError(f"{directory}: no utterance is in all of {', '.join(present)}; nothing was changed")
        backup = directory / ".backup"
        if backup.is_symlink():
            raise UserError(f"{backup}: is a link, and nothing is written through it; remove it")
        backup.mkdir(exist_ok=True)
        wanted = _wanted(tables, keep, speakers, recordings)
        with only_writer(directory, name=".fix.lock"):
            for name in [*present, "spk2utt"]:
                if (directory / name).is_file():
                    (backup / name).unlink(missing_ok=True)  # a link there would be written through
                    shutil.copyfile(directory / name, backup / name)
            for name, one in tables.items():
                there = np.isin(one.hashes, wanted[name])
                with atomic_write(directory / name) as stream:
                    stream.writelines(f"{key} {value}".rstrip() + "\n" for key, value in one.rows(there))
            with table(directory / "utt2spk") as utt2spk, atomic_write(directory / "spk2utt") as stream:
                stream.writelines(spk2utt_lines(utt2spk))
    return int(keep.sum()), len(keep)


def _covered(tables: dict[str, _Loose], speakers: np.ndarray, recordings: np.ndarray | None) -> np.ndarray:
    """Whether an utterance of utt2spk, (U,), is in all tables that have to have it."""
    utterances = tables["utt2spk"].hashes
    keep = np.ones(len(utterances), dtype=bool)
    for name in ("text", SOURCE, "feats.scp", "segments", "utt2lang"):
        if name in tables:
            keep &= np.isin(utterances, tables[name].hashes)
    for name in ("spk2gender", "cmvn.scp"):  # as in Kaldi: a speaker whom these lack goes too
        if name in tables:
            keep &= np.isin(speakers, tables[name].hashes)
    if "wav.scp" in tables and recordings is not None:
        there = np.isin(recordings, tables["wav.scp"].hashes)
        keep &= np.isin(utterances, tables["segments"].hashes[there])
    elif "wav.scp" in tables:
        keep &= np.isin(utterances, tables["wav.scp"].hashes)
    return keep


def _wanted(
    tables: dict[str, _Loose], keep: np.ndarray, speakers: np.ndarray, recordings: np.ndarray | None
) -> dict[str, np.ndarray]:
    """The keys of each table, as hashes, that utterances (U,) of utt2spk need where `keep` is true."""
    utterances = tables["utt2spk"].hashes[keep]
    recorded = utterances
    if recordings is not None:
        recorded = recordings[np.isin(tables["segments"].hashes, utterances)]
    wanted = dict.fromkeys(tables, utterances)
    wanted |= {name: speakers[keep] for name in SPEAKER_TABLES if name in tables}
    return wanted | {name: recorded for name in RECORDING_TABLES if name in tables}


def _recordings(segments: _Loose) -> np.ndarray:
    """The hash of each segment's recording."""
    return hashes_of(split_key(value)[0] for value in segments.values())
