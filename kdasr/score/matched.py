"""The matched-pairs test of two systems: NIST's MAPSSWE, as sc_stats computes it.

Gillick and Cox, "Some statistical issues in the comparison of speech recognition algorithms", ICASSP 1989. Errors in
one sentence are not independent of each other, so the unit is the segment: a stretch of speech in which one of the
systems errs, bounded on both sides by BOUNDARY words that both have right, or by an end of the utterance.

    Z_i = errors of A in segment i - errors of B in it
    W   = mean(Z) / (sd(Z) / sqrt(n)),   normally distributed where the systems do not differ
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BOUNDARY = 2  # words that both systems have right between two segments (sc_stats's default)


@dataclass(frozen=True)
class Matched:
    """System B against system A; a positive mean says that A makes more errors."""

    segments: int
    errors: tuple[int, int]  # of A and of B in the segments: all that they make
    mean: float  # errors of A less those of B, a segment
    sd: float  # n - 1 in the denominator
    z: float
    p: float  # two-sided

    @property
    def significant(self) -> bool:
        """Whether the hypothesis that they do not differ is rejected at the 5 % level."""
        return self.p < 0.05


def matched_pairs(first: Sequence[str], second: Sequence[str], boundary: int = BOUNDARY) -> Matched:
    """The test over utterances that both systems have decoded.

    Args:
        first: system A's operations (C, S, D, I) for each utterance, against the same reference words as B's.
        second: system B's.
        boundary: words right in both that part two segments.

    Returns:
        With fewer than two segments, or where every Z is alike, no normal statistic exists: p is then 1 if the
        mean is 0, else 0 as the limit.
    """
    pairs = [pair for two in zip(first, second, strict=True) for pair in segments(*two, boundary)]
    z = [a - b for a, b in pairs]
    count = len(z)
    errors = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    if count < 2:
        return Matched(count, errors, float(sum(z)), 0.0, 0.0, 1.0)
    mean = sum(z) / count
    sd = math.sqrt(sum((value - mean) ** 2 for value in z) / (count - 1))
    if sd == 0.0:
        return Matched(count, errors, mean, 0.0, math.copysign(math.inf, mean) if mean else 0.0, float(mean == 0.0))
    statistic = mean / (sd / math.sqrt(count))
    return Matched(count, errors, mean, sd, statistic, math.erfc(abs(statistic) / math.sqrt(2.0)))


def segments(first: str, second: str, boundary: int = BOUNDARY) -> Iterator[tuple[int, int]]:
    """(errors of A, errors of B) in each segment of one utterance in which there are any.

    Raises:
        ValueError: the operations are not of the same number of reference words.
    """
    sides = _by_word(first), _by_word(second)
    words = len(sides[0][0])
    if len(sides[1][0]) != words:
        raise ValueError(f"{words} reference words on one side, {len(sides[1][0])} on the other")
    right = [all(side[0][k] for side in sides) for k in range(words)]
    joined = [not any(side[1][k] for side in sides) for k in range(words + 1)]  # nothing inserted before word k
    start = word = 0
    while word < words:
        stop = word
        while stop < words and right[stop] and (stop == word or joined[stop]):
            stop += 1
        if stop - word >= boundary:
            yield from _errors(sides, start, word)
            start = stop
        word = max(stop, word + 1)
    yield from _errors(sides, start, words)


def _by_word(operations: str) -> tuple[list[bool], list[int]]:
    """Whether each reference word is right, and how many words stand before it (and, last, after all of them)."""
    right: list[bool] = []
    inserted = [0]
    for operation in operations:
        if operation == "I":
            inserted[-1] += 1
        else:
            right.append(operation == "C")
            inserted.append(0)
    return right, inserted


def _errors(sides: Sequence[tuple[list[bool], list[int]]], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Errors of both in the words from `start` to `stop` and the gaps about them, if there are any."""
    a, b = (right[start:stop].count(False) + sum(inserted[start : stop + 1]) for right, inserted in sides)
    if a or b:
        yield a, b
