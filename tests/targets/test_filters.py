"""Filters: each fault by its name, at its limit and just within it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.targets.filters import Limits, disagreement, fault, repeats
from kdasr.targets.select import Reference


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("A", 1),
        ("A B C", 1),
        ("A A", 2),
        ("A A A A", 4),
        ("X A B A B A B Y", 3),
        ("A B A", 1),
        ("A B A B", 2),
        ("A B C D A B C D", 2),
        ("A B C A B C A B", 2),
        ("THE THE CAT SAT SAT SAT", 3),
    ],
)
def test_repeats(text, count):
    assert repeats(text.split()) == count


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers(1, 5), st.lists(st.just("x"), max_size=1))
def test_what_is_repeated_is_found(words, times, ends):
    assert repeats([*ends, *words * times, *ends]) >= times


@pytest.mark.parametrize(
    ("tokens", "text", "score", "reason"),
    [
        ([], "", -1.0, "empty"),
        ([2, 2], "  ", -1.0, "empty"),
        ([2] * 26, "A", -1.0, "too long for its audio"),
        ([2] * 25, "A", -1.0, None),
        ([2] * 8, "A A A A", -1.0, "looping"),
        ([2] * 8, "A A A B", -1.0, None),
        ([2] * 8, "A B", -2e9, "impossible to CTC"),
    ],
)
def test_faults_are_named(tokens, text, score, reason):
    assert fault({"tokens": tokens, "text": text, "score": score, "ended": "eos"}, 100, Limits()) == reason


def judge(limits, reference=None, tokens=(2,) * 10, errors=0, ended="eos"):
    hyp = {"tokens": list(tokens), "text": "A B", "score": -1.0, "errors": errors, "ended": ended}
    return fault(hyp, 100, limits, reference)


def test_translations_are_measured_by_their_source():
    """Three words of 12 tokens are not too long, and of 13 they are."""
    for tokens, reason in ((12, None), (13, "too long for its source")):
        hyp = {"tokens": [2] * tokens, "text": "A B C", "score": -1.0}
        assert fault(hyp, 3, Limits(), reads_text=True) == reason
    hyp = {"tokens": [2] * 3, "text": "A B C", "score": -1.0}
    assert fault(hyp, 3, Limits(min_frames=1.5), reads_text=True) == "too long for its source"
    assert fault(hyp, 9, Limits(max_frames=2.9), reads_text=True) == "too short for its source"


def test_too_short_for_its_audio():
    assert judge(Limits(max_frames=9.9)) == "too short for its audio"
    assert judge(Limits(max_frames=10)) is None
    assert judge(Limits(), tokens=[2]) is None  # off by default


def test_word_error_rate_limit():
    said = Reference("A B C D E F G H I J", [2] * 10, 10)
    assert judge(Limits(max_wer=10), said, errors=2) == "with a WER over 10 %"
    assert judge(Limits(max_wer=10), said, errors=1) is None
    assert judge(Limits(max_wer=0), said, errors=1) == "with a WER over 0 %"
    assert judge(Limits(max_wer=0), said, errors=0) is None
    assert judge(Limits(), said, errors=99) is None
    assert judge(Limits(max_wer=0), None, errors=99) is None  # there is nothing to measure against


def test_length_against_the_reference():
    reason = "over 2 times longer or shorter than the reference"
    for size, expected in ((4, reason), (5, None), (20, None), (21, reason)):
        assert judge(Limits(length_ratio=2), Reference("x", [2] * size, 1)) == expected
        assert judge(Limits(), Reference("x", [2] * size, 1)) is None
    assert judge(Limits(length_ratio=2), Reference("x", [], 0)) == reason


def sure(limits, score=-1.0, scores="sum", **parts):
    """The fault of a hypothesis of three tokens, and <eos>."""
    hyp = {"tokens": [3, 2, 4], "text": "A B", "score": score, "scores": parts, "ended": "eos"}
    return fault(hyp, 100, limits, None, scores)


def test_a_low_score_a_token():
    low = "with a score a token under -0.5"
    for score, kind, expected in ((-2.0, "sum", None), (-2.01, "sum", low), (-0.5, "mean", None), (-0.51, "mean", low)):
        assert sure(Limits(min_token_score=-0.5), score, kind) == expected
    assert sure(Limits(min_token_score=0), 0.0) is None
    assert sure(Limits(min_token_score=0), -0.1) == "with a score a token under 0"
    assert sure(Limits(), -1e6) is None  # off by default


def test_attention_and_ctc_that_differ():
    differ = "whose attention and CTC scores differ by over 0.25 a token"
    for decoder, ctc, expected in (
        (-3.0, -4.0, None),
        (-3.0, -4.01, differ),
        (-4.01, -3.0, differ),
        (-9.0, -9.0, None),
    ):
        assert sure(Limits(max_ctc_gap=0.25), decoder=decoder, ctc=ctc) == expected
    assert sure(Limits(), decoder=-3.0, ctc=-99.0) is None


def test_two_systems_that_disagree():
    other = "where the other system has over 25 % other words"
    for errors, words, expected in ((1, 4, None), (2, 4, other), (1, 3, other), (0, 0, None), (1, 0, other)):
        assert disagreement(errors, words, Limits(max_disagreement=25)) == expected
    assert disagreement(None, 0, Limits(max_disagreement=25)) == "that the other system has no hypothesis for"
    assert disagreement(1, 1, Limits(max_disagreement=0)) == "where the other system has over 0 % other words"
    assert disagreement(None, 0, Limits()) is None and disagreement(9, 1, Limits()) is None


def test_words_are_cut_at_plain_white_space():
    def fault_of(text):
        return fault({"tokens": [2] * 8, "text": text, "score": -1.0, "ended": "eos"}, 100, Limits())

    assert fault_of(" \t\r") == "empty"
    assert fault_of("\u3000") is None  # a word, if a rare one
    assert fault_of("A\u00a0A\u00a0A\u00a0A") is None  # one word
    assert fault_of("A\tA A\tA") == "looping"


def test_the_limit_of_what_ctc_finds_impossible():
    for score, reason in ((-9e7, None), (-1e8, None), (-1.0001e8, "impossible to CTC"), (-1e10, "impossible to CTC")):
        assert fault({"tokens": [2], "text": "A", "score": score, "ended": "eos"}, 100, Limits()) == reason


def test_a_reference_without_words_counts_as_one():
    for errors, expected in ((1, None), (2, "with a WER over 150 %")):
        assert judge(Limits(max_wer=150), Reference("", [], 0), errors=errors) == expected
    assert judge(Limits(max_wer=0), Reference("", [], 0), errors=1) == "with a WER over 0 %"


def test_frames_and_lengths_are_of_tokens_not_words():
    # two words, ten tokens
    assert judge(Limits(min_frames=10.0)) is None
    assert judge(Limits(min_frames=10.1)) == "too long for its audio"
    assert judge(Limits(length_ratio=1), Reference("A", [2] * 10, 1)) is None
    assert judge(Limits(length_ratio=1), Reference("A B", [2] * 11, 2)) is not None


def test_the_defaults_are_those_that_are_documented():
    assert Limits() == (4, None, 0.0, None, 0.0, None, None, None)
    assert (Limits().least(False), Limits().least(True), Limits(min_frames=0.0).least(False)) == (4.0, 0.25, 0.0)


def slowly(words, longest=4):
    """Every place, every length, counted by hand."""
    most = 1 if words else 0
    for size in range(1, longest + 1):
        for start in range(len(words)):
            times = 1
            while words[start + times * size : start + (times + 1) * size] == words[start : start + size] != []:
                times += 1
            if len(words[start : start + size]) == size:
                most = max(most, times)
    return most


@examples(200)
@given(st.lists(st.sampled_from("ab"), max_size=14) | st.lists(st.sampled_from("abcde"), max_size=20))
def test_repeats_are_those_that_one_counts(words):
    assert repeats(words) == slowly(words)


def test_loops_of_up_to_four_words():
    for size in range(1, 7):
        assert repeats([str(n) for n in range(size)] * 4) == (4 if size <= 4 else 1)
