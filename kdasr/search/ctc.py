"""CTC prefix scores for a whole grid of hypotheses, without a loop over frames, hypotheses or candidates.

| axis | meaning |
|---|---|
| B | utterances |
| K | hypotheses an utterance |
| X | candidate next tokens a hypothesis (V: all) |
| V | tokens |
| S | encoder frames, padded |
| S' | of these, what lies in a hypothesis' window; without a window S |

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

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

NEVER = -1e10  # the log of zero, finite as in ESPnet, so that differences of two of them are numbers
# A sum of probabilities relative to its prefix's best frame is right if it is above this: what is lost below the
# smallest normal number of the type that p is kept in (1e-308, 1e-38) is then less than a millionth of it.
FLOOR = {torch.float64: 1e-280, torch.float32: 1e-30}
LOWEST = {torch.float64: -690.0, torch.float32: -87.0}  # log of all that is less: exp of it is 50 times slower
DENSE = 1000  # up to so many tokens, scores of all by one matrix product are cheaper than those of the candidates
CHUNK = 1 << 26  # elements at once where all tokens are summed in the log domain


class CtcMemory(NamedTuple):
    """The memory of CTC: of a batch of utterances."""

    logp: Tensor  # (B, V, S) log p; in padding log 1 for blank and NEVER for the rest, which changes no score
    p: Tensor  # (B, V, S) the same as probabilities, float64 up to DENSE tokens, else float32; (B, 0, S) in_logs
    blanks: Tensor  # (B, S + 1) float64: sum of blank's log p over the first t frames


class CtcState(NamedTuple):
    """The state of CTC: of the hypotheses."""

    nonblank: Tensor  # (B, K, S + 1) float64: log n
    blank: Tensor  # (B, K, S + 1) float64: log b
    prefix: Tensor  # (B, K) float64: log score of the prefix
    last: Tensor  # (B, K) int64: its last token


class Before(NamedTuple):
    """The prefix before a candidate, in all frames or those of a window."""

    phi: Tensor  # (B, K, S') log n + b one frame earlier
    blank: Tensor  # (B, K, S') log b, which counts where the candidate repeats the last token
    last: Tensor  # (B, K, 1) that token
    at: Tensor | None  # (B, K, S') the frames of the window


class CtcPrefixScorer:
    """A partial scorer of kdasr.search.scorers: CTC prefix scores from a model's CTC layer.

    Args:
        log_softmax: (B, S, E) -> (B, S, V), as ESPnet's CTC.log_softmax.
        blank: id of the blank token.
        sos: id before the first token.
        eos: id of the end token.
        in_logs: whether all sums run in the log domain, which never waits for the device, or only those that
            are too small for a sum of probabilities; None: the first on a GPU, the second on a CPU.
        window: sum over only so many frames on either side of the frame that a hypothesis attends to, which
            `score` and `advance` get as `centre`; 0: all frames. The score is another one: paths outside do not count.
        skip: so many frames at the beginning are blank in all paths that count.
    """

    def __init__(
        self,
        log_softmax: Callable[[Tensor], Tensor],
        blank: int,
        sos: int,
        eos: int,
        in_logs: bool | None = None,
        window: int = 0,
        skip: int = 0,
    ) -> None:
        self.log_softmax, self.blank, self.sos, self.eos = log_softmax, blank, sos, eos
        self.in_logs, self.window, self.skip = in_logs, window, skip

    def remember(self, hs: Tensor, hlens: Tensor) -> CtcMemory:
        """Encoder output (B, S, E) and lengths (B,) -> memory."""
        logp = self.log_softmax(hs).float()  # (B, S, V)
        padding = torch.arange(hs.shape[1], device=hs.device) >= hlens.unsqueeze(1)  # (B, S)
        logp = logp.masked_fill(padding.unsqueeze(2), NEVER)  # (B, S, V)
        logp[:, :, self.blank].masked_fill_(padding, 0.0)  # (B, S)
        blanks = torch.nn.functional.pad(logp[:, :, self.blank].double().cumsum(1), (1, 0))  # (B, S + 1)
        logp = logp.transpose(1, 2).contiguous()  # (B, V, S)
        if logp.is_cuda if self.in_logs is None else self.in_logs:
            return CtcMemory(logp, logp[:, :0], blanks)
        return CtcMemory(logp, _exp(logp.double() if logp.shape[1] <= DENSE else logp), blanks)

    def start(self, memory: CtcMemory, hypotheses: int) -> CtcState:
        """Empty prefixes (B, K)."""
        blank = memory.blanks.unsqueeze(1).repeat(1, hypotheses, 1)  # (B, K, S + 1)
        blank[..., : self.skip] = NEVER  # what follows a prefix that ends there does not count
        prefix = blank.new_zeros(blank.shape[:2])  # (B, K)
        last = torch.full(prefix.shape, self.sos, device=prefix.device)  # (B, K)
        return CtcState(torch.full_like(blank, NEVER), blank, prefix, last)

    def score(
        self, state: CtcState, memory: CtcMemory, candidates: Tensor | None, centre: Tensor | None = None
    ) -> Tensor:
        """Log score that each candidate (B, K, X), or each token for None, adds to its prefix: (B, K, X) float64.

        Args:
            state, memory: of the hypotheses and their utterances.
            candidates: ids.
            centre: (B, K) the frame in the middle of the window, if there is one.
        """
        total = torch.logaddexp(state.nonblank, state.blank)  # (B, K, S + 1)
        tokens = candidates
        if tokens is None:
            shape = (*state.last.shape, memory.logp.shape[1])
            tokens = torch.arange(shape[2], device=total.device).expand(shape)  # (B, K, V)
        at = self._frames(memory, centre)  # (B, K, S') or None
        before = Before(_seen(total[..., :-1], at), _seen(state.blank[..., :-1], at), state.last.unsqueeze(2), at)
        if memory.p.shape[1]:
            scores = _sums(before, memory, tokens, candidates is None)  # (B, K, X)
        else:
            size = max(1, CHUNK // before.phi.numel())
            chunks = [_log_sums(before, memory, chunk) for chunk in tokens.split(size, 2)]  # (B, K, S') each
            scores = torch.cat(chunks, 2)  # (B, K, X)
        scores = torch.where(tokens == self.eos, total[..., -1:], scores)  # (B, K, X)
        # All impossible candidates (more tokens than frames) get one score, whatever was summed on the way.
        scores = scores.masked_fill((tokens == self.blank) | (scores < NEVER / 2), NEVER)  # (B, K, X)
        return scores - state.prefix.unsqueeze(2)  # (B, K, X)

    def advance(
        self, state: CtcState, memory: CtcMemory, tokens: Tensor, scores: Tensor, centre: Tensor | None = None
    ) -> CtcState:
        """The state after one more token each (B, K), which scored `scores` (B, K) over its prefix; see `score`."""
        total = torch.logaddexp(state.nonblank, state.blank)  # (B, K, S + 1)
        repeats = (tokens == state.last).unsqueeze(2)  # (B, K, 1)
        at = self._frames(memory, centre)  # (B, K, S') or None
        phi = _seen(torch.where(repeats, state.blank, total)[..., :-1], at)  # (B, K, S')
        frames = _rows(memory.logp, tokens.unsqueeze(2), at).squeeze(2).double()  # (B, K, S')
        product = frames.cumsum(2)  # (B, K, S') P
        nonblank = product + (phi - (product - frames)).logcumsumexp(2)  # (B, K, S')
        nonblank = torch.nn.functional.pad(nonblank, (1, 0), value=NEVER).clamp_min(NEVER)  # (B, K, S' + 1)
        blanks = memory.blanks.unsqueeze(1)  # (B, 1, S + 1)
        inside = blanks  # (B, 1 or K, S' + 1)
        if at is not None:
            at = torch.cat((at, at[..., -1:] + 1), 2)  # (B, K, S' + 1)
            inside = _seen(blanks.expand(-1, at.shape[1], -1), at)  # (B, K, S' + 1)
        blank = inside[..., 1:] + (nonblank - inside)[..., :-1].logcumsumexp(2)  # (B, K, S')
        blank = torch.nn.functional.pad(blank, (1, 0), value=NEVER).clamp_min(NEVER)  # (B, K, S' + 1)
        if at is not None:
            # After the window all frames count as blank, so that a prefix can end anywhere; before it, no path begins.
            end = torch.logaddexp(nonblank, blank)[..., -1:] - inside[..., -1:]  # (B, K, 1)
            behind = torch.arange(blanks.shape[2], device=at.device) > at[..., -1:]  # (B, K, S + 1)
            tail = torch.where(behind, end + blanks, NEVER).clamp_min(NEVER)  # (B, K, S + 1)
            nonblank = torch.full_like(tail, NEVER).scatter_(2, at, nonblank)  # (B, K, S + 1)
            blank = tail.scatter_(2, at, blank)  # (B, K, S + 1)
        return CtcState(nonblank, blank, state.prefix + scores, tokens)

    def _frames(self, memory: CtcMemory, centre: Tensor | None) -> Tensor | None:
        """The frames (B, K, S') to sum over; None for all."""
        frames = memory.logp.shape[2]
        if centre is None or self.window == 0 or 2 * self.window + 1 >= frames:
            return None
        first = (centre - self.window).clamp(0, frames - 2 * self.window - 1)  # (B, K)
        return first.unsqueeze(2) + torch.arange(2 * self.window + 1, device=centre.device)  # (B, K, S')


def _sums(before: Before, memory: CtcMemory, tokens: Tensor, everything: bool) -> Tensor:
    """Scores with their prefix (B, K, X) of `tokens`, by sums of probabilities where these are large enough."""
    phi, at = before.phi, before.at  # (B, K, S'), (B, K, S') or None
    top = phi.amax(2, keepdim=True)  # (B, K, 1)
    paths = _exp(phi - top)  # (B, K, S')
    again = _exp(before.blank - top)  # (B, K, S')
    again = (again * _rows(memory.p, before.last, at).squeeze(2).double()).sum(2, keepdim=True)  # (B, K, 1)
    if at is None and (everything or memory.p.shape[1] <= DENSE):
        sums = paths @ memory.p.double().transpose(1, 2)  # (B, K, V)
        sums = sums if everything else sums.gather(2, tokens)  # (B, K, X)
    else:
        sums = (_rows(memory.p, tokens, at).double() @ paths.unsqueeze(3)).squeeze(3)  # (B, K, X)
    sums = torch.where(tokens == before.last, again, sums)  # (B, K, X)
    floor = FLOOR[memory.p.dtype]
    scores = top + sums.clamp_min(floor).log()  # (B, K, X)
    b, k, s = (sums < floor).nonzero(as_tuple=True)  # (n,) each
    if len(b):
        low = tokens[b, k, s]  # (n,)
        repeats = (low == before.last[b, k, 0]).unsqueeze(1)  # (n, 1)
        paths = torch.where(repeats, before.blank[b, k], phi[b, k])  # (n, S')
        logp = _seen(memory.logp[b, low], None if at is None else at[b, k])  # (n, S')
        scores[b, k, s] = (paths + logp.double()).logsumexp(1)  # (n,)
    return scores


def _exp(x: Tensor) -> Tensor:
    return x.clamp_min(LOWEST[x.dtype]).exp()


def _log_sums(before: Before, memory: CtcMemory, tokens: Tensor) -> Tensor:
    """Scores with their prefix (B, K, X) of `tokens`, summed in the log domain."""
    repeats = (tokens == before.last).unsqueeze(3)  # (B, K, X, 1)
    phi = torch.where(repeats, before.blank.unsqueeze(2), before.phi.unsqueeze(2))  # (B, K, X, S')
    return (phi + _rows(memory.logp, tokens, before.at)).logsumexp(3)


def _seen(x: Tensor, at: Tensor | None) -> Tensor:
    """The frames `at` (..., S') of x (..., S), all for None."""
    return x if at is None else x.gather(-1, at)


def _rows(logp: Tensor, tokens: Tensor, at: Tensor | None) -> Tensor:
    """Of log p, or p, (B, V, S) the rows (B, K, X, S') that tokens (B, K, X) name, in the frames `at` (B, K, S')."""
    batch, vocab, frames = logp.shape
    rows = tokens + torch.arange(0, batch * vocab, vocab, device=logp.device)[:, None, None]  # (B, K, X)
    if at is None:
        return logp.view(-1, frames).index_select(0, rows.flatten()).view(*tokens.shape, frames)
    places = (rows * frames).unsqueeze(3) + at.unsqueeze(2)  # (B, K, X, S')
    return logp.view(-1).index_select(0, places.flatten()).view(places.shape)
