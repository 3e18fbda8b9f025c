"""Hypotheses in plain files: a Kaldi text, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kdasr.errors import UserError
from kdasr.files import read_lines, read_table
from kdasr.outside.heard import NONE, Found, Heard, Lists, add, number


def read_texts(paths: Sequence[str]) -> Found:
    """One hypothesis an utterance, `UTTERANCE WORD...` a line; without scores."""
    lists: Lists = {}
    for path in paths:
        add(lists, {key: [Heard(text)] for key, text in read_table(path, empty=True).items()}, path)
    return Found(lists, NONE)


def read_json_lines(paths: Sequence[str]) -> Found:
    """A hypothesis a line: {"id": UTTERANCE, "text": TEXT, "score": NUMBER}; other keys are not read.

    Lines of the same id are its N-best list. It is ordered by score, best first; without scores it stays as it is.
    """
    lists: Lists = {}
    for path in paths:
        found: Lists = {}
        for place, value in json_lines(path):
            key, text = value.get("id"), value.get("text")
            if not isinstance(key, str) or not isinstance(text, str):
                raise UserError(
                    f'{place}: has no "id" or no "text"; expected {{"id": UTTERANCE, "text": TEXT, "score": NUMBER}}'
                )
            score = None if value.get("score") is None else number(value["score"], f"{place}: {key}")
            found.setdefault(key, []).append(Heard(text, score))
        for hyps in found.values():
            if all(hyp.score is not None for hyp in hyps):
                hyps.sort(key=lambda hyp: -(hyp.score or 0.0))
        add(lists, found, path)
    return Found(lists)


def json_lines(path: str) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a file of JSON lines, each with its place FILE:LINE; empty lines are left out."""
    found = []
    for count, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise UserError(f"{path}:{count}: is no JSON object, found {line[:60]!r}; expected one a line")
        found.append((f"{path}:{count}", value))
    return found
