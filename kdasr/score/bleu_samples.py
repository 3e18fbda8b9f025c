"""BLEU of resampled sets, from what each sentence adds to it.

Axes: R resamples, U sentences. The draws are those of sacrebleu (its seed and number of samples), so that intervals
and p are those that it prints. The test is that of Koehn 2004, "Statistical significance tests for machine translation
evaluation", as Moses has it: twice the size of a difference beside its mean over resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU

from kdasr.score.crossed import Linearised
from kdasr.score.intervals import Paired

SAMPLES = 1000
SEED = 12345
Statistics = tuple[int, ...]  # of a sentence: tokens, reference tokens, right n-grams (n 1 to 4), n-grams


def statistics(row: Mapping[str, Any]) -> Statistics:
    """Those of a line of per_sentence.jsonl."""
    return row["sys_len"], row["ref_len"], *row["correct"], *row["total"]


def bleu(sums: Sequence[float]) -> float:
    """BLEU of statistics that were summed, (10,)."""
    counts = [int(one) for one in sums]
    return float(BLEU.compute_bleu(counts[2:6], counts[6:], counts[0], counts[1], smooth_method="exp").score)


def cost(sentence: Statistics) -> float:
    """What a sentence lacks of 100 points of its own BLEU, smoothed, over the n-grams that it has room for."""
    score = BLEU.compute_bleu(
        list(sentence[2:6]), list(sentence[6:]), *sentence[:2], smooth_method="exp", effective_order=True
    )
    return round(100 - float(score.score), 1)


def interval(sentences: Sequence[Statistics]) -> tuple[float, float]:
    """Bootstrap interval (95 %) of BLEU over sentences: half its width is what sacrebleu prints behind ±."""
    return _ends(resampled(sentences))


def resampled(sentences: Sequence[Statistics]) -> np.ndarray:
    """BLEU of R sets drawn from U sentences: (R,)."""
    sums = _drawn(len(sentences)) @ np.asarray(sentences, dtype=np.float64)  # (R, 10)
    return np.array([bleu(row) for row in sums])


def paired(first: Sequence[Sequence[Statistics]], second: Sequence[Sequence[Statistics]]) -> Paired:
    """Paired bootstrap of the second system's BLEU less the first's; of several runs each, of their means.

    Args:
        first: of each run of system A, the statistics of the U sentences.
        second: of each run of system B, of the same sentences.
    """
    observed = [float(np.mean([bleu(np.sum(run, axis=0)) for run in runs])) for runs in (first, second)]
    difference = observed[1] - observed[0]
    samples = [np.mean([resampled(run) for run in runs], axis=0) for runs in (first, second)]
    changes = samples[1] - samples[0]  # (R,)
    sizes = np.abs(changes)
    beyond = int(np.sum(sizes - sizes.mean() > abs(difference)))
    low, high = _ends(changes)
    return Paired(difference, low, high, (beyond + 1) / (SAMPLES + 1))


def linear(runs: Sequence[Sequence[Statistics]]) -> Linearised:
    """BLEU of each run, and by how much each sentence moves it: BLEU's derivative at the run's sums.

    With c right of t n-grams (n 1 to 4), h tokens and r reference tokens, BLEU is
    exp(min(0, 1 - r / h) + mean log(c / t)) where all counts are above 0. Where sacrebleu smooths a count of 0, BLEU is
    taken not to depend on it.

    Args:
        runs: of each run, the statistics of the U sentences.
    """
    rows = np.asarray(runs, dtype=np.float64)  # (S, U, 10)
    sums = rows.sum(axis=1)  # (S, 10)
    scores = np.array([bleu(one) for one in sums])
    slopes = np.zeros_like(sums)  # of log BLEU
    np.divide(1 / 4, sums[:, 2:6], out=slopes[:, 2:6], where=sums[:, 2:6] > 0)
    np.divide(-1 / 4, sums[:, 6:], out=slopes[:, 6:], where=sums[:, 6:] > 0)
    tokens, wanted = sums[:, 0], sums[:, 1]
    short = (tokens > 0) & (tokens < wanted)  # the brevity penalty is below 1
    slopes[short, 0] = wanted[short] / tokens[short] ** 2
    slopes[short, 1] = -1 / tokens[short]
    moved = np.einsum("suk,sk->su", rows, slopes) * scores[:, None]  # (S, U)
    return Linearised(scores, rows.shape[1] * (moved - moved.mean(axis=1, keepdims=True)))


@lru_cache(maxsize=8)
def _drawn(sentences: int) -> np.ndarray:
    """How often each sentence is in each resample, (R, U): sacrebleu's draws."""
    places = np.random.default_rng(SEED).choice(sentences, size=(SAMPLES, sentences), replace=True)
    return np.stack([np.bincount(row, minlength=sentences) for row in places]).astype(np.float64)


def _ends(samples: np.ndarray) -> tuple[float, float]:
    """The 95 % interval as sacrebleu takes it: without the 40th part at either end."""
    ordered = np.sort(samples)
    cut = len(ordered) // 40
    return float(ordered[cut]), float(ordered[len(ordered) - cut - 1])
