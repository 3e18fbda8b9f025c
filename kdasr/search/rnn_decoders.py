"""ESPnet's RNN attention decoder as a scorer of a grid.

| axis | meaning |
|---|---|
| B | utterances |
| K | hypotheses an utterance |
| N | B * K, the grid flattened |
| T | encoder frames, padded |
| E | encoder output |
| A | attention |
| H | decoder units |
| J | decoder layers |
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdasr.espnet import name

SHARPENING = 2.0  # ESPnet's RNN attentions multiply the energies by this before the softmax


class RnnMemory(NamedTuple):
    """An RNN decoder's view of a batch of utterances."""

    hs: Tensor  # (B, T, E)
    keys: Tensor  # (B, T, A) projected once; (B, T, 0) for noatt
    padding: Tensor  # (B, T) true behind the end
    uniform: Tensor  # (B, T) 1 / length, 0 in padding


class RnnState(NamedTuple):
    """An RNN decoder's hypotheses."""

    hidden: Tensor  # (B, K, J, H)
    cell: Tensor  # (B, K, J, H); (B, K, 0, H) for GRU
    attended: Tensor  # (B, K, T) attention weights of the step before


class RnnDecoderScorer:
    """ESPnet2's RNNDecoder over a grid: LSTM or GRU, `location`, `add`, `dot` or `noatt` attention."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.attention = decoder.att_list[0]
        self.kind = type(self.attention).__name__

    @staticmethod
    def fits(decoder: Any) -> bool:
        """Whether this decoder is one of them."""
        if not isinstance(decoder, name("espnet2.asr.decoder.rnn_decoder:RNNDecoder")) or decoder.num_encs != 1:
            return False
        return type(decoder.att_list[0]).__name__ in {"AttLoc", "AttAdd", "AttDot", "NoAtt"}

    def remember(self, hs: Tensor, hlens: Tensor) -> RnnMemory:
        """Encoder output (B, T, E) with lengths (B,) -> memory."""
        padding = torch.arange(hs.shape[1], device=hs.device) >= hlens.unsqueeze(1)  # (B, T)
        uniform = (~padding).to(hs.dtype) / hlens.to(hs.dtype).unsqueeze(1)  # (B, T)
        keys = hs[..., :0] if self.kind == "NoAtt" else self.attention.mlp_enc(hs)  # (B, T, A)
        return RnnMemory(hs, keys.tanh() if self.kind == "AttDot" else keys, padding, uniform)

    def start(self, memory: RnnMemory, hypotheses: int) -> RnnState:
        """Zero states, and attention spread over all frames."""
        decoder, batch = self.decoder, memory.hs.shape[0]
        hidden = memory.hs.new_zeros(batch, hypotheses, decoder.dlayers, decoder.dunits)  # (B, K, J, H)
        cell = hidden if decoder.dtype == "lstm" else hidden[:, :, :0]  # (B, K, J or 0, H)
        return RnnState(hidden, cell, memory.uniform.unsqueeze(1).repeat(1, hypotheses, 1))

    def step(self, tokens: Tensor, state: RnnState, memory: RnnMemory) -> tuple[Tensor, RnnState]:
        """Log probabilities (B, K, V) after `tokens` (B, K), and the state after these."""
        decoder, grid = self.decoder, tokens.shape
        attended = self._attend(state, memory)  # (B, K, T)
        context = attended @ memory.hs  # (B, K, E)
        x = torch.cat((decoder.embed(tokens), context), dim=2).flatten(0, 1)  # (N, H + E)
        hidden, cell = [], []
        for layer, unit in enumerate(decoder.decoder):
            before = state.hidden[:, :, layer].flatten(0, 1)  # (N, H)
            if decoder.dtype == "lstm":
                x, c = unit(x, (before, state.cell[:, :, layer].flatten(0, 1)))  # (N, H), (N, H)
                cell.append(c)
            else:
                x = unit(x, before)  # (N, H)
            hidden.append(x)
        out = x.view(*grid, -1)  # (B, K, H)
        if decoder.context_residual:
            out = torch.cat((out, context), dim=2)  # (B, K, H + E)
        logp = decoder.output(out).log_softmax(2)  # (B, K, V)
        after = torch.stack(hidden, 1).view(*grid, len(hidden), -1)  # (B, K, J, H)
        cells = torch.stack(cell, 1).view(*grid, len(cell), -1) if cell else state.cell  # (B, K, J or 0, H)
        return logp, RnnState(after, cells, attended)

    def _attend(self, state: RnnState, memory: RnnMemory) -> Tensor:
        """Attention weights (B, K, T) from the first layer's state before this step."""
        att = self.attention
        if self.kind == "NoAtt":
            return state.attended
        query = att.mlp_dec(state.hidden[:, :, 0])  # (B, K, A)
        if self.kind == "AttDot":
            energy = query.tanh() @ memory.keys.transpose(1, 2)  # (B, K, T)
        else:
            # One tensor of B * K * T * A elements is filled in place: it is most of a step's work.
            if self.kind == "AttLoc":
                frames = state.attended.shape[2]
                seen = att.loc_conv(state.attended.reshape(-1, 1, 1, frames)).squeeze(2)  # (N, channels, T)
                mixed = att.mlp_att(seen.transpose(1, 2)).view(*query.shape[:2], frames, -1)  # (B, K, T, A)
                mixed += memory.keys.unsqueeze(1)
                mixed += query.unsqueeze(2)
            else:
                mixed = memory.keys.unsqueeze(1) + query.unsqueeze(2)  # (B, K, T, A)
            energy = att.gvec(mixed.tanh_()).squeeze(3)  # (B, K, T)
        energy = energy.masked_fill(memory.padding.unsqueeze(1), -float("inf"))  # (B, K, T)
        return (SHARPENING * energy).softmax(2)
