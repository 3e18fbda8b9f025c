"""How S2T models (OWSM) are asked, by hand: prompt, tokens of their students, and what is refused."""

from __future__ import annotations

import pytest

from kdasr.errors import UserError
from kdasr.s2t import Prompt, is_s2t, is_symbol, tokens_of, use

TOKENS = ["<blank>", "<unk>", "<eng>", "<asr>", "<st_deu>", "<notimestamps>", "<0.00>", "<30.00>", "he", "<", "llo"]
TOKENS += ["<sos>", "<eos>"]
CONFIG = {"preprocessor": "s2t", "token_list": TOKENS}


def test_a_model_of_espnets_defaults():
    found = use(CONFIG, "c", 16000, Prompt("eng"))
    assert found.words == ("<eng>", "<asr>", "<notimestamps>") and found.prompt == (2, 3, 5)
    assert (found.timestamps, found.samples) == ((6, 7), 30 * 16000)
    assert found.ids == (0, 1, 8, 9, 10, 12)  # <eos> is last
    assert found.text == {8: 2, 9: 3, 10: 4}
    assert tokens_of(CONFIG, "c") == ["<blank>", "<unk>", "he", "<", "llo", "<sos/eos>"]
    assert use(CONFIG, "c", 16000, Prompt("<eng>", "st_deu")).prompt == (2, 4, 5)
    settings = {"fs": 8000, "speech_length": 1.5, "notime_symbol": "<asr>", "last_time_symbol": "<0.00>"}
    other = use(CONFIG | {"preprocessor_conf": settings}, "c", 8000, Prompt("eng"))
    assert (other.samples, other.timestamps, other.prompt) == (12000, (6, 6), (2, 3, 3))


def test_which_models_are_of_the_task():
    assert is_s2t({"preprocessor": "s2t"}) and is_s2t({"model_conf": {"sym_na": "<na>"}})
    for other in ({}, {"preprocessor": "default"}, {"model_conf": {"ctc_weight": 0.3}}, {"model_conf": None}):
        assert not is_s2t(other)
    listed = ["<blank>", "<unk>", "<NOISE>", "a", "<sos/eos>"]
    assert tokens_of({"token_list": listed}, "c") == listed
    assert [is_symbol(token) for token in ("<eng>", "<0.00>", "<", "<a", "a>", "<>")] == [
        True,
        True,
        *[False] * 3,
        True,
    ]


def without(token):
    return {"token_list": [one for one in TOKENS if one != token]}


@pytest.mark.parametrize(
    ("changes", "prompt", "said"),
    [
        (
            {},
            Prompt(),
            "^c: is of an S2T model, which has to be told the language of the audio: give --lang, as --lang",
        ),
        ({}, Prompt("", "asr"), "give --lang, as --lang eng"),
        (
            {},
            Prompt("fra"),
            r"^--lang <fra>: c has no such token; its symbols begin <blank>, <unk>, <eng>, <asr>, <st_d",
        ),
        ({}, Prompt("eng", "<st_fra>"), "^--task <st_fra>: c has no such token; its symbols begin "),
        ({}, Prompt("he"), "^--lang <he>: c has no such token"),
        (without("<asr>"), Prompt("eng"), "^--task <asr>: c has no such token"),
        (without("<notimestamps>"), Prompt("eng"), "^c: its token list has no <notimestamps>, which S2T models have"),
        (without("<eos>"), Prompt("eng"), "^c: its token list has no <eos>,"),
        ({"model_conf": {"sym_eos": "<end>"}}, Prompt("eng"), "^c: its token list has no <end>,"),
        (without("<30.00>"), Prompt("eng"), "^c: its token list has no <30.00>,"),
        (without("<unk>"), Prompt("eng"), "^c: its token list has not <blank> first, <unk>, and each token once; copy"),
        ({"token_list": TOKENS[::-1]}, Prompt("eng"), "^c: its token list has not <blank> first"),
        ({"token_list": [*TOKENS, "he"]}, Prompt("eng"), "and each token once; copy it again$"),
        ({"preprocessor_conf": {"fs": 8000}}, Prompt("eng"), "^c: frontend_conf has audio of 16000 Hz, preprocessor_c"),
    ],
)
def test_what_cannot_be_asked(changes, prompt, said):
    with pytest.raises(UserError, match=said):
        use(CONFIG | changes, "c", 16000, prompt)
