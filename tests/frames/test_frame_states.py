"""States and labels: by hand, and what holds for any spikes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.frames.states import States, build, label, parts, spans

SEQUENCES = [["T", "H", "E"], ["T", "H", "E"], ["H", "E"], []]


def test_states_by_hand():
    states = build(SEQUENCES, positions=2, min_count=2)
    # of their own: <s>-T twice, H-E three times, T-H twice; <s>-H only once
    assert states.names == (
        *("<sil>", "E.0", "E.1", "H.0", "H.1", "T.0", "T.1"),
        *("<s>-T.0", "<s>-T.1", "H-E.0", "H-E.1", "T-H.0", "T-H.1"),
    )
    assert len(states) == 13
    assert states.tokens == {"E", "H", "T"}
    assert (states.of("T", "H"), states.of("<s>", "H"), states.of(None, "H"), states.of("X", "E")) == (11, 3, 3, 1)
    with pytest.raises(KeyError):
        states.of("T", "X")
    assert len(build(SEQUENCES, 2, 4)) == 7


def test_states_survive_json():
    states = build(SEQUENCES, 3, 1)
    again = States.from_dict(json.loads(json.dumps(states.to_dict())))
    assert again == states and again.names == states.names and again.of("T", "H") == states.of("T", "H")


def test_names_do_not_decide_what_a_unit_is():
    states = build([["A-B", "C", "A", "B-C"]], 1, 1)
    assert states.of("A-B", "C") != states.of("A", "B-C")


def test_labels_by_hand():
    states = build([["T", "H"]], positions=3, min_count=2)  # <sil>, H 1 to 3, T 4 to 6
    #        spikes:            T        H
    found = label([(4, "T"), (7, "H")], 16, states, reach=3)
    #        0  1  2  3  4  5  6  7  8  9 10 11 ...: T from 4 - 3 to the midpoint, 5; H from 6 to 7 + 3
    assert found.tolist() == [0, 4, 4, 5, 5, 6, 1, 1, 2, 2, 3, 0, 0, 0, 0, 0]


def test_the_left_neighbour_chooses_the_states():
    states = build([["T", "H"]], positions=1, min_count=1)  # H 1, T 2, <s>-T 3, T-H 4
    assert label([(1, "T"), (3, "H"), (5, "T")], 7, states, 9).tolist() == [3, 3, 4, 4, 2, 2, 2]


def test_parts_are_even_and_short_spans_have_the_last():
    assert [parts(n, 3).tolist() for n in range(6)] == [[], [2], [1, 2], [0, 1, 2], [0, 0, 1, 2], [0, 0, 1, 1, 2]]


def test_borders_of_an_utterance_cut_spans():
    assert spans([0, 4], 5, reach=10) == [(0, 2), (2, 5)]
    assert spans([], 5, reach=10) == []
    assert label([], 3, States(3, ()), 12).tolist() == [0, 0, 0]


@given(
    st.lists(st.tuples(st.integers(0, 59), st.sampled_from("AB")), max_size=12),
    st.integers(0, 15),
    st.integers(1, 4),
)
def test_a_frame_has_the_token_of_its_nearest_spike_within_reach(spikes, reach, positions):
    spikes = sorted(dict(spikes).items())
    states = build([["A", "B"]], positions, 100)
    found = label(spikes, 60, states, reach)
    for frame, state in enumerate(found):
        near = [abs(frame - place) for place, _ in spikes]
        if not near or min(near) > reach:
            assert state == 0
            continue
        tokens = {token for (_, token), far in zip(spikes, near, strict=True) if far == min(near)}
        assert states.names[state].split(".")[0] in tokens
    for first, last in spans([place for place, _ in spikes], 60, reach):
        position = (found[first:last] - 1) % positions
        assert (np.diff(position) >= 0).all() and position[-1] == positions - 1
        counts = np.bincount(position, minlength=positions)
        assert counts.max() - counts.min() <= 1
