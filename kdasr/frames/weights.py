"""The weights that frames are decoded with: given, read from the weights.json of another run, or tuned.

They are tuned one after the other over a grid, round after round until word errors fall no more; of equally good ones
those nearer to zero are taken.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.frames.viterbi import Weights
from kdasr.lm.weights import known, number
from kdasr.score import trn
from kdasr.score.align import align_words, tally
from kdasr.score.rules import Rules

GRIDS = {"lm_weight": "0:12:2", "insertion": "-5:15:5", "prior_weight": "0:1:0.25"}  # in the order of the search


def given_weights(given: Mapping[str, float], path: str | None = None) -> Weights:
    """Weights that are given, over those of a weights.json, over the default ones; UserError if one is no number."""
    names = [one.name for one in dataclasses.fields(Weights)]
    found: dict[str, float] = {}
    if path:
        stored = read_json(path).get("weights")
        if not isinstance(stored, dict):
            raise UserError(f"{path}: has no weights; name a weights.json that kdasr frames decode has written")
        for name, value in stored.items():
            known(name, names, path)
            found[name] = number(str(value), f"{path}: {name}")
    for name, value in given.items():
        found[name] = number(str(value), f"--{name}")
    return Weights(**found)


def references(path: str, names: Iterable[str], predictions: object) -> dict[str, tuple[str, ...]]:
    """The words of each utterance, as `kdasr score` counts them; a text may hold others, too.

    Raises:
        UserError: it lacks one.
    """
    wanted, every = dict.fromkeys(names), trn.read_text(path)
    found = {name: Rules().tokens(words) for name, words in every.items() if name in wanted}
    trn.same_utterances(found, wanted, path, predictions)
    return found


def tune(
    texts: Callable[[Weights], Mapping[str, str]],
    refs: Mapping[str, Sequence[str]],
    start: Weights,
    grids: Mapping[str, Sequence[float]],
) -> tuple[Weights, dict[str, Any]]:
    """Search for the weights with fewest word errors, one weight at a time until none gets better.

    Args:
        texts: decodes with some weights.
        refs: words of each utterance.
        start: where to begin.
        grids: values of each weight to try, in this order.

    Returns:
        The weights; and for a JSON file, words, WER in percent before and after, and for each weight (value, WER)
        with the others as found.
    """
    names = list(refs)

    @functools.cache
    def rate(weights: Weights) -> float:
        found = texts(weights)
        return tally(align_words([refs[name] for name in names], [trn.split(found[name]) for name in names])).wer

    def key(weights: Weights) -> tuple[float, float]:
        return rate(weights), sum(abs(value) for value in dataclasses.astuple(weights))

    found, improved = start, True
    while improved:
        improved = False
        for name, values in grids.items():
            best = min((dataclasses.replace(found, **{name: value}) for value in values), key=key)
            if key(best) < key(found):
                found, improved = best, True
    table = {
        name: [(value, round(rate(dataclasses.replace(found, **{name: value})), 4)) for value in values]
        for name, values in grids.items()
    }
    words = sum(map(len, refs.values()))
    rates = {"wer_before": round(rate(start), 4), "wer": round(rate(found), 4)}
    return found, {"words": words, **rates, "table": table}


def describe(tuned: Mapping[str, Any], weights: Weights) -> str:
    """WER of each value tried, a line a weight; and which weight is the end of its grid."""
    lines = []
    for name, row in tuned["table"].items():
        lines.append(f"  {name}: " + ", ".join(f"{value:g} {rate:.2f}" for value, rate in row))
        found = getattr(weights, name)
        if found and found in (row[0][0], row[-1][0]):
            lines.append(f"  {name} {found:g} is the end of its grid; widen it by --grid {name}=FROM:TO:STEP")
    return "\n".join(lines)
