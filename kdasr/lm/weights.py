"""N-best lists with separable scores: ranking by a weighted sum, and the search for the weights on a development set.

    U  utterances   R  hypotheses of all of them, utterance by utterance

The search minimises word errors as sclite counts them, over grids of values: a coordinate at a time, and a language
model's weight together with that of the length, since they depend on each other (a language model
prefers short texts). Of equally good weights those nearer to zero are taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kdasr.errors import UserError

LENGTH = "length"  # words of a hypothesis
LM_GRID, LENGTH_GRID = "0:1:0.05", "-1:3:0.25"


@dataclass
class Lists:
    """N-best lists. Scores are natural logarithms, larger is better; hypotheses are in the order of the lists read."""

    ids: list[str]  # (U,)
    sizes: np.ndarray  # (U,) hypotheses of each
    texts: list[str]  # (R,)
    scores: dict[str, np.ndarray] = field(default_factory=dict)  # name -> (R,)
    tokens: np.ndarray | None = None  # (R,) by which all scores were divided, as the search did; None: they were not

    @property
    def starts(self) -> np.ndarray:
        """The first hypothesis of each utterance (U,)."""
        return np.cumsum(self.sizes) - self.sizes

    def add(self, name: str, values: np.ndarray) -> None:
        """Another score (R,), to be divided as the others were."""
        self.scores[name] = values if self.tokens is None else values / self.tokens

    def total(self, weights: Mapping[str, float]) -> np.ndarray:
        """Weighted sums (R,); a score without a weight, or with weight 0, counts nothing, whatever its value."""
        total = np.zeros(len(self.texts))
        for name, values in self.scores.items():
            if weights.get(name, 0.0):
                total += weights[name] * values
        return total

    def best(self, total: np.ndarray) -> np.ndarray:
        """The hypothesis of the largest total of each utterance (U,); of equal ones the first."""
        starts = self.starts
        largest = np.flatnonzero(total == np.repeat(np.maximum.reduceat(total, starts), self.sizes))
        return largest[np.searchsorted(largest, starts)]

    def ranking(self, total: np.ndarray) -> np.ndarray:
        """All hypotheses (R,), each utterance's by total, equal ones in their old order."""
        return np.lexsort((-total, np.repeat(np.arange(len(self.sizes)), self.sizes)))


def parse_weights(words: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """`NAME=W` as weights.

    Raises:
        UserError: not of that form, no number, or no such score.
    """
    weights: dict[str, float] = {}
    for word in words:
        name, equals, value = word.rpartition("=")
        if not equals:
            raise UserError(f"--weights {word}: expected NAME=W, as in length=0.5, or a weights.json")
        known(name, names, f"--weights {word}")
        weights[name] = number(value, f"--weights {word}")
    return weights


def parse_grids(words: Sequence[str], names: Sequence[str]) -> dict[str, list[float]]:
    """`NAME=FROM:TO:STEP` as values to try.

    Raises:
        UserError: not of that form, no such score, or not from 2 to 1000 values.
    """
    grids: dict[str, list[float]] = {}
    for word in words:
        where = f"--grid {word}"
        name, _, text = word.rpartition("=")
        parts = text.split(":")
        if not name or len(parts) != 3:
            raise UserError(f"{where}: expected NAME=FROM:TO:STEP, as in length={LENGTH_GRID}")
        known(name, names, where)
        first, last, step = (number(part, where) for part in parts)
        count = (last - first) / step + 1 if step > 0 else 0
        if not 2 <= count + 1e-9 <= 1001:
            raise UserError(f"{where}: expected from 2 to 1000 values, from the smallest to the largest")
        grids[name] = [round(first + k * step, 10) + 0.0 for k in range(int(count + 1e-9))]
    return grids


def known(name: str, names: Sequence[str], where: str) -> None:
    """UserError if there is no such score."""
    if name not in names:
        raise UserError(f"{where}: there is no score {name!r}; there are {', '.join(names)}")


def number(text: str, where: str) -> float:
    """A finite number; UserError if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UserError(f"{where}: expected a number, found {text!r}")
    return value


@dataclass(frozen=True)
class Tuned:
    """What a search has found."""

    weights: dict[str, float]
    errors: int
    before: int  # errors with the weights that it began with
    oracle: int  # of the hypotheses with fewest errors
    words: int  # of the references
    table: dict[str, list[tuple[float, float]]]  # score -> (weight, WER in percent), the other weights as found

    def wer(self, errors: int) -> float:
        """In percent."""
        return 100 * errors / self.words if self.words else 0.0

    def record(self) -> dict[str, Any]:
        """For a JSON file."""
        rates = {name: round(self.wer(getattr(self, name)), 4) for name in ("before", "errors", "oracle")}
        return {
            "words": self.words,
            "wer_before": rates["before"],
            "wer": rates["errors"],
            "wer_oracle": rates["oracle"],
            "table": self.table,
        }


def tune(
    lists: Lists, errors: np.ndarray, words: int, start: Mapping[str, float], grids: Mapping[str, Sequence[float]]
) -> Tuned:
    """Search for weights.

    Args:
        lists: with all scores.
        errors: (R,) word errors of each hypothesis.
        words: of all references.
        start: weights to begin with; those without a grid stay.
        grids: values to try of each weight that is searched for.
    """

    def cost(weights: Mapping[str, float]) -> int:
        return int(errors[lists.best(lists.total(weights))].sum())

    def key(weights: Mapping[str, float]) -> tuple[int, float]:
        return cost(weights), sum(abs(weights.get(name, 0.0)) for name in grids)

    others = [name for name in grids if name != LENGTH]
    blocks = [(name, LENGTH) if LENGTH in grids and name in lists.scores else (name,) for name in others] or [(LENGTH,)]
    found, best = dict(start), key(start)
    improved = bool(grids)
    while improved:
        improved = False
        for block in blocks:
            for values in itertools.product(*(grids[name] for name in block)):
                tried = {**found, **dict(zip(block, values, strict=True))}
                if (now := key(tried)) < best:
                    found, best, improved = tried, now, True
    tuned = Tuned(found, best[0], cost(start), int(np.minimum.reduceat(errors, lists.starts).sum()), words, {})
    for name, grid in grids.items():
        rates = [(value, round(tuned.wer(cost({**found, name: value})), 2)) for value in grid]
        tuned.table[name] = rates
    return tuned


def describe(tuned: Tuned, utterances: int) -> str:
    """The search's result for people: WER before and after, and of each value of a weight with the others as found."""
    lines = [
        f"WER of {utterances} utterances, {tuned.words} words: {tuned.wer(tuned.before):.2f} % before, "
        f"{tuned.wer(tuned.errors):.2f} % after, {tuned.wer(tuned.oracle):.2f} % at best (oracle)"
    ]
    width = max(map(len, tuned.table), default=0)
    for name, rates in tuned.table.items():
        weight = tuned.weights.get(name, 0.0)
        for rate, group in itertools.groupby(rates, key=lambda pair: pair[1]):
            values = [value for value, _ in group]
            shown = f"{values[0]:g}" + (f" to {values[-1]:g}" if len(values) > 1 else "")
            lines.append(
                f"  {name:{width}} {shown:14} {rate:6.2f}{f'  {weight:g} is taken' if weight in values else ''}"
            )
        if weight and weight in (rates[0][0], rates[-1][0]):
            lines.append(f"  {name} {weight:g} is the end of its grid; widen it by --grid {name}=FROM:TO:STEP")
    return "\n".join(lines)
