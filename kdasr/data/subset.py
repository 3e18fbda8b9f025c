"""Part of a data directory: utterances spread over it, of each speaker, of some speakers, or the shortest.

Each way gives places of utterances, in the order of utt2spk, as Kaldi's subset_data_dir.sh chooses them.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kdasr.data.parts import LongDir, in_order
from kdasr.errors import UserError
from kdasr.keyed import hashes_of, rows


def write_subset(source: LongDir, places: Iterable[int], target: Path) -> int:
    """Write the part with the utterances at these places, with the source's cmvn.npz; returns how many they are."""
    if target.resolve() == source.directory.resolve():
        raise UserError(f"{target}: is the source itself; name another directory for the part")
    kept = np.zeros(len(source.utt2spk), dtype=bool)
    kept[np.fromiter(places, dtype=np.int64)] = True
    source.put(target, kept, cmvn=source.cmvn())
    return int(kept.sum())


def write_listed(source: Path, target: Path, utterances: Iterable[str]) -> int:
    """Write the part of a directory that has these utterances; returns how many they are."""
    with LongDir(source) as whole:
        return write_subset(whole, listed(whole, utterances, speakers=False), target)


def evenly(utterances: int, count: int) -> list[int]:
    """`count` places spread over so many utterances, the ones that Kaldi's subset_scp.pl takes."""
    if count > utterances:
        raise UserError(f"{count} utterances asked for, but there are {utterances}; ask for fewer")
    chosen: list[int] = []
    left = [(0, utterances, count)]  # pieces: the first place, how many there are, and how many of them are taken
    while left:
        first, size, wanted = left.pop()
        if wanted in (0, size):
            chosen += range(first, first + wanted)
            continue
        half = size // 2
        left += [(first + half, size - half, wanted - wanted // 2), (first, half, wanted // 2)]
    return chosen


def of_each_speaker(speaker: np.ndarray, count: int) -> list[int]:
    """At most `count` utterances of each speaker, evenly spread.

    Args:
        speaker: (U,) the number of each utterance's.
        count: of each.
    """
    chosen: list[int] = []
    for utterances in _by_speaker(speaker):
        step = max(1, len(utterances) // count)
        chosen += utterances[::step][:count].tolist()
    return chosen


def of_some_speakers(speaker: np.ndarray, count: int) -> list[int]:
    """All utterances of randomly drawn speakers (the same in every run) until there are `count` or more.

    Args:
        speaker: (U,) the number of each utterance's.
        count: of utterances.
    """
    each = _by_speaker(speaker)
    random.Random(0).shuffle(each)
    chosen: list[int] = []
    for utterances in each:
        if len(chosen) >= count:
            break
        chosen += utterances.tolist()
    return chosen


def shortest(source: LongDir, count: int) -> list[int]:
    """The `count` shortest utterances, by utt2num_frames or utt2dur; of equally short ones the first by their bytes."""
    lengths = source.tables.get("utt2num_frames") or source.tables.get("utt2dur")
    if not lengths:
        raise UserError("--shortest: neither utt2num_frames nor utt2dur is there; run kdasr feats first")
    numbers = np.array([_length(*row) for row in rows(lengths)])
    ordered = in_order(lengths)
    chosen = ordered[np.argsort(numbers[ordered], kind="stable")][:count]
    places = source.utt2spk.find(lengths.hashes[chosen])
    return [place for place in places.tolist() if place >= 0]


def listed(source: LongDir, keys: Iterable[str], speakers: bool) -> list[int]:
    """The utterances with these ids; or, with `speakers`, those of the speakers with these ids."""
    if not speakers:
        return np.flatnonzero(np.isin(source.utt2spk.hashes, hashes_of(keys))).tolist()
    wanted = set(keys)
    numbers = [number for number, name in enumerate(source.speakers) if name in wanted]
    return np.flatnonzero(np.isin(source.speaker, numbers)).tolist()


def _by_speaker(speaker: np.ndarray) -> list[np.ndarray]:
    """The places of each speaker's utterances, speakers as they come."""
    ends = np.cumsum(np.bincount(speaker))
    return np.split(np.argsort(speaker, kind="stable"), ends[:-1])


def _length(utterance: str, value: str) -> float:
    """Frames or seconds; UserError if it is no number."""
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if number != number:
        raise UserError(f"--shortest: {utterance} has the length {value!r}, expected a number; run kdasr feats again")
    return number
