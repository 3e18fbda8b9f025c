"""The states that a framewise acoustic model tells apart, and the labels of frames in them.

State 0 is silence. A token has `positions` states in a row (begin, middle, end for 3), which are used after any
token, unless that pair of tokens is frequent: then the pair has its own states. Characters take the place that phones
have in Hinton et al. 2015, section 4, and a left neighbour that of clustered triphones.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SILENCE, START = "<sil>", "<s>"  # the state of what no token covers; what stands left of the first token


@dataclass(frozen=True)
class States:
    """An inventory of states: 0 is silence, unit u has those from 1 + positions u on.

    Attributes:
        positions: states of a unit.
        units: (left neighbour, token); None as the neighbour stands for any that has no unit with this token.
    """

    positions: int
    units: tuple[tuple[str | None, str], ...]

    def __len__(self) -> int:
        return 1 + self.positions * len(self.units)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """What each state is called: <sil>, A.0, A.1, A.2, and T-H.0 for H after T."""
        rows = [token if left is None else f"{left}-{token}" for left, token in self.units]
        return (SILENCE, *(f"{row}.{position}" for row in rows for position in range(self.positions)))

    @functools.cached_property
    def tokens(self) -> frozenset[str]:
        """The tokens that have states."""
        return frozenset(token for _, token in self.units)

    @functools.cached_property
    def _first(self) -> dict[tuple[str | None, str], int]:
        return {unit: 1 + self.positions * number for number, unit in enumerate(self.units)}

    def of(self, left: str | None, token: str) -> int:
        """The first state of a token after `left` (START at the beginning); KeyError if it has none at all."""
        found = self._first.get((left, token))
        return self._first[None, token] if found is None else found

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"positions": self.positions, "units": [list(unit) for unit in self.units]}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> States:
        """What `to_dict` gave."""
        return cls(stored["positions"], tuple((left, token) for left, token in stored["units"]))


def build(sequences: Iterable[Sequence[str]], positions: int, min_count: int) -> States:
    """The states for token sequences: of every token, and of every pair (left, token) seen `min_count` times or more.

    A token's own states are there even if each of its pairs has some: another set may hold other pairs. They may
    then have no frame to learn from.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for sequence in sequences:
        pairs.update(zip([START, *sequence], sequence, strict=False))
    tokens = sorted({token for _, token in pairs})
    frequent = sorted(pair for pair, count in pairs.items() if count >= min_count)
    return States(positions, (*((None, token) for token in tokens), *frequent))


def label(spikes: Sequence[tuple[int, str]], frames: int, states: States, reach: int) -> np.ndarray:
    """The state (T,) int64 of each frame of an utterance.

    A token's span goes from the midpoint to the spike before it to the midpoint to the one after, `reach` frames to
    each side at most. What no span covers is silence. A span is cut into `positions` parts whose lengths differ by
    one frame at most; one of fewer frames, n, has the last n positions, a frame each: the later part of a token
    identifies it better.

    Args:
        spikes: (frame, token) in order, as an alignment has them; frames from 0 to `frames` - 1.
        frames: T.
        states: have states for all the tokens.
        reach: frames.
    """
    labels = np.zeros(frames, dtype=np.int64)  # (T,)
    for (first, last), left, (_, token) in zip(
        spans([frame for frame, _ in spikes], frames, reach),
        [START, *(token for _, token in spikes)],
        spikes,
        strict=False,
    ):
        labels[first:last] = states.of(left, token) + parts(last - first, states.positions)
    return labels


def spans(spikes: Sequence[int], frames: int, reach: int) -> list[tuple[int, int]]:
    """The first frame of each spike's span and the first one after it, as `label` describes."""
    middles = [(one + other + 1) // 2 for one, other in itertools.pairwise(spikes)]
    return [
        (max(first, spike - reach), min(last, spike + reach + 1))
        for spike, first, last in zip(spikes, [0, *middles], [*middles, frames], strict=False)
    ]


def parts(length: int, positions: int) -> np.ndarray:
    """The position (length,) of each frame of a span, as `label` describes."""
    if length < positions:
        return np.arange(positions - length, positions)
    return np.arange(length) * positions // length
