"""CTC prefix scores of one utterance's hypotheses, in numpy: what kdasr.search.ctc computes, which says why.

Arrays here are small (5 hypotheses, 60 frames), so that the number of calls is what counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NEVER = -1e10  # the log of zero, finite as in ESPnet, so that differences of two of them are numbers
# A sum of probabilities relative to its prefix's best frame is right if it is above this (kdasr.search.ctc).
FLOOR = 1e-280
DENSE = 1000  # up to so many tokens, scores of all by one matrix product are cheaper than those of the candidates


class CtcState(NamedTuple):
    """Of hypotheses; every array's first axis is K."""

    blank: np.ndarray  # (K, S + 1) log b: paths over the first frames that spell the prefix and end in blank
    total: np.ndarray  # (K, S + 1) log n + b: all paths that spell it
    prefix: np.ndarray  # (K,) log score of the prefix
    last: np.ndarray  # (K,) its last token


class Ctc:
    """The CTC branch's view of one utterance.

    Args:
        logp: (S, V) log probabilities, float32.
        blank, sos, eos: ids.
    """

    def __init__(self, logp: np.ndarray, blank: int, sos: int, eos: int) -> None:
        self.blank, self.sos, self.eos = blank, sos, eos
        self.logp = logp.T.astype(np.float64)  # (V, S)
        self.p = np.exp(self.logp)  # (V, S)
        self.until = np.cumsum(self.logp, 1)  # (V, S) of a token in every frame up to this one
        self.before = self.until - self.logp  # (V, S)
        self.blanks = np.concatenate(([0.0], self.until[blank]))  # (S + 1,)

    def start(self) -> CtcState:
        """One empty prefix."""
        blank = self.blanks[None]  # (1, S + 1)
        return CtcState(blank, np.logaddexp(NEVER, blank), np.zeros(1), np.full(1, self.sos))

    def score(self, state: CtcState, candidates: np.ndarray | None) -> np.ndarray:
        """Log score (K, X) that each candidate (K, X) adds to its prefix; (K, V) for None: all tokens."""
        rows = np.arange(len(state.last))  # (K,)
        phi = state.total[:, :-1]  # (K, S)
        top = phi.max(1, keepdims=True)  # (K, 1)
        paths = np.exp(phi - top)  # (K, S)
        # Where the last token comes again, a blank has to stand between.
        again = (np.exp(state.blank[:, :-1] - top) * self.p[state.last]).sum(1)  # (K,)
        if candidates is not None and len(self.p) > DENSE:
            sums = (self.p[candidates] @ paths[:, :, None])[:, :, 0]  # (K, X)
            sums = np.where(candidates == state.last[:, None], again[:, None], sums)
            return self._logs(sums, top, candidates, state)  # (K, X)
        sums = paths @ self.p.T  # (K, V)
        sums[rows, state.last] = again
        scores = self._logs(sums, top, None, state)  # (K, V)
        return scores if candidates is None else scores[rows[:, None], candidates]  # (K, X)

    def _logs(self, sums: np.ndarray, top: np.ndarray, tokens: np.ndarray | None, state: CtcState) -> np.ndarray:
        """Scores over their prefix, of tokens (K, X), by sums of probabilities (K, X) relative to `top` (K, 1).

        Without tokens, of all: (K, V).
        """
        scores = top + np.log(np.maximum(sums, FLOOR))  # (K, X)
        if sums.min() < FLOOR:
            for k, x in zip(*np.nonzero(sums < FLOOR), strict=True):
                token = x if tokens is None else tokens[k, x]
                before = state.blank if token == state.last[k] else state.total  # (K, S + 1)
                scores[k, x] = np.logaddexp.reduce(before[k, :-1] + self.logp[token])
        if tokens is None:
            scores[:, self.eos] = state.total[:, -1]
            scores[:, self.blank] = NEVER
        else:
            scores = np.where(tokens == self.eos, state.total[:, -1:], scores)
            scores[tokens == self.blank] = NEVER
        # All impossible candidates (more tokens than frames) get one score, whatever was summed on the way.
        scores[scores < NEVER / 2] = NEVER
        return scores - state.prefix[:, None]

    def advance(self, state: CtcState, parents: np.ndarray, tokens: np.ndarray, scores: np.ndarray) -> CtcState:
        """The state of children: of `parents` (K,), after one more token each (K,), which scored `scores` (K,)."""
        phi = state.total[parents, :-1]  # (K, S)
        repeats = np.nonzero(tokens == state.last[parents])[0]
        if len(repeats):
            phi[repeats] = state.blank[parents[repeats], :-1]
        nonblank = np.full((len(tokens), len(self.blanks)), NEVER)  # (K, S + 1)
        np.add(self.until[tokens], np.logaddexp.accumulate(phi - self.before[tokens], 1), out=nonblank[:, 1:])
        np.maximum(nonblank, NEVER, out=nonblank)
        blank = np.full_like(nonblank, NEVER)
        relative = (nonblank - self.blanks)[:, :-1]  # (K, S)
        np.add(self.blanks[1:], np.logaddexp.accumulate(relative, 1), out=blank[:, 1:])
        np.maximum(blank, NEVER, out=blank)
        return CtcState(blank, np.logaddexp(nonblank, blank), state.prefix[parents] + scores, tokens)

    @staticmethod
    def keep(state: CtcState, going: np.ndarray) -> CtcState:
        """The state of these hypotheses only."""
        return CtcState(*(part[going] for part in state))
