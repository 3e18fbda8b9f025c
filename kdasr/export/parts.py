"""What a graph is made of: an encoder that gives a decoder its memories and its first state, and a decoder's step."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

Tensors = tuple[Tensor, ...]


class Step(Protocol):
    """A decoder as a graph has it: of one utterance, its state in tensors whose first axis are the hypotheses."""

    def remember(self, hs: Tensor) -> Tensors:
        """What each step needs of what was encoded, from encoder output (S, E)."""

    def start(self, hs: Tensor) -> Tensors:
        """The state (1, ...) of one hypothesis before <sos>."""

    def step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensor, Tensors]:
        """Log probabilities (K, V) of what follows tokens (K,), and the state after these."""


class EncoderGraph(nn.Module):
    """Input -> CTC's log probabilities (S, V), the decoder's memories, the decoder's first state.

    Without CTC, zeros (S,) stand in the first place, which say how many frames there are.

    Args:
        before: input (T, F) or (T,) -> what the encoder takes: front end and normalisation, or embeddings of text.
        encoder: (T, F) -> (S, E).
        ctc: (S, E) -> (S, V) logits; None without a CTC branch.
        decoder: a `Step`; None: without an attention decoder.
    """

    def __init__(self, before: nn.Module, encoder: nn.Module, ctc: nn.Module | None, decoder: nn.Module | None) -> None:
        super().__init__()
        self.before, self.encoder, self.ctc, self.decoder = before, encoder, ctc, decoder

    def forward(self, x: Tensor) -> Tensors:
        """(T, F) or (T,) -> the outputs, in this order."""
        hs = self.encoder(self.before(x))  # (S, E)
        out: list[Tensor] = []
        if self.ctc is not None:
            out.append(torch.log_softmax(self.ctc(hs), -1))  # (S, V)
        else:
            out.append(torch.zeros_like(hs[:, 0]))  # (S,) its length alone is read
        if self.decoder is not None:
            out += [*self.decoder.remember(hs), *self.decoder.start(hs)]
        return tuple(out)


class DecoderGraph(nn.Module):
    """One step: tokens (K,), memories, states -> log probabilities (K, V), states.

    Args:
        decoder: a `Step`.
        memories: how many it has; the inputs behind these are states.
    """

    def __init__(self, decoder: nn.Module, memories: int) -> None:
        super().__init__()
        self.decoder, self.memories = decoder, memories

    def forward(self, tokens: Tensor, *given: Tensor) -> Tensors:
        """As above."""
        logp, state = self.decoder.step(tokens, given[: self.memories], given[self.memories :])
        return (logp, *state)
