"""A front end and an encoder for text that are fast on a CPU.

    B  sentences   T  source tokens, and <sos> before them   D  embedding   H  hidden units, and output size

ESPnet's own front end for text (`embed`) adds positions to its embeddings, which a recurrent encoder does not need.
"""

from __future__ import annotations

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.asr.frontend.abs_frontend import AbsFrontend
from torch import Tensor, nn

from kdasr.networks.encoder import BidirectionalLayer, padding, reversal


class Lookup(AbsFrontend):
    """Embeddings of tokens, as an ESPnet front end (`frontend: lookup`).

    Args:
        input_size: source tokens.
        embed_dim: D.
        dropout_rate: on the embeddings.
    """

    def __init__(self, input_size: int, embed_dim: int = 256, dropout_rate: float = 0.1) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Embedding(input_size, embed_dim), nn.Dropout(dropout_rate))  # named as ESPnet's
        self._output_size = embed_dim

    def output_size(self) -> int:
        """D."""
        return self._output_size

    def forward(self, input: Tensor, input_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, T) with lengths (B,) -> (B, T, D), lengths."""
        return self.embed(input), input_lengths


class TextEncoder(AbsEncoder):
    """Bidirectional RNN layers over embedded tokens, as an ESPnet encoder (`encoder: text_rnn`).

    Args:
        input_size: D.
        hidden_size: H, units a direction; the directions are summed, so also the output size.
        num_layers: of them, each with a residual connection and layer norm (kdasr.networks.encoder).
        rnn_type: "lstm" or "gru".
        dropout_rate: between layers.
    """

    # Encoding a sentence alone or in a batch gives the same: padding never reaches a valid token.
    batch_invariant = True

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 256,
        num_layers: int = 2,
        rnn_type: str = "lstm",
        dropout_rate: float = 0.1,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(input_size, hidden_size) if input_size != hidden_size else nn.Identity()
        self.layers = nn.ModuleList(BidirectionalLayer(hidden_size, rnn_type, dropout_rate) for _ in range(num_layers))
        self._output_size = hidden_size

    def output_size(self) -> int:
        """H, the size of an encoded token."""
        return self._output_size

    def forward(
        self, xs_pad: Tensor, ilens: Tensor, prev_states: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Encode (B, T, D) with lengths (B,) into (B, T, H), zero behind each end, lengths (B,), and no state."""
        lens = ilens.to(xs_pad.device)  # (B,)
        x = self.project(xs_pad[:, : int(lens.max())])  # (B, T, H)
        order = reversal(lens, x.size(1))  # (B, T)
        for layer in self.layers:
            x = layer(x, order)  # (B, T, H)
        return torch.where(padding(lens, x.size(1))[:, :, None], 0.0, x), lens, None
