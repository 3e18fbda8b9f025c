import random
import re

import pytest

from kdasr.data.grammar import (
    CHARACTERS,
    WORDS,
    Sentence,
    fits,
    make_sentences,
    out_of_vocabulary,
    vocabulary,
    write_marks,
)
from kdasr.data.wsj_text import normalise
from kdasr.errors import UserError


@pytest.fixture(scope="module")
def sets() -> tuple[list[Sentence], list[Sentence]]:
    rng, taken = random.Random(5), set()
    train = make_sentences(2000, rng, 0.3, taken)
    known = {word for sentence in train for word in sentence.reference.split()}
    return train, make_sentences(600, rng, 0.3, taken, known)


def plain(text: str) -> str:
    """What was said, from any of a sentence's forms: words alone."""
    return " ".join(re.sub(r"<NOISE>|[-,.*]", "", text).upper().split())


def test_the_reference_is_what_kaldi_makes_of_the_dot_line(sets):
    for sentence in sets[0] + sets[1]:
        assert normalise(sentence.dot) == sentence.reference


def test_the_voice_says_the_reference(sets):
    for sentence in sets[0] + sets[1]:
        assert plain(sentence.spoken) == plain(sentence.reference)


def test_every_mark_occurs(sets):
    dots = " ".join(sentence.dot for sentence in sets[0])
    for mark in ("%percent", ".point", " . ", " ~ ", "[door_slam>]", "[loud_breath]", "\\,COMMA", "--DASH", "\\."):
        assert mark in dots
    assert re.search(r" \*\w+\* ", dots) and re.search(r" <\w+> ", dots)


def test_test_sentences_are_new_known_words_and_free_of_marks(sets):
    train, test = sets
    said = [re.sub(r",(?!COMMA)", "", s.spoken) for s in train + test]
    assert len(set(said)) == 2600
    assert out_of_vocabulary(train, test) == set()
    assert not [s for s in test if re.search(r"[-,*]", s.reference)]
    assert any("*" in s.reference for s in train)


def test_out_of_vocabulary_names_the_words():
    train = [Sentence("oil fell", "Oil fell", "OIL FELL")]
    test = [Sentence("oil rose", "Oil rose [cough]", "OIL ROSE <NOISE>")]
    assert out_of_vocabulary(train, test) == {"ROSE"}


def test_sentences_are_short_and_many_worded(sets):
    rng = random.Random(1)
    lengths = [len(s.reference) for s in make_sentences(500, rng, 0.0, set())]
    assert CHARACTERS[0] <= min(lengths) and max(lengths) <= CHARACTERS[1]
    assert 500 <= len(vocabulary()) <= 800
    assert re.fullmatch("[a-z@. A-Z]+", " ".join(vocabulary()))


def test_noise_words_stay_under_one_in_a_hundred_by_default():
    sentences = make_sentences(3000, random.Random(2), 0.08, set())
    assert 0 < sum("<NOISE>" in s.reference for s in sentences) <= 30
    for sentence in sentences:
        assert ("<NOISE>" in sentence.reference) == (sentence.burst in ("before", "after"))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("the board met in boston on friday", True),
        ("oil rose on friday", False),  # four words
        ("stocks rose again last week", True),  # five
        ("one two six ten a b c d e", True),  # nine
        ("one two six ten a b c d e f", False),
        ("we saw it go up a", False),  # 17 characters
        ("the dollar fell against the dollar today", False),  # dollar twice
        ("the " + "x" * 42 + " of it is", False),  # 55 characters
    ],
)
def test_fits(text, good):
    assert fits(text.split()) is good
    assert WORDS == (5, 9)


def test_without_marks_only_letters_are_rewritten():
    words = ["@K.", "@L.", "@M.", "said", "profit", "rose", "one", "percent"]
    sentence = write_marks(words, random.Random(0), 0.0, True)
    assert sentence.spoken == "K L M said profit rose one percent"
    assert sentence.dot == "K\\. L\\. M\\. said profit rose one percent"
    assert sentence.reference == "K. L. M. SAID PROFIT ROSE ONE PERCENT"
    assert sentence.burst == ""


def test_same_seed_same_sentences():
    assert make_sentences(50, random.Random(3), 0.2, set()) == make_sentences(50, random.Random(3), 0.2, set())
    assert make_sentences(50, random.Random(3), 0.2, set()) != make_sentences(50, random.Random(4), 0.2, set())


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(UserError, match="only 0 of 1"):
        make_sentences(1, random.Random(0), 0.0, set(), {"THE", "OF"})
