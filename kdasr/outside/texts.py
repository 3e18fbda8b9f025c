"""Hypotheses in plain files: a Kaldi text, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kdasr.errors import UserError
from kdasr.files import read_lines, read_table
from kdasr.outside.heard import NONE, Found, Heard, Lists, add, best_first, number


def read_texts(paths: Sequence[str]) -> Found:
    """One hypothesis an utterance, `UTTERANCE WORD...` a line; without scores."""
    lists: Lists = {}
    for path in paths:
        add(lists, {key: [Heard(text)] for key, text in read_table(path, empty=True).items()}, path)
    return Found(lists, NONE)


def read_json_lines(paths: Sequence[str]) -> Found:
    """A hypothesis a line: {"id": UTTERANCE, "text": TEXT, "score": NUMBER}; other keys are not read.

    Lines of the same id are its N-best list, ordered by "rank" (1, 2, ...) where all have one, as what `kdasr nbest
    export` wrote; else by score, best first; without scores it stays as it is.
    """
    lists: Lists = {}
    for path in paths:
        found: dict[str, list[tuple[float, Heard]]] = {}
        for place, value in json_lines(path):
            key, text = value.get("id"), value.get("text")
            if not isinstance(key, str) or not isinstance(text, str):
                raise UserError(
                    f'{place}: has no "id" or no "text"; expected {{"id": UTTERANCE, "text": TEXT, "score": NUMBER}}'
                )
            score = None if value.get("score") is None else number(value["score"], f"{place}: {key}")
            rank = number(value["rank"], f"{place}: {key}") if value.get("rank") is not None else 0.0
            found.setdefault(key, []).append((rank, Heard(text, score)))
        add(lists, {key: _ordered(ranks) for key, ranks in found.items()}, path)
    return Found(lists)


def _ordered(ranks: Sequence[tuple[float, Heard]]) -> list[Heard]:
    """Hypotheses with their ranks (0: none), best first."""
    hyps = [hyp for _, hyp in sorted(ranks, key=lambda pair: pair[0])]
    if not all(rank for rank, _ in ranks):
        hyps = [hyp for _, hyp in ranks]
        best_first(hyps)
    return hyps


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
