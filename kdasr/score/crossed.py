"""Two systems of several seeds each on the same utterances: intervals in which seeds and utterances are both random.

What system g adds to its score with seed s on utterance u is taken apart by a model of crossed random effects,

    x[g,s,u] = score_g + seed[g,s] + utterance[g,u] + rest[g,s,u],

all three independent of each other, seeds of one system of those of another; utterance[g,u] of one utterance may be as
much alike in two systems as it will (paired). A score is no mean over utterances but a smooth function of sums over
them (WER a quotient), so it is replaced by its linear part: `Linearised.influence` is by how much each utterance moves
it, of WER 100 U / W (errors_u - rate words_u), with the run's own rate; the sum over utterances is 0.

A comparison is a sum over systems c_g score_g. With n_g seeds, U utterances and mean squares

    welch_g   = variance over seeds of their scores, / n_g             expected: (var seed + var rest / U) / n_g
    rest_g    = mean square of influence less its mean over seeds, / (n_g U)     expected: var rest / (n_g U)
    paired    = variance over utterances of sum_g c_g (influence, mean over seeds), / U
                                                        expected: var (sum_g c_g utterance_g) / U + sum_g c_g^2 rest_g

the variance is paired + sum_g c_g^2 max(0, welch_g - rest_g), where paired is at least its part of rest, so that no
component is negative. It is never below that over utterances alone (paired) nor below that over seeds alone (Welch).
The interval is Student's, with Satterthwaite's degrees of freedom of these mean squares; of seeds max(welch_g, rest_g)
counts there, so that seeds that happen to agree do not feign certainty, and there are no fewer than the least of them.

Sources: Searle, Casella and McCulloch, Variance Components, 1992 (crossed classification, Satterthwaite); Owen, "The
pigeonhole bootstrap", Annals of Applied Statistics 2007 (resampling rows or columns alone underestimates the variance
of crossed data); Bouthillier et al., "Accounting for variance in machine learning benchmarks", MLSys 2021 (seeds).

Axes: G systems, S seeds (runs), U utterances. Scores and differences are in points (percent of WER, or BLEU).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kdasr.score.intervals import student

STEPS = 40  # doublings of the distance in which an end of Fieller's interval is looked for, then halvings to find it


@dataclass(frozen=True)
class Linearised:
    """What the runs (seeds) of one system scored."""

    scores: np.ndarray  # (S,)
    influence: np.ndarray  # (S, U): by how much an utterance moves the score, times U; each row sums to 0

    @property
    def score(self) -> float:
        """The mean over seeds."""
        return float(self.scores.mean())


@dataclass(frozen=True)
class Joint:
    """A figure and its 95 % interval over seeds and utterances together."""

    value: float
    low: float
    high: float
    freedom: float  # degrees of freedom of Student's distribution
    of_seeds: float  # the part of the variance that more seeds would take away: 0 to 1

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def of_errors(errors: Sequence[Sequence[float]] | np.ndarray, words: Sequence[int] | np.ndarray) -> Linearised:
    """Error rates in percent, and their linear parts.

    Args:
        errors: of each run and utterance, (S, U).
        words: reference words of each utterance, (U,); one of them has some.
    """
    counted, words = np.asarray(errors, dtype=np.float64), np.asarray(words, dtype=np.float64)
    rates = counted.sum(axis=1) / words.sum()  # (S,)
    scale = 100 * len(words) / words.sum()
    return Linearised(100 * rates, scale * (counted - rates[:, None] * words))


def difference(first: Linearised, second: Linearised) -> Joint | None:
    """The second system's score less the first's; None unless each has two seeds and there are two utterances."""
    if min(len(first.scores), len(second.scores), first.influence.shape[1]) < 2:
        return None
    return _weighted(_components((first, second)), (-1.0, 1.0))


def gap_closed(control: Linearised, system: Linearised, goal: Linearised) -> Joint | None:
    """(control - system) / (control - goal) with Fieller's interval.

    It holds every share g at which control - system - g (control - goal) is not seen to differ from 0, by the variance
    and degrees of freedom of that comparison: seeds of all three are random, and what they share is. A goal of one seed
    counts as it is: then its seeds are not in the interval.

    Returns:
        None where the goal is not seen to be apart from the control (every share would be possible), and where
        `difference` is None.
    """
    if min(len(control.scores), len(system.scores), control.influence.shape[1]) < 2:
        return None
    parts = _components((control, system, goal))
    whole = _weighted(parts, (1.0, 0.0, -1.0))
    if not whole.beyond_noise:
        return None
    share = (control.score - system.score) / whole.value

    def possible(given: float) -> bool:
        return not _weighted(parts, (1.0 - given, -1.0, given)).beyond_noise

    low = share - _farthest(lambda step: possible(share - step))
    high = share + _farthest(lambda step: possible(share + step))
    there = _weighted(parts, (1.0 - share, -1.0, share))
    return Joint(share, low, high, there.freedom, there.of_seeds)


@dataclass(frozen=True)
class _Components:
    """What the variance of any comparison of G systems is made of; names as at the top of this file."""

    scores: np.ndarray  # (G,)
    welch: np.ndarray  # (G,): 0 of a single run, as if seeds did not differ
    rest: np.ndarray  # (G,)
    paired: np.ndarray  # (G, G): covariance over utterances of the systems' influence, / U
    freedom: np.ndarray  # (G,): of welch
    utterances: int


def _components(systems: Sequence[Linearised]) -> _Components:
    utterances = systems[0].influence.shape[1]
    welch, rest = np.array([_of_seeds(one) for one in systems]).T
    means = np.array([one.influence.mean(axis=0) for one in systems])  # (G, U)
    freedom = np.array([max(1, len(one.scores) - 1) for one in systems])
    return _Components(
        np.array([one.score for one in systems]), welch, rest, np.cov(means) / utterances, freedom, utterances
    )


def _of_seeds(runs: Linearised) -> tuple[float, float]:
    """Variance of a system's score by its seeds as they are (Welch), and how much of that is noise of utterances."""
    count, utterances = runs.influence.shape
    if count < 2:
        return 0.0, 0.0
    rest = runs.influence - runs.influence.mean(axis=0)  # (S, U)
    square = float(np.sum(rest**2)) / ((count - 1) * (utterances - 1))
    return float(np.var(runs.scores, ddof=1)) / count, square / (count * utterances)


def _weighted(parts: _Components, weights: Sequence[float]) -> Joint:
    """The sum of weighted scores, and its interval."""
    each = np.array(weights)  # (G,)
    value = float(each @ parts.scores)
    welch, rest = each**2 * parts.welch, each**2 * parts.rest
    seeds = float(np.maximum(0, welch - rest).sum())
    within = max(float(each @ parts.paired @ each), float(rest.sum()))
    variance = seeds + within
    if variance == 0:
        return Joint(value, value, value, np.inf, 0.0)
    squares = within**2 / (parts.utterances - 1) + float(np.sum(np.maximum(welch, rest) ** 2 / parts.freedom))
    least = min(parts.utterances - 1, *parts.freedom[each != 0])
    freedom = max(float(least), variance**2 / squares)
    half = student(freedom) * variance**0.5
    return Joint(value, value - half, value + half, freedom, (seeds + float(rest.sum())) / variance)


def _farthest(possible: Callable[[float], bool]) -> float:
    """The largest distance from 0 that is still possible, where all smaller ones are; infinite if all are."""
    low, high = 0.0, 1e-3
    for _ in range(STEPS):
        if not possible(high):
            break
        low, high = high, 2 * high
    else:
        return np.inf
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if possible(middle) else (low, middle)
    return low
