"""Hypotheses of another system as records of an N-best archive: their tokens, what these do not know, their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kdasr.data.tokens import UNK, Tokens
from kdasr.errors import UserError
from kdasr.files import columns
from kdasr.outside.heard import NONE, Found, Heard

SHOWN = 5  # unknown units that are named


@dataclass
class Units:
    """Characters or sentencepieces that were read, and those that the tokens do not know."""

    total: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)  # unit: an utterance and text that holds it

    def add(self, units: Sequence[str], tokens: Tokens, key: str, text: str) -> None:
        """Count the units of a hypothesis."""
        self.total += len(units)
        for unit in units:
            if unit not in tokens.ids or unit == UNK:
                self.unknown[unit] += 1
                self.examples.setdefault(unit, f"{key}: {text[:80]}")

    @property
    def percent(self) -> float:
        """How many are unknown."""
        return 100 * self.unknown.total() / self.total if self.total else 0.0

    def describe(self) -> str:
        """A line with counts and an example."""
        common = self.unknown.most_common(SHOWN)
        named = ", ".join(f"{unit!r} {count} times" for unit, count in common)
        more = f" and {len(self.unknown) - SHOWN} others" if len(self.unknown) > SHOWN else ""
        told = f"{self.unknown.total()} of {self.total} units ({self.percent:.2f} %) are unknown to the tokens"
        return f"{told}: {named}{more}, as in {self.examples[common[0][0]]}" if common else told


def scores_of(found: Found, kind: str | None) -> str:
    """What the scores are: SUM, MEAN or NONE.

    An empty hypothesis may lack one where all others have theirs: Whisper has no segment for silence.

    Raises:
        UserError: some hypotheses have a score and some have none.
    """
    with_score = any(hyp.score is not None for hyps in found.lists.values() for hyp in hyps)
    if found.score_kind == NONE or not with_score:
        return NONE
    for key, hyps in found.lists.items():
        lacking = next((hyp for hyp in hyps if hyp.score is None and columns(hyp.text)), None)
        if lacking is not None:
            raise UserError(f"{key}: {lacking.text[:60]!r} has no score, others have one; give it one, or none to any")
    return kind or found.score_kind


def record(
    key: str,
    frames: int,
    hyps: Sequence[Heard],
    tokens: Tokens,
    normalise: Callable[[str], str] | None,
    units: Units,
) -> dict[str, Any]:
    """The archive's record of an utterance; hypotheses that have become the same text are merged into the first.

    Args:
        key: the utterance.
        frames: of its input.
        hyps: its list, best first.
        tokens: our list.
        normalise: what is done to texts; None: nothing but one blank between words.
        units: where units are counted.
    """
    merged: dict[str, dict[str, Any]] = {}
    for hyp in hyps:
        kept = hyp.tokens is not None and normalise is None
        text = hyp.text if kept else normalise(hyp.text) if normalise else " ".join(columns(hyp.text))
        if text in merged:
            continue
        ids = list(hyp.tokens) if kept and hyp.tokens is not None else tokens.encode(text)
        units.add([tokens.list[number] for number in ids] if kept else tokens.split(text), tokens, key, text)
        scores = {name: float(score) for name, score in hyp.parts.items()}
        score = float(hyp.score or 0.0)
        merged[text] = {"tokens": ids, "text": text, "score": score, "scores": scores, "ended": "eos"}
    rest = len(hyps) - len(merged)
    return {"id": key, "frames": frames, "hyps": list(merged.values()), "duplicates": rest, "stop": "imported"}
