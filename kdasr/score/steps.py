"""The steps of many utterances' alignments as numbers, so that a report lays out each distinct step once.

Axes: U utterances, T steps of all of them in a row, K distinct steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kdasr.score.align import Aligned, numbered

ROOM = 1 << 24  # bytes of padded cells at a time


@dataclass(frozen=True)
class Steps:
    """What the reports need of some utterances, made by `collect`."""

    distinct: list[tuple[str, bytes, bytes]]  # (K,): operation (C, S, D, I), and words as compared; b"" for a gap
    which: np.ndarray  # (T,): into distinct
    ends: np.ndarray  # (U + 1,): utterance u has steps ends[u] to ends[u + 1]
    counts: np.ndarray  # (U, 4): correct, substituted, deleted, inserted

    def spell(self, cells: Sequence[bytes]) -> list[bytes]:
        """Each utterance's cells in a row, if `cells` has one for each distinct step, without NUL in it: (U,)."""
        if not cells:
            return [b""] * len(self.counts)
        table = np.array(cells)  # (K,), padded with NUL
        some = max(1, ROOM // table.itemsize)
        parts = (table[self.which[start : start + some]].tobytes() for start in range(0, len(self.which), some))
        text = b"".join(part.translate(None, b"\0") for part in parts)
        lengths = np.array([len(cell) for cell in cells])[self.which]  # (T,)
        ends = np.append(0, np.cumsum(lengths))[self.ends].tolist()
        return [text[start:stop] for start, stop in pairwise(ends)]


def collect(utterances: Sequence[Aligned], case_sensitive: bool = False) -> Steps:
    """The steps of some utterances."""
    ids, words = numbered([*(one.ref for one in utterances), *(one.hyp for one in utterances)], case_sensitive)
    operations = np.frombuffer("".join([one.operations for one in utterances]).encode(), dtype=np.uint8)  # (T,)
    gap = len(words)
    sides = np.full((2, len(operations)), gap, dtype=np.int64)  # reference and hypothesis of each step
    sides[0, operations != ord("I")] = ids[: sum(len(one.ref) for one in utterances)]
    sides[1, operations != ord("D")] = ids[sum(len(one.ref) for one in utterances) :]
    letters = np.zeros(256, dtype=np.int64)
    letters[list(b"CSDI")] = range(4)
    kinds = letters[operations]
    keys, which = _distinct((sides[0] * (gap + 1) + sides[1]) * 4 + kinds, (gap + 1) ** 2 * 4)
    spelled = [*words, b""]
    distinct = [
        ("CSDI"[key % 4], spelled[key // 4 // (gap + 1)], spelled[key // 4 % (gap + 1)]) for key in keys.tolist()
    ]
    lengths = [len(one.operations) for one in utterances]
    owner = np.repeat(np.arange(len(utterances)), lengths)  # (T,)
    counts = np.bincount(owner * 4 + kinds, minlength=4 * len(utterances)).reshape(-1, 4)
    return Steps(distinct, which, np.append(0, np.cumsum(lengths, dtype=np.int64)), counts)


def _distinct(keys: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct ones of keys (T,) below `limit`, and the place of each key among them, (T,)."""
    if limit > 1 << 22:
        return np.unique(keys, return_inverse=True)
    known = np.flatnonzero(np.bincount(keys, minlength=limit))  # of few characters: no need to sort
    places = np.zeros(limit, dtype=np.int64)
    places[known] = np.arange(len(known))
    return known, places[keys]
