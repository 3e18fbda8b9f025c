"""How sure an error rate is: bootstrap over utterances, a paired comparison of two systems, spread over seeds.

Axes: R resamples, U utterances. The bootstrap is that of Bisani and Ney, "Bootstrap estimates for confidence
intervals in ASR performance evaluation", ICASSP 2004: utterances are drawn with replacement, errors and reference
words are summed, and the rate is their quotient. All rates and differences are in percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
BLOCK = 1 << 18  # numbers drawn at a time: 1 or 2 MB
WORTH = 4  # a count of the multinomial takes as long as so many utterances drawn one by one


@dataclass(frozen=True)
class Paired:
    """System B against system A on the same utterances; negative is better for B."""

    difference: float  # points
    low: float  # 95 % interval of the difference
    high: float
    p: float  # two-sided: how often resampling turns the sign round

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Spread:
    """A figure over several seeds."""

    mean: float
    sd: float | None  # n - 1 in the denominator; None for one seed
    low: float | None  # 95 % Student interval of the mean
    high: float | None


def interval(errors: Sequence[int], words: Sequence[int], seed: int = 0, level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of the error rate.

    Args:
        errors: of each utterance, (U,).
        words: reference words of each utterance, (U,).
        seed: of the resampling.
        level: probability that the interval covers.

    Returns:
        Lower and upper end, percent.
    """
    columns = np.array([errors, words], dtype=np.float64).T  # (U, 2)
    sums = _resampled(columns, seed)  # (R, 2)
    low, high = np.quantile(_rates(sums[:, 0], sums[:, 1]), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired(first: Sequence[float], second: Sequence[float], words: Sequence[int], seed: int = 0) -> Paired:
    """Paired bootstrap of the second system's error rate less the first's, over the same utterances.

    Args:
        first: errors of system A on each utterance, (U,).
        second: errors of system B, (U,).
        words: reference words, (U,).
        seed: of the resampling.
    """
    change = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)  # (U,)
    columns = np.stack([change, np.asarray(words, dtype=np.float64)], axis=1)  # (U, 2)
    sums = _resampled(columns, seed)  # (R, 2)
    rates = _rates(sums[:, 0], sums[:, 1])  # (R,), or fewer
    low, high = np.quantile(rates, [0.025, 0.975])
    # One is added above and below: the observed sample is one of the possible ones.
    tails = [(np.sum(rates <= 0) + 1) / (len(rates) + 1), (np.sum(rates >= 0) + 1) / (len(rates) + 1)]
    observed = _rates(columns[:, :1].sum(axis=0), columns[:, 1:].sum(axis=0))
    return Paired(float(observed[0]), float(low), float(high), float(min(1.0, 2 * min(tails))))


def over_seeds(values: Sequence[float]) -> Spread:
    """Mean, standard deviation and 95 % Student interval of the mean over seeds."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Spread(mean, None, None, None)
    sd = float(np.std(values, ddof=1))
    half = student(len(values) - 1) * sd / len(values) ** 0.5
    return Spread(mean, sd, mean - half, mean + half)


def seeds_apart(first: Sequence[float], second: Sequence[float]) -> tuple[float, float] | None:
    """Welch's 95 % interval of the difference of two systems' means over seeds; None below two seeds each."""
    if min(len(first), len(second)) < 2:
        return None
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    difference = float(np.mean(second) - np.mean(first))
    if sum(parts) == 0:
        return difference, difference
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1))
    half = student(freedom) * sum(parts) ** 0.5
    return difference - half, difference + half


def student(freedom: float) -> float:
    """The 97.5 % point of Student's distribution."""
    from scipy.special import stdtrit  # here: scipy takes a second to load, and only a report of several seeds needs it

    return float(stdtrit(freedom, 0.975))


def _resampled(columns: np.ndarray, seed: int) -> np.ndarray:
    """Sums over U rows drawn with replacement, R times: (R, columns) from (U, columns).

    Rows that are alike may be drawn together: how often each of the C distinct ones comes is multinomial. That pays
    where C is some dozens and U thousands, as with the few errors and words of utterances.
    """
    generator = np.random.default_rng(seed)
    utterances = len(columns)
    distinct, places, counts = np.unique(columns, axis=0, return_index=True, return_counts=True)
    order = np.argsort(places)  # of appearance: where two systems change places, the same utterances are drawn
    distinct, counts = distinct[order], counts[order]  # (C, columns), (C,)
    together = WORTH * len(distinct) < utterances
    step = max(1, BLOCK // (len(distinct) if together else utterances))
    sums = np.empty((RESAMPLES, columns.shape[1]))
    for start in range(0, RESAMPLES, step):
        stop = min(RESAMPLES, start + step)
        if together:
            drawn = generator.multinomial(utterances, counts / utterances, size=stop - start)  # (step, C)
            sums[start:stop] = drawn @ distinct
            continue
        rows = generator.integers(0, utterances, size=(stop - start, utterances), dtype=np.int32)  # (step, U)
        for column, values in enumerate(np.ascontiguousarray(columns.T)):
            sums[start:stop, column] = np.take(values, rows).sum(axis=1)  # (step,)
    return sums


def _rates(errors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Percent, of the resamples that have words: one of wordless utterances alone has no rate. 0 if none has."""
    some = words > 0
    return 100.0 * errors[some] / words[some] if some.any() else np.zeros(1)
