"""Several models as one: their decoders' distributions averaged, and their CTC prefix probabilities.

| axis | meaning |
|---|---|
| M | models |
| B | utterances |
| K | hypotheses an utterance |
| X | candidate next tokens a hypothesis (V: all) |
| V | tokens |

Each model encodes the audio itself and keeps its own memory and state: those of an ensemble are the tuples
of the models'. With p_m of model m, a decoder's next token c after prefix g scores

    linear      log 1/M sum over m of p_m(c | g)       (the default)
    log-linear  1/M sum over m of log p_m(c | g)       (not normalised: a hypothesis' score is the models' mean)

CTC does not predict token by token but gives whole prefixes a probability, and so these are averaged: c adds

    linear      log sum over m of p_m(g c) - log sum over m of p_m(g)
    log-linear  1/M sum over m of (log p_m(g c) - log p_m(g))

Posteriors averaged frame by frame would need models of one frame rate, and even then blur: separately trained CTC
models spike at different frames (Kurata and Audhkhasi 2019, "Guiding CTC Posterior Spike Timings for Improved
Posterior Fusion and Knowledge Distillation"). A prefix probability has summed over all timings already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kdasr.search.ctc import CtcMemory, CtcPrefixScorer, CtcState

Batches = Sequence[tuple[Tensor, Tensor]]  # of each model: encoder output (B, S, E), its lengths (B,)


def averaged(logps: Sequence[Tensor], log_linear: bool) -> Tensor:
    """The log of the mean of M probabilities, given as logs of one shape; the mean of the logs if `log_linear`.

    The mean of equal ones is exactly these.
    """
    stacked = torch.stack(tuple(logps))  # (M, ...)
    if log_linear:
        return stacked.mean(0)
    top = stacked.amax(0).clamp_min(torch.finfo(stacked.dtype).min)  # (...), finite where all are -inf
    return top + (stacked - top).exp().mean(0).log()


class DecoderEnsemble:
    """A full scorer (kdasr.search.scorers) of the full scorers of M models, in the order of their encoder outputs."""

    def __init__(self, scorers: Sequence[Any], log_linear: bool = False) -> None:
        self.scorers, self.log_linear = list(scorers), log_linear

    def remember(self, batches: Batches) -> tuple[Any, ...]:
        """Encoder outputs of all models -> their memories."""
        return tuple(scorer.remember(*batch) for scorer, batch in zip(self.scorers, batches, strict=True))

    def start(self, memory: tuple[Any, ...], hypotheses: int) -> tuple[Any, ...]:
        """The models' states before the first token."""
        return tuple(scorer.start(own, hypotheses) for scorer, own in zip(self.scorers, memory, strict=True))

    def step(self, tokens: Tensor, state: tuple[Any, ...], memory: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """Averaged log scores (B, K, V) of what follows `tokens` (B, K), and the states after these."""
        each = [scorer.step(tokens, s, m) for scorer, s, m in zip(self.scorers, state, memory, strict=True)]
        return averaged([logp for logp, _ in each], self.log_linear), tuple(after for _, after in each)

    def reorder(self, state: tuple[Any, ...], parents: Tensor) -> tuple[Any, ...]:
        """The states in which hypothesis k of utterance b is a child of parents[b, k] (B, K)."""
        return tuple(scorer.reorder(own, parents) for scorer, own in zip(self.scorers, state, strict=True))

    def keep(self, tree: tuple[Any, ...], utterances: Tensor) -> tuple[Any, ...]:
        """Memories or states of these utterances (B',) only."""
        return tuple(scorer.keep(own, utterances) for scorer, own in zip(self.scorers, tree, strict=True))

    def put(self, old: tuple[Any, ...], utterances: Tensor, new: tuple[Any, ...]) -> tuple[Any, ...]:
        """Memories or states in which these utterances (B',) are replaced by those of `new`."""
        both = zip(self.scorers, old, new, strict=True)
        return tuple(scorer.put(before, utterances, after) for scorer, before, after in both)


class CtcEnsemble:
    """A partial scorer (kdasr.search.scorers) of the CTC prefix scorers of M models."""

    def __init__(self, scorers: Sequence[CtcPrefixScorer], log_linear: bool = False) -> None:
        self.scorers, self.log_linear = list(scorers), log_linear

    def remember(self, batches: Batches) -> tuple[CtcMemory, ...]:
        """Encoder outputs of all models -> their memories."""
        return tuple(scorer.remember(*batch) for scorer, batch in zip(self.scorers, batches, strict=True))

    def start(self, memory: tuple[CtcMemory, ...], hypotheses: int) -> tuple[CtcState, ...]:
        """The models' empty prefixes."""
        return tuple(scorer.start(own, hypotheses) for scorer, own in zip(self.scorers, memory, strict=True))

    def score(self, state: tuple[CtcState, ...], memory: tuple[CtcMemory, ...], candidates: Tensor | None) -> Tensor:
        """Log score that each candidate (B, K, X), or each token for None, adds to its prefix: (B, K, X) float64."""
        added = torch.stack(
            [scorer.score(s, m, candidates) for scorer, s, m in zip(self.scorers, state, memory, strict=True)]
        )  # (M, B, K, X)
        if self.log_linear:
            return added.mean(0)
        # p_m(g) / sum over m of p_m(g): the weight of each model after this prefix
        share = torch.stack([own.prefix for own in state]).log_softmax(0)  # (M, B, K)
        return (added + share.unsqueeze(3)).logsumexp(0)

    def advance(
        self, state: tuple[CtcState, ...], memory: tuple[CtcMemory, ...], tokens: Tensor, scores: Tensor
    ) -> tuple[CtcState, ...]:
        """The states after one more token each (B, K); the score of each model is computed again."""
        after = []
        for scorer, own, utterances in zip(self.scorers, state, memory, strict=True):
            gained = scorer.score(own, utterances, tokens.unsqueeze(2)).squeeze(2)  # (B, K)
            after.append(scorer.advance(own, utterances, tokens, gained))
        return tuple(after)
