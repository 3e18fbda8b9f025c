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
