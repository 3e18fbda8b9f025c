"""Normalisation of texts: each step alone and together, by what the tokens know; nothing that was not asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.data.normalise import STEPS, normaliser, parse_steps
from kdasr.data.tokens import Tokens
from kdasr.errors import UserError

TOKENS = ["<blank>", "<unk>", "<NOISE>", "<space>", "'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "<sos/eos>"]
UPPER = Tokens("char", TOKENS, ["<NOISE>"])
LOWER = Tokens("char", ["<blank>", "<unk>", "<space>", ".", "a", "b", "<sos/eos>"], [])


@pytest.mark.parametrize(
    ("steps", "text", "expected"),
    [
        ("case", "Hello, World's end", "HELLO, WORLD'S END"),
        ("punctuation", "Hello, World\u2019s end.", "Hello World's end"),
        ("punctuation", "well-known \u2014 and/or (U.S.) \u00abx\u00bb", "well known and or U S x"),
        ("punctuation", "$5 + 3 % & #", "$5 + 3 % & #"),  # what is read aloud is no punctuation
        ("punctuation", "3.5 10:30 `x\u00b4 'dog' don\u02bct", "3 5 10 30 x 'dog' don't"),
        ("initials", "KLMU A Is OK, TVs B2 \u00c4\u00d6", "K L M U A Is OK, TVs B2 \u00c4 \u00d6"),
        ("punctuation,digits,initials,case", "R-U.B KLMU5.", "R U B K L M U FIVE"),
        ("lower", "IT'S <NOISE>", "it's <NOISE>"),
        ("upper", "it's", "IT'S"),
        ("digits", "Room 42b", "Room four two b"),
        ("digits", "\u0664", "\u0664"),  # of another script
        ("punctuation,digits,case", "It's 1,024  <NOISE> today!", "IT'S ONE ZERO TWO FOUR <NOISE> TODAY"),
        ("case", "stra\u00dfe <noise>", "STRASSE <NOISE>"),
        ("punctuation", "...", ""),
    ],
)
def test_each_step_does_what_it_says(steps, text, expected):
    assert normaliser(parse_steps(steps), UPPER)(text) == expected


@pytest.mark.parametrize(
    ("sentence", "steps", "expected"),
    [
        ("It's “half-past” 10:30\u00a0\u2014 O\u2019Neill 'dog'!", "punctuation", "It's half past 10:30 O'Neill dog"),
        ("rock 'n' roll, dogs\u2019 4'33", "punctuation", "rock n roll dogs 4'33"),
        ("It's", "lower", "it's"),
        ("Straße 1,000 €", "upper,punctuation", "STRASSE 1,000 €"),
        ("नमस्ते।", "punctuation", "नमस्ते"),
        (" A\x01 \u3000b\t\u2028c", "", "A b c"),
        ("?!", "punctuation", ""),
        ("1,024", "digits,punctuation", "one zero two four"),
    ],
)  # fmt: skip
def test_without_tokens_apostrophes_and_marks_between_digits_stay(sentence, steps, expected):
    assert normaliser(parse_steps(steps))(sentence) == expected


def test_what_the_tokens_know_stays():
    assert normaliser(("punctuation", "case"), LOWER)("A.B, don't") == "a.b dont"


def test_steps_are_done_in_one_order():
    assert parse_steps("case, punctuation") == ("punctuation", "case") and parse_steps("") == ()
    with pytest.raises(UserError, match="--normalize case,numbers: 'numbers' is none of punctuation, digits, init"):
        parse_steps("case,numbers")
    with pytest.raises(UserError, match="letters cannot be of two cases; name one of lower, upper"):
        parse_steps("upper,lower")
    assert normaliser(("case", "initials"), UPPER)("KL ab") == "K L AB"


@pytest.mark.parametrize(
    ("letters", "said"), [("Aa", "letters of both cases"), ("\u4e00\u4e8c", "no letters of a case")]
)
def test_a_case_that_is_not_known_is_refused(letters, said):
    tokens = Tokens("char", ["<blank>", "<unk>", "<NOISE>", *letters, "<sos/eos>"], ["<NOISE>"])
    with pytest.raises(UserError, match=f"--normalize case: the tokens have {said}"):
        normaliser(("case",), tokens)
    assert normaliser(("punctuation",), tokens)("A, b") == "A b"
    with pytest.raises(UserError, match="--normalize case: the tokens have no letters of a case"):
        normaliser(("case",))


CASES = st.sampled_from(["", "lower", "upper", "case"])


@given(st.text(max_size=20), st.sets(st.sampled_from(("punctuation", "digits"))), CASES, st.sampled_from([UPPER, None]))
def test_a_second_time_changes_nothing(text, steps, case, tokens):
    chosen = parse_steps(",".join([*steps, "lower" if case == "case" and tokens is None else case]))
    normalise = normaliser(chosen, tokens)
    assert normalise(normalise(text)) == normalise(text)


@given(st.text("aB1 .,'$-", max_size=12), st.sets(st.sampled_from(STEPS[:3])))
def test_letters_and_digits_stay_in_their_order(text, steps):
    """Whatever is asked for but a case: no letter is lost or added, but for the words of digits."""
    done = normaliser(parse_steps(",".join(steps)))(text)
    if "digits" in steps:
        text = text.replace("1", "one")
    assert [c for c in done if c.isalnum()] == [c for c in text if c.isalnum()]
