"""Long audio is cut where it is quietest."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.runtime.pauses import cuts, loudness

RATE = 8000


@examples(80)
@given(seconds=st.floats(0, 30), longest=st.floats(1, 9), seed=st.integers(0, 99), quiet=st.booleans())
def test_pieces_are_all_of_it(seconds, longest, seed, quiet):
    samples = np.random.default_rng(seed).normal(0, 0 if quiet else 900, int(seconds * RATE)).astype(np.int16)
    pieces = cuts(samples, RATE, longest)
    assert pieces[0][0] == 0 and pieces[-1][1] == len(samples)
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(pieces))
    assert all(end - start <= longest * RATE for start, end in pieces)
    assert all(end > start for start, end in pieces) or len(samples) == 0
    # none is short for nothing: a cut is in the second half of what is allowed
    assert all(end - start >= longest * RATE / 2 - 0.01 * RATE for start, end in pieces[:-1])


def test_cuts_are_in_the_pauses():
    random = np.random.default_rng(0)
    samples = random.normal(0, 3000, 25 * RATE)
    for start in (7.0, 12.5, 20.2):
        samples[int(start * RATE) : int((start + 0.5) * RATE)] *= 0.01
    samples += 500  # an offset is no sound
    ends = [end / RATE for _, end in cuts(samples.astype(np.int16), RATE, 9.0)][:-1]
    assert len(ends) == 3
    assert all(start < end < start + 0.5 for start, end in zip((7.0, 12.5, 20.2), ends, strict=True))


def test_short_audio_stays_whole():
    samples = np.ones(9 * RATE, np.int16)
    assert cuts(samples, RATE, 9.0) == [(0, 9 * RATE)]
    assert cuts(samples[:0], RATE) == [(0, 0)]
    assert len(cuts(np.append(samples, samples[:1]), RATE, 9.0)) == 2


def test_loudness_is_a_mean_over_hops_around():
    samples = np.zeros(100)
    samples[50:60:2], samples[51:60:2] = 1.0, -1.0
    found = loudness(samples, 10, 3)
    assert found.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0]
