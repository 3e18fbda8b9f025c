"""Data directories copied under other ids, and several made one; lines are read and written, and none kept."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from kdasr.data.cmvn import merge, packed, read_npz
from kdasr.data.kaldi_dir import ALL_TABLES, CMVN, RECORDING_TABLES, SPEAKER_TABLES, UTTERANCE_TABLES
from kdasr.data.parts import SOME, LongDir, in_order, put_rows
from kdasr.data.utterances import SPEEDS
from kdasr.errors import UserError
from kdasr.files import columns
from kdasr.keyed import Keyed, order_of, rows

Row = tuple[str, str]
Affixes = tuple[str, str]  # before an id, behind it
Part = dict[str, Callable[[], Iterator[Row]]]  # the lines of each table of a directory, in the order of LC_ALL=C


def copy_dir(source: Path, target: Path, spk: Affixes = ("", ""), utt: Affixes = ("", "")) -> None:
    """Copy a directory, putting (prefix, suffix) round speaker and utterance ids; recordings keep theirs.

    Raises:
        UserError: a prefix or suffix that no id can have.
    """
    for affix in (*spk, *utt):
        if columns(f"a{affix}a") != [f"a{affix}a"] or any("\ud800" <= c <= "\udfff" for c in affix):
            raise UserError(f"{affix!a}: cannot be part of an id; give a prefix or suffix of UTF-8 without white space")
    with LongDir(source) as whole:
        affixes = dict.fromkeys(SPEAKER_TABLES, spk)
        if "segments" in whole.tables:
            affixes |= dict.fromkeys(RECORDING_TABLES, ("", ""))
        copied = {name: _renamed(lines, affixes.get(name, utt)) for name, lines in whole.tables.items()}
        copied["utt2spk"] = ((key, spk[0] + value + spk[1]) for key, value in copied["utt2spk"])
        put_rows(target, copied, len(whole.utt2spk), whole.cmvn())


def _renamed(lines: Keyed, affixes: Affixes) -> Iterator[Row]:
    """Lines whose keys have something before and behind them, in the order of LC_ALL=C."""
    before, behind = affixes
    # With the same before them keys keep their order, with the same behind them they need not.
    places = order_of(key + behind for key, _ in rows(lines)) if behind else in_order(lines)
    return ((before + key + behind, value) for key, value in rows(lines, places))


def combine_dirs(target: Path, sources: Sequence[Path]) -> tuple[int, list[str]]:
    """Join directories: each table that all of them have, and the sum of their cmvn.npz.

    A table that some lack is left out, but for three that follow from the others: an utterance without utt2speed is
    played as it was recorded and, as in Kaldi, one without utt2uniq is its own original, and where some have
    `segments` an utterance without is the whole of its recording.
    Without wav.scp there is nothing to cut, and `segments` is left out.

    Returns:
        How many utterances there are, and the tables left out.

    Raises:
        UserError: an utterance is in two of them, or a speaker or recording with different lines.
    """
    if target.resolve() in {source.resolve() for source in sources}:
        raise UserError(f"{target}: is one of the sources; name another directory for the whole")
    with contextlib.ExitStack() as stack:
        wholes = [stack.enter_context(LongDir(source)) for source in sources]
        parts = [_lines_of(whole) for whole in wholes]
        _complete(parts, wholes)
        names = [name for name in ALL_TABLES if all(name in part for part in parts)]
        if "wav.scp" not in names:
            names = [name for name in names if name != "segments"]
        tables = {name: _merged(name, [part[name]() for part in parts], sources) for name in names}
        utterances = sum(len(whole.utt2spk) for whole in wholes)
        put_rows(target, tables, utterances, _sum_cmvn(sources))
    return utterances, [name for name in ALL_TABLES if name not in names and any(name in part for part in parts)]


def _lines_of(whole: LongDir) -> Part:
    """The tables of a directory."""
    return {name: lambda lines=lines: rows(lines, in_order(lines)) for name, lines in whole.tables.items()}


def _complete(parts: Sequence[Part], wholes: Sequence[LongDir]) -> None:
    """Give each part what others have and what follows from its tables."""
    for name, value in (("utt2uniq", None), (SPEEDS, "1.0")):
        if any(name in part for part in parts):
            for part in parts:
                part.setdefault(name, lambda part=part, value=value: _of_utterances(part, value))
    if any("segments" in part for part in parts):
        for part, whole in zip(parts, wholes, strict=True):
            if "segments" not in part and "wav.scp" in part:
                # utt2dur of directories with utt2speed has the lengths of the copies
                lengths = None if SPEEDS in part else whole.tables.get("utt2dur")
                part["segments"] = lambda whole=whole, lengths=lengths: _whole_recordings(whole, lengths)
                if lengths:
                    part.setdefault("reco2dur", part["utt2dur"])


def _of_utterances(part: Part, value: str | None) -> Iterator[Row]:
    """A table with one value for all utterances of a part; None: each has itself."""
    return ((utterance, utterance if value is None else value) for utterance, _ in part["utt2spk"]())


def _whole_recordings(whole: LongDir, lengths: Keyed | None) -> Iterator[Row]:
    """`segments` of a directory in which each utterance is its whole recording.

    The end is the utterance's duration where that is known, and else -1, which Kaldi takes for the recording's end.
    """
    ordered = in_order(whole.utt2spk)
    for first in range(0, len(ordered), SOME):
        some = ordered[first : first + SOME]
        known: dict[int, str] = {}
        if lengths:
            places = lengths.find(whole.utt2spk.hashes[some])
            there = np.flatnonzero(places >= 0)
            known = dict(zip(there.tolist(), (value for _, value in rows(lengths, places[there])), strict=True))
        for number, (utterance, _) in enumerate(rows(whole.utt2spk, some)):
            yield utterance, f"{utterance} 0 {known.get(number, '-1')}"


def _merged(name: str, lines: Sequence[Iterator[Row]], sources: Sequence[Path]) -> Iterator[Row]:
    """The lines of a table of all directories, in the order of LC_ALL=C.

    A speaker or recording may be in several of them, with the same line; an utterance may not.
    """
    before, there = b"", ""
    for data, number, key, value in heapq.merge(*(_numbered(number, one) for number, one in enumerate(lines))):
        if data == before:
            if name in UTTERANCE_TABLES or there != value:
                raise UserError(
                    f"{sources[number]}/{name}: {key} is in another of the directories too; copy one of them with a"
                    " prefix first (utils/copy_data_dir.py)"
                )
            continue
        before, there = data, value
        yield key, value


def _numbered(number: int, lines: Iterator[Row]) -> Iterator[tuple[bytes, int, str, str]]:
    """Lines as they are to be merged: by the bytes of their keys, then by the number of their directory."""
    return ((key.encode(), number, key, value) for key, value in lines)


def _sum_cmvn(sources: Sequence[Path]) -> bytes | None:
    """The global statistics of all directories, added up: what the joined features' would be; None if some lack them.

    Raises:
        UserError: they are of other features.
    """
    paths = [source / CMVN for source in sources]
    if not all(path.is_file() for path in paths):
        return None
    parts = [read_npz(path) for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if part.sum.shape != parts[0].sum.shape:
            raise UserError(
                f"{path}: has {len(part.sum)} bins, {paths[0]} has {len(parts[0].sum)}; join sets of the same features"
            )
    return packed(merge(parts))
