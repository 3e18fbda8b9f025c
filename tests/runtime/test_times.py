"""Times of tokens: Viterbi against all paths, and torchaudio-like invariants."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.runtime.times import spans


def collapsed(path):
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


@examples(60)
@given(seed=st.integers(0, 10_000), frames=st.integers(1, 6), count=st.integers(1, 3))
def test_the_best_of_all_paths(seed, frames, count):
    rng = np.random.default_rng(seed)
    logp = np.log(rng.dirichlet(np.ones(3) * 0.5, frames) + 1e-12)
    tokens = tuple(rng.integers(1, 3, count).tolist())
    paths = [path for path in itertools.product(range(3), repeat=frames) if collapsed(path) == tokens]
    found = spans(logp, tokens, 0)
    assert len(found) == count and all(0 <= first <= last < frames for first, last in found)
    if not paths:
        return
    best = max(paths, key=lambda path: sum(logp[t, token] for t, token in enumerate(path)))
    runs, place = [], 0
    for token, group in itertools.groupby(best):
        length = len(list(group))
        if token != 0:
            runs.append((place, place + length - 1))
        place += length
    assert found == runs


def test_long_texts():
    """More places on the path than a byte counts."""
    tokens = tuple(1 + n % 3 for n in range(300))
    logp = np.full((301, 4), -9.0)
    logp[np.arange(300) + 1, tokens] = 0.0
    assert spans(logp, tokens, 0) == [(0, 1), *((n + 1, n + 1) for n in range(1, 300))]


def test_too_few_frames_are_shared():
    assert spans(np.zeros((2, 4)), (1, 1, 2, 3), 0) == [(0, 0), (0, 0), (1, 1), (1, 1)]
    assert spans(np.zeros((4, 4)), (1, 2), 0)[0][0] == 0
    assert spans(np.zeros((4, 4)), (), 0) == []
