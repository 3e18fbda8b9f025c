"""A trigram of tokens, interpolated as Witten and Bell do: the language model of a framewise decoder.

    P(w | h) = (c(h, w) + t(h) P(w | h')) / (c(h) + t(h))

c counts occurrences in the training sequences, t(h) is the number of different tokens seen after h, and h' is h
without its first token (Witten and Bell 1991, method C; Chen and Goodman 1998, eq. 15). Below the unigram is the
uniform distribution; after a history never seen, the shorter one decides alone.

| axis | meaning |
|---|---|
| V | tokens, in sorted order |
| V+1 | tokens and, as the last, the border: `<s>` in a history, `</s>` as what comes next |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grams:
    """Counts of trigrams."""

    tokens: tuple[str, ...]  # (V,)
    counts: np.ndarray  # (V+1, V+1, V+1) int64: the token before last, the last one, the next

    def table(self) -> np.ndarray:
        """Natural log P(next | two before), (V+1, V+1, V+1) float64; each history's probabilities sum to one."""
        size = len(self.tokens) + 1
        lower = np.full(size, 1 / size)
        # Every sequence begins with <s> <s>, so that summing over the first token gives the counts of shorter ones.
        for counts in (self.counts.sum((0, 1)), self.counts.sum(0), self.counts):
            kinds = np.count_nonzero(counts, axis=-1)[..., None]
            seen = counts.sum(-1, keepdims=True)
            found = (counts + kinds * lower) / np.maximum(seen + kinds, 1)
            lower = np.where(seen > 0, found, lower)
        return np.log(lower)


def count(sequences: Iterable[Sequence[str]]) -> Grams:
    """Trigrams of token sequences, each between `<s> <s>` and `</s>`."""
    every = list(sequences)
    tokens = tuple(sorted({token for one in every for token in one}))
    number = {token: place for place, token in enumerate(tokens)}
    size = border = len(tokens)
    size += 1
    flat: list[int] = []
    for one in every:
        ids = [border, border, *(number[token] for token in one), border]
        flat += [(a * size + b) * size + c for a, b, c in zip(ids, ids[1:], ids[2:], strict=False)]
    counts = np.bincount(np.array(flat, dtype=np.int64), minlength=size**3)
    return Grams(tokens, counts.reshape(size, size, size))
