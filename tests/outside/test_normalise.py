"""Normalisation: each step alone and together, by what the tokens know; nothing that was not asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outside_inputs import TOKENS

from kdasr.data.tokens import Tokens
from kdasr.errors import UserError
from kdasr.outside.normalise import STEPS, normaliser, parse_steps

UPPER = Tokens("char", TOKENS, ["<NOISE>"])
LOWER = Tokens("char", ["<blank>", "<unk>", "<space>", ".", "a", "b", "<sos/eos>"], [])


@pytest.mark.parametrize(
    ("steps", "text", "expected"),
    [
        ("case", "Hello, World's end", "HELLO, WORLD'S END"),
        ("punctuation", "Hello, World\u2019s end.", "Hello World's end"),
        ("punctuation", "well-known \u2014 and/or (U.S.) \u00abx\u00bb", "well known and or US x"),
        ("punctuation", "$5 + 3", "$5 + 3"),  # symbols are no punctuation
        ("digits", "Room 42b", "Room four two b"),
        ("digits", "\u0664", "\u0664"),  # of another script
        ("punctuation,digits,case", "It's 1,024  <NOISE> today!", "IT'S ONE ZERO TWO FOUR <NOISE> TODAY"),
        ("case", "stra\u00dfe <noise>", "STRASSE <NOISE>"),
        ("punctuation", "...", ""),
    ],
)
def test_each_step_does_what_it_says(steps, text, expected):
    assert normaliser(parse_steps(steps), UPPER)(text) == expected


def test_what_the_tokens_know_stays():
    assert normaliser(("punctuation", "case"), LOWER)("A.B, don't") == "a.b dont"


def test_steps_are_done_in_one_order():
    assert parse_steps("case, punctuation") == ("punctuation", "case") and parse_steps("") == ()
    with pytest.raises(UserError, match="--normalize case,numbers: 'numbers' is none of punctuation, digits, case"):
        parse_steps("case,numbers")


@pytest.mark.parametrize(
    ("letters", "said"), [("Aa", "letters of both cases"), ("\u4e00\u4e8c", "no letters of a case")]
)
def test_a_case_that_is_not_known_is_refused(letters, said):
    tokens = Tokens("char", ["<blank>", "<unk>", "<NOISE>", *letters, "<sos/eos>"], ["<NOISE>"])
    with pytest.raises(UserError, match=f"--normalize case: the tokens have {said}"):
        normaliser(("case",), tokens)
    assert normaliser(("punctuation",), tokens)("A, b") == "A b"


@given(st.text(max_size=20), st.sets(st.sampled_from(STEPS)))
def test_a_second_time_changes_nothing(text, steps):
    normalise = normaliser(parse_steps(",".join(steps)), UPPER)
    assert normalise(normalise(text)) == normalise(text)
