"""When the tokens of a text were spoken: the best path of CTC that spells them (Viterbi), in encoded frames."""

from __future__ import annotations

import itertools

import numpy as np

DEAD = -np.inf


def spans(logp: np.ndarray, tokens: tuple[int, ...], blank: int) -> list[tuple[int, int]]:
    """First and last frame of each token on the best path.

    Args:
        logp: (S, V) log probabilities of CTC.
        tokens: L ids, without blanks.
        blank: its id.

    Returns:
        L pairs. Where there are too few frames for a path (each token needs one, and a blank stands between two that
        are alike), the tokens share the frames evenly.
    """
    frames, count = len(logp), len(tokens)
    ids = np.asarray(tokens, dtype=np.int64)  # (L,)
    alike = int((ids[1:] == ids[:-1]).sum())
    if not count:
        return []
    if frames < count + alike:
        edges = [n * frames // count for n in range(count + 1)]
        return [(first, max(first, end - 1)) for first, end in itertools.pairwise(edges)]
    path = np.full(2 * count + 1, blank)  # (P,) blank, token, blank, token, ..., blank
    path[1::2] = ids
    emitted = logp[:, path].astype(np.float64)  # (S, P)
    skips = np.zeros(len(path), dtype=bool)  # (P,) whether a place can be reached from two before
    skips[3::2] = ids[1:] != ids[:-1]
    steps = np.zeros(emitted.shape, dtype=np.int8)  # (S, P) how many places the path came forward
    score = np.full(len(path), DEAD)  # (P,)
    score[:2] = emitted[0, :2]
    ways = np.full((3, len(path)), DEAD)  # (3, P)
    for s in range(1, frames):
        ways[0] = score
        ways[1, 1:] = score[:-1]
        ways[2, 2:] = np.where(skips[2:], score[:-2], DEAD)
        steps[s] = ways.argmax(0)
        score = ways.max(0) + emitted[s]
    place = len(path) - 1 if score[-1] >= score[-2] else len(path) - 2
    places = np.empty(frames, dtype=np.int64)  # (S,)
    for s in range(frames - 1, -1, -1):
        places[s] = place
        place -= int(steps[s, place])
    numbers = np.arange(1, 2 * count, 2)  # (L,) the tokens' places
    return list(
        zip(
            np.searchsorted(places, numbers).tolist(),
            (np.searchsorted(places, numbers, "right") - 1).tolist(),
            strict=True,
        )
    )
