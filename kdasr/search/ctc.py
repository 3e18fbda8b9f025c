"""CTC prefix scores for a whole grid of hypotheses, without a loop over frames, hypotheses or candidates.

| axis | meaning |
|---|---|
| B | utterances |
| K | hypotheses an utterance |
| S | candidate next tokens a hypothesis (V: all) |
| V | tokens |
| T | encoder frames, padded |

Source: Watanabe et al. 2017, "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition",
algorithm 2. For a prefix g, n[t] and b[t] are the probabilities of all paths over the first t frames
that spell g and end in its last token or in blank. Extending g by token c:

    score(g c) = sum over t of phi[t-1] p[t, c],  phi = n + b, or b alone when c repeats g's last token
    n'[t] = (n'[t-1] + phi[t-1]) p[t, c]
    b'[t] = (b'[t-1] + n'[t-1]) p[t, blank]

Two things make this fast. The score of a candidate needs phi alone, so that n' and b' are computed for
the K survivors only, not for all candidates. And both recurrences are linear: divided by the running
product of p they become sums, so in the log domain

    log n'[t] = P[t] + logcumsumexp over s <= t of (log phi[s-1] - P[s-1]),  P[t] = sum over s <= t of log p[s, c]

which is exact. Frame index 0 stands for "before the first frame", where the empty prefix has b = 1.
All sums are in float64, as P reaches thousands.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NEVER = -1e10  # the log of zero, finite as in ESPnet, so that differences of two of them are numbers
FLOOR = 1e-280  # below this, relative to its prefix's best frame, a candidate's score is summed in the log domain


class CtcMemory(NamedTuple):
    """What CTC keeps of a batch of utterances."""

    logp: Tensor  # (B, V, T) log p; in padding log 1 for blank and NEVER for the rest, which changes no score
    blanks: Tensor  # (B, T + 1) float64: sum of blank's log p over the first t frames


class CtcState(NamedTuple):
    """What CTC keeps of the hypotheses."""

    nonblank: Tensor  # (B, K, T + 1) float64: log n
    blank: Tensor  # (B, K, T + 1) float64: log b
    prefix: Tensor  # (B, K) float64: log score of the prefix
    last: Tensor  # (B, K) int64: its last token


class CtcPrefixScorer:
    """A partial scorer of kdasr.search.scorers: CTC prefix scores from a model's CTC layer.

    Args:
        log_softmax: (B, T, E) -> (B, T, V), as ESPnet's CTC.log_softmax.
        blank: id of the blank token.
        sos: id that stands before the first token.
        eos: id of the end token.
    """

    def __init__(self, log_softmax: object, blank: int, sos: int, eos: int) -> None:
        self.log_softmax, self.blank, self.sos, self.eos = log_softmax, blank, sos, eos

    def remember(self, hs: Tensor, hlens: Tensor) -> CtcMemory:
        """Encoder output (B, T, E) and lengths (B,) -> memory."""
        logp = self.log_softmax(hs).float()  # (B, T, V)
        padding = torch.arange(hs.shape[1], device=hs.device) >= hlens.unsqueeze(1)  # (B, T)
        logp = logp.masked_fill(padding.unsqueeze(2), NEVER)  # (B, T, V)
        logp[:, :, self.blank].masked_fill_(padding, 0.0)  # (B, T)
        blanks = torch.nn.functional.pad(logp[:, :, self.blank].double().cumsum(1), (1, 0))  # (B, T + 1)
        return CtcMemory(logp.transpose(1, 2).contiguous(), blanks)

    def start(self, memory: CtcMemory, hypotheses: int) -> CtcState:
        """Empty prefixes (B, K)."""
        blank = memory.blanks.unsqueeze(1).repeat(1, hypotheses, 1)  # (B, K, T + 1)
        prefix = blank.new_zeros(blank.shape[:2])  # (B, K)
        last = torch.full(prefix.shape, self.sos, device=prefix.device)  # (B, K)
        return CtcState(torch.full_like(blank, NEVER), blank, prefix, last)

    def score(self, state: CtcState, memory: CtcMemory, candidates: Tensor | None) -> Tensor:
        """Log score that each candidate (B, K, S), or each token for None, adds to its prefix: (B, K, S) float64."""
        total = torch.logaddexp(state.nonblank, state.blank)  # (B, K, T + 1)
        phi = total[..., :-1]  # (B, K, T)
        top = phi.amax(2, keepdim=True)  # (B, K, 1)
        paths = (phi - top).exp()  # (B, K, T)
        again = (state.blank[..., :-1] - top).exp()  # (B, K, T) where the candidate repeats the last token
        again = (again * _rows(memory.logp, state.last).double().exp()).sum(2, keepdim=True)  # (B, K, 1)
        if candidates is None:
            shape = (*state.last.shape, memory.logp.shape[1])
            candidates = torch.arange(shape[2], device=phi.device).expand(shape)  # (B, K, V)
            sums = paths @ memory.logp.double().exp().transpose(1, 2)  # (B, K, V)
        else:
            probabilities = _rows(memory.logp, candidates).double().exp()  # (B, K, S, T)
            sums = (probabilities @ paths.unsqueeze(3)).squeeze(3)  # (B, K, S)
        sums = torch.where(candidates == state.last.unsqueeze(2), again, sums)  # (B, K, S)
        scores = top + sums.clamp_min(FLOOR).log()  # (B, K, S)
        low = sums < FLOOR  # (B, K, S)
        if low.any():
            scores[low] = self._in_logs(state, total, memory, candidates, low)
        scores = torch.where(candidates == self.eos, total[..., -1:], scores)  # (B, K, S)
        # What is impossible (more tokens than frames) is equally so, whatever was summed on the way.
        scores = scores.masked_fill((candidates == self.blank) | (scores < NEVER / 2), NEVER)  # (B, K, S)
        return scores - state.prefix.unsqueeze(2)  # (B, K, S)

    @staticmethod
    def _in_logs(state: CtcState, total: Tensor, memory: CtcMemory, candidates: Tensor, where: Tensor) -> Tensor:
        """Scores with their prefix (n,) of the few candidates whose sum of probabilities is too small for a float64."""
        b, k, s = where.nonzero(as_tuple=True)  # (n,) each
        tokens = candidates[b, k, s]  # (n,)
        repeats = (tokens == state.last[b, k]).unsqueeze(1)  # (n, 1)
        phi = torch.where(repeats, state.blank[b, k], total[b, k])[:, :-1]  # (n, T)
        return (phi + memory.logp[b, tokens].double()).logsumexp(1)  # (n,)

    def advance(self, state: CtcState, memory: CtcMemory, tokens: Tensor, scores: Tensor) -> CtcState:
        """The state after one more token each (B, K), which scored `scores` (B, K) over its prefix."""
        total = torch.logaddexp(state.nonblank, state.blank)  # (B, K, T + 1)
        repeats = (tokens == state.last).unsqueeze(2)  # (B, K, 1)
        phi = torch.where(repeats, state.blank, total)[..., :-1]  # (B, K, T)
        frames = _rows(memory.logp, tokens).double()  # (B, K, T)
        product = frames.cumsum(2)  # (B, K, T) P
        nonblank = product + (phi - (product - frames)).logcumsumexp(2)  # (B, K, T)
        nonblank = torch.nn.functional.pad(nonblank, (1, 0), value=NEVER).clamp_min(NEVER)  # (B, K, T + 1)
        blanks = memory.blanks.unsqueeze(1)  # (B, 1, T + 1)
        blank = blanks[..., 1:] + (nonblank - blanks)[..., :-1].logcumsumexp(2)  # (B, K, T)
        blank = torch.nn.functional.pad(blank, (1, 0), value=NEVER).clamp_min(NEVER)  # (B, K, T + 1)
        return CtcState(nonblank, blank, state.prefix + scores, tokens)


def _rows(logp: Tensor, tokens: Tensor) -> Tensor:
    """The rows (..., T) of log p (B, V, T) that tokens (B, ...) name."""
    batch, vocab, frames = logp.shape
    first = torch.arange(0, batch * vocab, vocab, device=logp.device)  # (B,)
    rows = tokens + first.view(-1, *[1] * (tokens.dim() - 1))  # (B, ...)
    return logp.view(-1, frames).index_select(0, rows.flatten()).view(*tokens.shape, frames)
