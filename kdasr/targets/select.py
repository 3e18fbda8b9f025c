"""Which hypotheses of an utterance a student trains on, and with what weights: pure functions.

A hypothesis is an archive's (kdasr.nbest.archive) with its place in the list from 0 as "place" and, where its
utterance has a reference, its word errors as "errors" and its character errors as "characters". Hypotheses are
ordered, best first. Words are compared, and errors counted, as sclite does it (kdasr.score.align).

| selection | targets, of the k best | after |
|---|---|---|
| topk | all, of weight 1/k each | Mun'im et al. 2018 |
| posterior | weights softmax(score / temperature): the teacher's distribution over its beam, renormalised | \
Kim & Rush 2016, section 3.2; Takashima et al. 2018 |
| wer | weights proportional to exp(-beta WER) | Kim et al. 2019, whose formula is not known to us |
| best | the one nearest the reference | Kim & Rush 2016, sequence-level interpolation |
| mix | the reference with a fixed weight, the others share the rest by posterior | Kim & Rush 2016, the loss \
that `best` approximates |
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from kdasr.errors import UserError
from kdasr.score.count import words_of

SELECTIONS = ("topk", "posterior", "wer", "best", "mix")
MEASURED = ("wer", "best", "mix")  # those that need a reference
LIGHTENED = ("posterior", "wer", "mix")  # those that leave hypotheses of little weight out
SIMILARITIES = ("errors", "bleu")
UNREFERENCED = ("refuse", "posterior", "drop")  # what becomes of utterances without the reference that they need


class Target(NamedTuple):
    """One training target of an utterance."""

    tokens: Sequence[int]
    text: str
    weight: float
    place: int = -1  # in the archive's list of its utterance, from 0; -1: a reference that is not in it


class Reference(NamedTuple):
    """What was said."""

    text: str
    tokens: Sequence[int]
    words: int


class Selection(NamedTuple):
    """How targets are chosen and weighted."""

    select: str = "posterior"  # one of SELECTIONS
    k: int = 5  # hypotheses taken into account, at most
    temperature: float = 1.0  # of the posterior
    min_weight: float = 0.02  # posterior, wer, mix: hypotheses of less weight are left out
    beta: float = 10.0  # of wer
    similarity: str = "errors"  # of best: one of SIMILARITIES
    ref_weight: float = 0.5  # of mix


def choose(hypotheses: Sequence[dict[str, Any]], how: Selection, reference: Reference | None = None) -> list[Target]:
    """The targets of an utterance, whose weights sum to one.

    Args:
        hypotheses: those that passed the filters, best first; none at all only for mix.
        how: the selection.
        reference: needed by wer, best and mix.

    Raises:
        UserError: a score is not a number.
    """
    candidates = hypotheses[: how.k]
    if how.select == "best":
        assert reference is not None
        place = nearest(candidates, reference.text, how.similarity)
        candidates, weights = [candidates[place]], [1.0]
    elif how.select == "topk":
        weights = [1.0 / len(candidates)] * len(candidates)
    elif how.select == "wer":
        assert reference is not None
        weights = by_wer([hyp["errors"] for hyp in candidates], reference.words, how.beta)
        weights = without_light(weights, how.min_weight)
    else:
        for hyp in candidates:
            if not math.isfinite(hyp["score"]):
                raise UserError(f"hypothesis {hyp['text']!r}: its score is not a number; decode the set again")
        weights = posterior([hyp["score"] for hyp in candidates], how.temperature)
        weights = without_light(weights, how.min_weight)
    targets = [
        Target(hyp["tokens"], hyp["text"], weight, hyp["place"])
        for hyp, weight in zip(candidates, weights, strict=True)
        if weight > 0
    ]
    if how.select == "mix":
        assert reference is not None
        return mixed(reference, targets, how.ref_weight)
    return targets


def posterior(scores: Sequence[float], temperature: float) -> list[float]:
    """softmax(scores / temperature); empty for no scores.

    Args:
        scores: natural logarithms, finite.
        temperature: above 0; large ones give equal weights, small ones all to the best.
    """
    best = max(scores, default=0.0)
    return normalised([math.exp((score - best) / temperature) for score in scores])


def by_wer(errors: Sequence[int], words: int, beta: float) -> list[float]:
    """Weights proportional to exp(-beta WER), WER as a fraction of the reference's words.

    Kim et al. 2019 (knowledge distillation using output errors) weight the loss of a hypothesis exponentially by
    the teacher's word error rate; we have read the abstract alone, so this form and its beta are our own reading.

    Args:
        errors: word errors of each hypothesis.
        words: of the reference; an empty one counts as one word.
        beta: 0 gives equal weights; with 10, one error in ten words costs a factor e.
    """
    fewest = min(errors)
    return normalised([math.exp(-beta * ((one - fewest) / max(words, 1))) for one in errors])


def normalised(masses: Sequence[float]) -> list[float]:
    """Masses from 0 to 1, one of which is 1, as shares of their sum."""
    total = math.fsum(masses)
    return [mass / total for mass in masses]


def without_light(weights: Sequence[float], least: float) -> list[float]:
    """Weights below `least` set to 0, never the largest one, and the others scaled to sum to one again.

    Each hypothesis costs as much to train on as the best one, however little its weight.
    """
    most = max(weights, default=0.0)
    kept = [weight if weight >= min(least, most) else 0.0 for weight in weights]
    return normalised(kept) if kept else []


def nearest(hypotheses: Sequence[dict[str, Any]], reference: str, similarity: str) -> int:
    """Which hypothesis is most like the reference; of equal ones that of fewer character errors, then the earlier.

    Kim & Rush 2016, section 3.3: argmax over the teacher's K best of sim(t, y), sim being smoothed sentence BLEU;
    it replaces their mixture of reference and teacher, which would double the data. "errors" takes the fewest
    word errors instead, which is what recognisers are scored by.

    Args:
        hypotheses: at least one, with "errors" and "characters".
        reference: its text.
        similarity: "errors" or "bleu".
    """

    def distance(place: int) -> tuple[float, int, int]:
        hyp = hypotheses[place]
        far = -sentence_bleu(hyp["text"], reference) if similarity == "bleu" else hyp["errors"]
        return far, hyp["characters"], place

    return min(range(len(hypotheses)), key=distance)


def mixed(reference: Reference, targets: Sequence[Target], ref_weight: float) -> list[Target]:
    """The reference with `ref_weight`, and hypotheses with the rest, in proportion to the weights that they have.

    A hypothesis of the reference's tokens is merged with it. Without hypotheses the reference has all the weight,
    and what would have none is left out.
    """
    share = 1.0 - ref_weight if targets else 0.0
    same = [target for target in targets if list(target.tokens) == list(reference.tokens)]
    weight = 1.0 - share + share * sum(target.weight for target in same)
    first = Target(reference.tokens, reference.text, weight, same[0].place if same else -1)
    others = [target._replace(weight=share * target.weight) for target in targets if target not in same]
    return [target for target in (first, *others) if target.weight > 0]


def sentence_bleu(hypothesis: str, reference: str) -> float:
    """Smoothed sentence BLEU of words, 0 to 100, from sacrebleu.

    N-grams of up to four words, or as many as the hypothesis has (effective order); the first order without a match
    counts as half a match, the next as a quarter (smoothing "exp", method 3 of Chen & Cherry 2014). Which of their
    methods Kim & Rush took is not known to us.
    """
    hyp, ref = (b" ".join(words_of(text)).decode() for text in (hypothesis, reference))
    return _bleu().sentence_score(hyp, [ref]).score


@functools.lru_cache(maxsize=1)
def _bleu() -> Any:
    try:
        from sacrebleu.metrics import BLEU
    except ImportError:
        raise UserError(
            "--similarity bleu: the package sacrebleu is missing; install it (pip install sacrebleu)"
        ) from None
    return BLEU(smooth_method="exp", effective_order=True, tokenize="none")
