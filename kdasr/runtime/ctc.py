"""CTC prefix scores of one utterance's hypotheses, in numpy: what kdasr.search.ctc computes, and says why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NEVER = -1e10  # the log of zero, finite as in ESPnet, so that differences of two of them are numbers
# A sum of probabilities relative to its prefix's best frame is right if it is above this (kdasr.search.ctc).
FLOOR = 1e-280
LOWEST = -690.0  # log of all that is less
DENSE = 1000  # up to so many tokens, scores of all by one matrix product are cheaper than those of the candidates


class CtcState(NamedTuple):
    """Of hypotheses, moved by their first axis."""

    nonblank: np.ndarray  # (K, S + 1) log n: paths over the first frames that end in the last token
    blank: np.ndarray  # (K, S + 1) log b: those that end in blank
    prefix: np.ndarray  # (K,) log score of the prefix
    last: np.ndarray  # (K,) its last token
    total: np.ndarray  # (K, S + 1) log n + b


class Ctc:
    """The CTC branch's view of one utterance.

    Args:
        logp: (S, V) log probabilities, float32.
        blank, sos, eos: ids.
    """

    def __init__(self, logp: np.ndarray, blank: int, sos: int, eos: int) -> None:
        self.blank, self.sos, self.eos = blank, sos, eos
        self.logp = np.ascontiguousarray(logp.T).astype(np.float64)  # (V, S)
        self.p = np.exp(np.maximum(self.logp, LOWEST))  # (V, S)
        self.blanks = np.concatenate(([0.0], np.cumsum(self.logp[blank])))  # (S + 1,)

    def start(self) -> CtcState:
        """One empty prefix."""
        blank = self.blanks[None]  # (1, S + 1)
        nonblank = np.full_like(blank, NEVER)
        return CtcState(nonblank, blank, np.zeros(1), np.full(1, self.sos), np.logaddexp(nonblank, blank))

    def score(self, state: CtcState, candidates: np.ndarray | None) -> np.ndarray:
        """Log score (K, X) that each candidate (K, X) adds to its prefix; (K, V) for None: all tokens."""
        phi, last = state.total[:, :-1], state.last[:, None]  # (K, S), (K, 1)
        top = phi.max(1, keepdims=True)  # (K, 1)
        paths = np.exp(np.maximum(phi - top, LOWEST))  # (K, S)
        again = np.exp(np.maximum(state.blank[:, :-1] - top, LOWEST))  # (K, S) where the last token comes again
        again = (again * self.p[state.last]).sum(1, keepdims=True)  # (K, 1)
        tokens = np.arange(len(self.logp))[None] if candidates is None else candidates
        if candidates is None or len(self.p) <= DENSE:
            sums = paths @ self.p.T  # (K, V)
            sums = sums if candidates is None else np.take_along_axis(sums, candidates, 1)  # (K, X)
        else:
            sums = (self.p[candidates] @ paths[:, :, None])[:, :, 0]  # (K, X)
        sums = np.where(tokens == last, again, sums)  # (K, X)
        scores = top + np.log(np.maximum(sums, FLOOR))  # (K, X)
        for k, x in zip(*np.nonzero(sums < FLOOR), strict=True):
            token = tokens[k if len(tokens) > 1 else 0, x]
            before = state.blank[k, :-1] if token == state.last[k] else phi[k]  # (S,)
            scores[k, x] = np.logaddexp.reduce(before + self.logp[token])
        scores = np.where(tokens == self.eos, state.total[:, -1:], scores)  # (K, X)
        # All impossible candidates (more tokens than frames) get one score, whatever was summed on the way.
        scores[(tokens == self.blank) | (scores < NEVER / 2)] = NEVER
        return scores - state.prefix[:, None]

    def advance(self, state: CtcState, tokens: np.ndarray, scores: np.ndarray) -> CtcState:
        """The state after one more token each (K,), which scored `scores` (K,) over its prefix."""
        repeats = tokens == state.last  # (K,)
        phi = np.where(repeats[:, None], state.blank, state.total)[:, :-1]  # (K, S)
        frames = self.logp[tokens]  # (K, S)
        product = np.cumsum(frames, 1)  # (K, S)
        nonblank = _after(product + np.logaddexp.accumulate(phi - (product - frames), 1))  # (K, S + 1)
        blank = self.blanks[1:] + np.logaddexp.accumulate((nonblank - self.blanks)[:, :-1], 1)  # (K, S)
        blank = _after(blank)  # (K, S + 1)
        return CtcState(nonblank, blank, state.prefix + scores, tokens, np.logaddexp(nonblank, blank))


def _after(x: np.ndarray) -> np.ndarray:
    """(K, S) -> (K, S + 1): with the frame before the first, where there is no path."""
    out = np.full((len(x), x.shape[1] + 1), NEVER)
    np.maximum(x, NEVER, out=out[:, 1:])
    return out
