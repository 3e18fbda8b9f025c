"""ESPnet2's recurrent language model as a scorer of a grid (the transformer one is in kdasr.search.transformers).

| axis | meaning |
|---|---|
| B | utterances |
| K | hypotheses an utterance |
| J | layers |
| H | units |
| V | tokens |
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdasr.espnet import name


class RnnLmState(NamedTuple):
    """A recurrent language model's hypotheses."""

    hidden: Tensor  # (B, K, J, H)
    cell: Tensor  # (B, K, J, H); (B, K, 0, H) for all but LSTM


class RnnLmScorer:
    """ESPnet2's `seq_rnn` language model: LSTM, GRU or plain RNN."""

    def __init__(self, lm: Any) -> None:
        self.lm = lm

    @staticmethod
    def fits(lm: Any) -> bool:
        """Whether this is such a language model."""
        return isinstance(lm, name("espnet2.lm.seq_rnn_lm:SequentialRNNLM"))

    def remember(self, hs: Tensor, hlens: Tensor) -> Tensor:
        """Nothing of the audio but its number and device: (B, 0)."""
        return hs[:, 0, :0]

    def start(self, memory: Tensor, hypotheses: int) -> RnnLmState:
        """Zero states."""
        hidden = memory.new_zeros(len(memory), hypotheses, self.lm.nlayers, self.lm.nhid)  # (B, K, J, H)
        return RnnLmState(hidden, hidden if isinstance(self.lm.rnn, torch.nn.LSTM) else hidden[:, :, :0])

    def step(self, tokens: Tensor, state: RnnLmState, memory: Tensor) -> tuple[Tensor, RnnLmState]:
        """Log probabilities (B, K, V) after `tokens` (B, K), and the state after these."""
        grid, layers = tokens.shape, state.hidden.shape[2:]
        x = self.lm.encoder(tokens).flatten(0, 1).unsqueeze(1)  # (BK, 1, units)
        hidden, cell = (part.flatten(0, 1).transpose(0, 1).contiguous() for part in state)  # (J, BK, H) each
        out, after = self.lm.rnn(x, (hidden, cell) if len(cell) else hidden)  # (BK, 1, H)
        after = after if isinstance(after, tuple) else (after, cell)
        logp = self.lm.decoder(out[:, 0]).log_softmax(1).view(*tokens.shape, -1)  # (B, K, V)
        hidden, cell = (part.transpose(0, 1) for part in after)  # (BK, J, H), (BK, J or 0, H)
        return logp, RnnLmState(hidden.reshape(*grid, *layers), cell.reshape(*grid, cell.shape[1], layers[1]))
