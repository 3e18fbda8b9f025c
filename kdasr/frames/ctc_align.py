"""Forced alignment with CTC: the most probable path that spells given tokens (Graves et al. 2006, section 4.1).

| axis | meaning |
|---|---|
| S | encoded frames |
| V | tokens |
| L | tokens of the transcript |
| U | 2 L + 1, states of the path: blank, token, blank, token, ..., blank |
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FLOOR = -1e30  # in place of a log probability of -inf: a path through it is worse than any other, but a path


def best_path(logp: np.ndarray, ids: Sequence[int], blank: int = 0) -> np.ndarray | None:
    """The frames that each token has on the most probable CTC path that spells `ids`; the other frames are blanks.

    Where paths are equally probable, a frame's predecessor is the same state rather than the one before, and that
    rather than the one before the blank between.

    Args:
        logp: log probabilities (S, V).
        ids: tokens, none of them the blank.
        blank: its id.

    Returns:
        First and last frame (inclusive) of each token, (L, 2) int64; None if S is too small: each token needs a
        frame, and a token that follows itself a blank before it.
    """
    tokens = np.asarray(ids, dtype=np.int64)  # (L,)
    frames, length = len(logp), len(tokens)
    repeats = int((tokens[1:] == tokens[:-1]).sum())
    if frames < length + repeats:
        return None
    if not length:
        return np.zeros((0, 2), dtype=np.int64)
    path = np.full(2 * length + 1, blank)  # (U,)
    path[1::2] = tokens
    skip = np.zeros(len(path), dtype=bool)  # (U,) whether a state may follow the one two before it
    skip[3::2] = tokens[1:] != tokens[:-1]
    emitted = np.maximum(logp, FLOOR)[:, path]  # (S, U)

    score = np.full(len(path), -np.inf)  # (U,) of the best path so far that ends in a state
    score[:2] = emitted[0, :2]
    back = np.zeros((frames, len(path)), dtype=np.int8)  # (S, U) how many states before it its predecessor is
    coming = np.full((3, len(path)), -np.inf)  # (3, U) scores of the predecessors 0, 1 and 2 states before
    for frame in range(1, frames):
        coming[0] = score
        coming[1, 1:] = score[:-1]
        coming[2, 2:] = np.where(skip[2:], score[:-2], -np.inf)
        back[frame] = coming.argmax(0)
        score = coming.max(0) + emitted[frame]

    state = len(path) - 1 if score[-1] > score[-2] else len(path) - 2
    visited = np.empty(frames, dtype=np.int64)  # (S,)
    for frame in range(frames - 1, -1, -1):
        visited[frame] = state
        state -= back[frame, state]
    numbers = 2 * np.arange(length) + 1  # (L,) the states of the tokens; `visited` never falls
    return np.stack([np.searchsorted(visited, numbers), np.searchsorted(visited, numbers, side="right") - 1], axis=1)
