"""ESPnet's S2T models (OWSM): recognisers of many languages that are told in tokens what to do with the audio.

    reads      <sos> <eng> <asr> <notimestamps> he llo
    writes                                      he llo <eos>

They hear audio of a fixed length, 30 seconds: what is shorter is filled up with silence. kdasr has them transcribe
(or translate: a task of its own, as <st_deu>) whole utterances without timestamps.

What kdasr writes of them is without the tokens that only steer them. Their hypotheses and distributions are over
their students' tokens: <blank>, <unk>, those of the model that are text, in its order, and <sos/eos>, which stands
for its <eos>. So a student is an ordinary recogniser of one language and one task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kdasr.errors import UserError

BLANK, UNK, SOS_EOS = "<blank>", "<unk>", "<sos/eos>"
TASK = "asr"  # where none is named, as in ESPnet
PREPROCESSOR = {  # ESPnet's defaults, for a config.yaml that leaves them out
    "fs": 16000,
    "speech_length": 30,
    "notime_symbol": "<notimestamps>",
    "first_time_symbol": "<0.00>",
    "last_time_symbol": "<30.00>",
}


class Prompt(NamedTuple):
    """What an S2T model is asked for, as options name it: <eng>, or eng; empty where none is named."""

    lang: str = ""
    task: str = ""


UNASKED = Prompt()


class S2T(NamedTuple):
    """How an S2T model is used; ids are those of its own token list."""

    words: tuple[str, ...]  # the prompt: language, task, no timestamps
    prompt: tuple[int, ...]  # their ids, which follow <sos>
    timestamps: tuple[int, int]  # ids of the first and the last, which are never written
    samples: int  # of audio that it hears
    ids: tuple[int, ...]  # of each of its students' tokens

    @property
    def text(self) -> dict[int, int]:
        """The tokens that are text: their ids -> those of its students. As in ESPnet, <unk> is none."""
        return {number: place for place, number in list(enumerate(self.ids))[2:-1]}  # after <blank>, <unk>; no <eos>


def is_s2t(config: Mapping[str, Any]) -> bool:
    """Whether a config.yaml is of ESPnet's S2T task."""
    return config.get("preprocessor") == "s2t" or "sym_na" in _conf(config, "model_conf")


def is_symbol(token: str) -> bool:
    """Whether ESPnet takes a token of an S2T model for a symbol (<eng>, <0.00>) rather than text."""
    return token.startswith("<") and token.endswith(">") and len(token) > 1


def tokens_of(config: Mapping[str, Any], path: str) -> list[str]:
    """The tokens that a model's hypotheses are written in: those of its students.

    Args:
        config: its config.yaml, the token list read. Models of other tasks have their own list.
        path: where it is, for the message.
    """
    tokens = list(config["token_list"])
    if not is_s2t(config):
        return tokens
    if tokens[:1] != [BLANK] or UNK not in tokens or len(set(tokens)) < len(tokens):
        raise UserError(f"{path}: its token list has not {BLANK} first, {UNK}, and each token once; copy it again")
    return [BLANK, UNK, *(token for token in tokens if not is_symbol(token)), SOS_EOS]


def use(config: Mapping[str, Any], path: str, rate: int, prompt: Prompt) -> S2T:
    """How an S2T model is used for a language and task.

    Args:
        config: its config.yaml, the token list read.
        path: where it is, for messages.
        rate: of the audio that it takes, Hz.
        prompt: language and task.

    Raises:
        UserError: the language is not named, or the model has no such token; settings that do not go together.
    """
    tokens, settings = list(config["token_list"]), {**PREPROCESSOR, **_conf(config, "preprocessor_conf")}
    if not prompt.lang:
        raise UserError(
            f"{path}: is of an S2T model, which has to be told the language of the audio: give --lang, as --lang eng "
            "(and --task if it is not asr); kdasr adopt remembers it"
        )
    words = (symbol(prompt.lang), symbol(prompt.task or TASK), str(settings["notime_symbol"]))
    ids = {token: number for number, token in enumerate(tokens)}
    for option, word in zip(("--lang", "--task"), words, strict=False):
        if word not in ids:
            there = ", ".join([token for token in tokens if is_symbol(token)][:12])
            raise UserError(f"{option} {word}: {path} has no such token; its symbols begin {there}")
    eos = _conf(config, "model_conf").get("sym_eos", "<eos>")
    first, last = settings["first_time_symbol"], settings["last_time_symbol"]
    absent = next((one for one in (words[2], eos, first, last) if one not in ids), None)
    if absent is not None:
        raise UserError(f"{path}: its token list has no {absent}, which S2T models have; copy it again")
    if settings["fs"] != rate:
        raise UserError(
            f"{path}: frontend_conf has audio of {rate} Hz, preprocessor_conf of {settings['fs']}; correct it"
        )
    return S2T(
        words,
        tuple(ids[word] for word in words),
        (ids[first], ids[last]),
        int(settings["fs"] * settings["speech_length"]),
        tuple(ids[eos if token == SOS_EOS else token] for token in tokens_of(config, path)),
    )


def symbol(word: str) -> str:
    """A word as a symbol: eng and <eng> are <eng>."""
    return f"<{word.lstrip('<').rstrip('>')}>"


def _conf(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Settings of a config.yaml; none if they are no settings."""
    settings = config.get(name)
    return settings if isinstance(settings, Mapping) else {}
