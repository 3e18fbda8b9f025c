"""The trigram of tokens, against values computed by hand and Witten and Bell's formula word by word."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.frames.grams import count


def test_one_sequence_by_hand():
    """<s> <s> a b a </s>: every history is followed by one token, or (after a) by b and </s>, or by nothing."""
    grams = count([["a", "b", "a"]])
    p = np.exp(grams.table())
    a, b, end = 0, 1, 2
    one = {a: (2 + 3 / 3) / 7, b: (1 + 3 / 3) / 7, end: (1 + 3 / 3) / 7}  # 4 tokens, 3 kinds, uniform 1/3
    assert grams.tokens == ("a", "b")
    assert p[b, end, b] == pytest.approx(one[b] / 2)  # b </s> never seen; after <s>: a alone, once
    assert p[b, end, a] == pytest.approx((1 + one[a]) / 2)
    after_a = (1 + 2 * one[b]) / 4  # after a: b and </s>, once each
    assert p[a, a, b] == pytest.approx(after_a)  # a a was never seen
    assert p[end, a, b] == pytest.approx((1 + after_a) / 2)  # <s> a: b alone, once
    assert p[end, a, end] == pytest.approx((1 + 2 * one[end]) / 4 / 2)
    assert p[end, end, a] == pytest.approx((1 + (1 + one[a]) / 2) / 2)


def test_no_tokens_leave_the_end_alone():
    assert count([[], []]).table() == pytest.approx(np.zeros((1, 1, 1)))


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=6), min_size=1, max_size=5))
def test_the_formula_word_by_word(sequences):
    grams = count(sequences)
    table, size = grams.table(), len(grams.tokens) + 1
    assert np.exp(table).sum(-1) == pytest.approx(np.ones((size, size)))
    events = []
    for one in sequences:
        padded = ["<s>", "<s>", *one, "</s>"]
        events += [tuple(padded[k : k + 3]) for k in range(len(one) + 1)]

    def probability(word, history):
        if history is None:
            return 1 / size
        after = [event[2] for event in events if event[2 - len(history) : 2] == history]
        shorter = history[1:] if history else None
        if not after:
            return probability(word, shorter)
        kinds = len(set(after))
        return (after.count(word) + kinds * probability(word, shorter)) / (len(after) + kinds)

    before, after = [*grams.tokens, "<s>"], [*grams.tokens, "</s>"]
    for a, b, c in np.ndindex(size, size, size):
        assert table[a, b, c] == pytest.approx(math.log(probability(after[c], (before[a], before[b]))))
