"""What stock ESPnet's beam search calls of a decoder, from what kdasr's search calls: remember, start and step.

S  encoded frames   E  encoder size   V  tokens   L  tokens of a prefix   R  hypotheses of one utterance
"""

from __future__ import annotations

from typing import Any

import torch
from espnet2.asr.decoder.abs_decoder import AbsDecoder
from torch import Tensor

from kdasr.espnet import name


class Scored(AbsDecoder, name("espnet.nets.scorer_interface:BatchScorerInterface")):  # type: ignore[misc]
    """A decoder whose `remember`, `start` and `step` are given; its state is a named tuple of tensors (B, K, ...)."""

    def init_state(self, x: Tensor) -> Any:
        """No state: the first `batch_score` makes one."""
        return None

    def batch_init_state(self, x: Tensor) -> Any:
        """As `init_state`."""
        return None

    def score(self, ys: Tensor, state: Any, x: Tensor) -> tuple[Tensor, Any]:
        """Log-probabilities (V,) after prefix ys (L,) of one hypothesis; x (S, E) is its encoder output."""
        logp, states = self.batch_score(ys[None], [state], x[None])
        return logp[0], states[0]

    def batch_score(self, ys: Tensor, states: list[Any], xs: Tensor) -> tuple[Tensor, list[Any]]:
        """Log-probabilities (R, V) after prefixes ys (R, L) of R hypotheses; xs is (R, S, E)."""
        lens = torch.full((len(xs),), xs.size(1), device=xs.device)  # (R,)
        memory = self.remember(xs, lens)
        first = self.start(memory, 1)
        kind, rows = type(first), range(len(xs))
        parts = [[zero[n : n + 1] if states[n] is None else states[n][i] for n in rows] for i, zero in enumerate(first)]
        logp, state = self.step(ys[:, -1:], kind(*map(torch.cat, parts)), memory)  # (R, 1, V)
        return logp[:, 0], [kind(*(tensor[n : n + 1] for tensor in state)) for n in rows]
