"""What all readers of other systems' hypotheses give, and what they check alike."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from kdasr.data.tokens import Tokens
from kdasr.errors import UserError
from kdasr.files import columns

SUM, MEAN, NONE = "sum", "mean", "none"  # a score is the sum over tokens of log probabilities, their mean, or not there
RANKED = re.compile(r"(.+)-([0-9]{1,9})")  # Kaldi's name of a hypothesis: UTTERANCE-n


class Heard(NamedTuple):
    """A hypothesis as another system wrote it."""

    text: str
    score: float | None = None  # natural logarithm, larger is better
    parts: Mapping[str, float] = MappingProxyType({})  # what the score was made of, by scorer
    tokens: Sequence[int] | None = None  # ids of our list that spell the text; None: the text is to be encoded


Lists = dict[str, list[Heard]]  # by utterance, best first


class Found(NamedTuple):
    """What a reader has found."""

    lists: Lists
    score_kind: str = SUM  # SUM or MEAN; NONE where the files say that there are no scores
    said: str = ""  # what a user should know, or nothing


def add(lists: Lists, more: Mapping[str, list[Heard]], path: str | Path) -> None:
    """Put the lists of one more file to those of others; UserError if an utterance is in both."""
    twice = next((key for key in more if key in lists), None)
    if twice is not None:
        raise UserError(f"{path}: {twice} is in another of the files (--in), too; leave one of them out")
    lists.update(more)


def best_first(hyps: list[Heard]) -> None:
    """Order a list by score, if all of it have one; equal scores, and lists without, stay as they are."""
    if all(hyp.score is not None for hyp in hyps):
        hyps.sort(key=lambda hyp: -(hyp.score or 0.0))


def number(value: Any, where: str) -> float:
    """A finite number of a JSON file or a table; UserError that begins with `where` if it is none."""
    try:
        found = math.nan if isinstance(value, bool) or value is None else float(value)
    except (ValueError, TypeError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise UserError(f"{where} has the score {str(value)[:40]!r}, expected a number; correct the file")
    return found


def ranked(keys: Sequence[str], path: str | Path) -> dict[str, list[str]]:
    """The keys UTTERANCE-1, UTTERANCE-2, ... of each utterance, in the order of their numbers.

    Raises:
        UserError: a key of another form.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for key in keys:
        match = RANKED.fullmatch(key)
        if match is None:
            raise UserError(
                f"{path}: {key} is not of the form UTTERANCE-n; number the hypotheses, or give a text of one "
                "hypothesis an utterance with --format text"
            )
        found.setdefault(match[1], []).append((int(match[2]), key))
    return {utterance: [key for _, key in sorted(pairs)] for utterance, pairs in found.items()}


def fitting(ids: Sequence[int], text: str, tokens: Tokens) -> Sequence[int] | None:
    """Token ids that a file has, if they spell its text in our token list; None if they are of another one."""
    if ids and not 0 < min(ids) <= max(ids) < len(tokens) - 1:
        return None
    return ids if columns(tokens.decode(ids)) == columns(text) else None
