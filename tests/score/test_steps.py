"""Steps as numbers, against the plain pairs of `align.pair`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.score import steps as module
from kdasr.score.align import Aligned, align_words, count, normal, pair
from kdasr.score.steps import collect

words = st.lists(st.sampled_from(["a", "B", "b", "long", "x*", "é", "日"]), max_size=7)
texts = st.lists(st.tuples(words, words), max_size=6)


def aligned(pairs):
    refs, hyps = ([tuple(two[side]) for two in pairs] for side in (0, 1))
    return [Aligned("s-1", *one) for one in zip(refs, hyps, align_words(refs, hyps), strict=True)]


def plain(one):
    steps = pair(one.operations, one.ref, one.hyp)
    return [(operation, *(normal(word) if word else b"" for word in two)) for operation, *two in steps]


@given(texts)
def test_steps_are_the_pairs_of_each_utterance(pairs):
    utterances = aligned(pairs)
    steps = collect(utterances)
    assert len(set(steps.distinct)) == len(steps.distinct)
    for place, one in enumerate(utterances):
        which = steps.which[steps.ends[place] : steps.ends[place + 1]]
        assert [steps.distinct[number] for number in which] == plain(one)
        counts = count(one.operations)
        assert steps.counts[place].tolist() == [counts.cor, counts.sub, counts.del_, counts.ins]


@given(texts, st.sampled_from([1, 20, 1 << 24]))
def test_cells_are_joined_utterance_by_utterance_however_little_room_there_is(pairs, room):
    utterances = aligned(pairs)
    steps = collect(utterances)
    cells = [b"<" + ref + b" " * len(hyp) + b">" for _, ref, hyp in steps.distinct]
    cell = dict(zip(steps.distinct, cells, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROOM", room)
        assert steps.spell(cells) == [b"".join(cell[step] for step in plain(one)) for one in utterances]


@given(st.lists(st.integers(0, 99), max_size=30))
def test_few_and_many_possible_steps_are_numbered_alike(numbers):
    keys = np.array(numbers, dtype=np.int64)
    for found in (module._distinct(keys, 100), module._distinct(keys, 1 << 40)):
        for ours, expected in zip(found, np.unique(keys, return_inverse=True), strict=True):
            assert ours.tolist() == expected.tolist()


def test_an_optional_word_that_was_left_out_keeps_its_place():
    steps = collect([Aligned("s-1", ("a", "(uh)", ""), ("a", "", "(um)"), "CCC")])
    assert [steps.distinct[k] for k in steps.which] == [("C", b"a", b"a"), ("C", b"(uh)", b""), ("C", b"", b"(um)")]
