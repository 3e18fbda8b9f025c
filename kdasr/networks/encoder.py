"""An encoder that is fast on a CPU: two strided convolutions, then bidirectional RNN layers.

    B  utterances     T  input frames     F  input bins     C  convolution channels
    S  output frames, ceil(ceil(T / s1) / s2)               H  hidden units, and output size

The shape is that of Mun'im et al. 2018, Table 1 (2-D convolutions, then bidirectional layers whose
directions are summed). Batch norm, residuals and layer norm are added: without them it does not train
within minutes. Layers run on padded tensors, with the backward direction reversed inside each
utterance's own length, which gives what packed sequences give at a quarter of their cost on a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from torch import Tensor, nn

RNN = {"lstm": nn.LSTM, "gru": nn.GRU}


class ConvRNNEncoder(AbsEncoder):
    """Strided 2-D convolutions and bidirectional RNN layers, as an ESPnet encoder (`encoder: conv_rnn`).

    Args:
        input_size: F, bins of the input features.
        hidden_size: H, units a direction; the directions are summed, so also the output size.
        num_layers: of the bidirectional RNN.
        rnn_type: "lstm" or "gru". On a CPU the LSTM is the faster one (it has a fused kernel).
        conv_channels: C of each of the two convolutions.
        time_strides: of the two convolutions; [2, 2] gives 40 ms frames from 10 ms ones.
        dropout_rate: between layers.
        project_rank: of the projection behind the convolutions, as two smaller maps one after the other; 0: one whole.
        input_rank: the same of what the gates of a layer read of the layer below; both directions share the first map.

    Ranks are what `kdasr shrink --by rank` leaves. Recurrent weights stay whole: an LSTM of low recurrent rank (torch's
    proj_size) has no fused kernel on a CPU and no ONNX operator, so that it would be small and slow.
    """

    # Encoding an utterance alone or in a batch gives the same: padding never reaches a valid frame.
    batch_invariant = True
    # Layers, counted from 1, whose output is given, too, as ESPnet's encoders do it (kdasr.networks.middle).
    interctc_layer_idx: Sequence[int] = ()

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 256,
        num_layers: int = 4,
        rnn_type: str = "lstm",
        conv_channels: int = 32,
        time_strides: Sequence[int] = (2, 2),
        dropout_rate: float = 0.1,
        project_rank: int = 0,
        input_rank: int = 0,
    ) -> None:
        super().__init__()
        self.time_strides = tuple(time_strides)
        channels = (1, conv_channels, conv_channels)
        self.convs = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], 3, stride=(stride, 2), padding=1, bias=False)
            for i, stride in enumerate(self.time_strides)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(conv_channels) for _ in self.time_strides)
        bins = input_size
        for _ in self.time_strides:
            bins = (bins + 1) // 2
        self.project = low_rank(conv_channels * bins, hidden_size, project_rank)
        self.layers = nn.ModuleList(
            BidirectionalLayer(hidden_size, rnn_type, dropout_rate, input_rank) for _ in range(num_layers)
        )
        self.dropout = nn.Dropout(dropout_rate)
        self._output_size = hidden_size

    def output_size(self) -> int:
        """H, the size of an encoded frame."""
        return self._output_size

    def forward(
        self, xs_pad: Tensor, ilens: Tensor, prev_states: Tensor | None = None
    ) -> tuple[Tensor | tuple[Tensor, list[tuple[int, Tensor]]], Tensor, Tensor | None]:
        """Encode padded features (B, T, F) with lengths (B,) into (B, S, H), lengths (B,), and no state.

        With `interctc_layer_idx` the first is a pair: (B, S, H), and number and output (B, S, H) of each such layer.
        """
        x = xs_pad.unsqueeze(1)  # (B, 1, T, F)
        lens = ilens.to(x.device)  # (B,)
        for conv, norm, stride in zip(self.convs, self.norms, self.time_strides, strict=True):
            # Alone, an utterance is followed by the convolution's zero padding: the same zeros are put here.
            x = x.masked_fill(padding(lens, x.size(2))[:, None, :, None], 0.0)  # (B, C, T, F)
            x = torch.relu(norm(conv(x)))  # (B, C, T / stride, F / 2)
            lens = (lens + stride - 1) // stride  # (B,)
        x = x.transpose(1, 2).flatten(2)  # (B, S, C * F / 4)
        x = self.dropout(self.project(x))  # (B, S, H)
        x = x[:, : int(lens.max())]  # (B, S, H)
        order = reversal(lens, x.size(1))  # (B, S)
        middle = []
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, order)  # (B, S, H)
            if number in self.interctc_layer_idx:
                middle.append((number, x))
        x = x.masked_fill(padding(lens, x.size(1))[:, :, None], 0.0)  # (B, S, H)
        return ((x, middle) if middle else x), lens, None


class BidirectionalLayer(nn.Module):
    """LayerNorm(x + dropout(forward RNN + backward RNN)), the directions summed (Mun'im et al. 2018)."""

    def __init__(self, size: int, rnn_type: str, dropout_rate: float, input_rank: int = 0) -> None:
        super().__init__()
        self.reduce = nn.Linear(size, input_rank, bias=False) if input_rank else nn.Identity()
        self.ahead = RNN[rnn_type](input_rank or size, size, batch_first=True)
        self.back = RNN[rnn_type](input_rank or size, size, batch_first=True)
        self.norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout_rate)

    def forward(self, x: Tensor, order: Tensor) -> Tensor:
        """Run both directions over x (B, S, H); `order` (B, S) reverses each utterance's valid frames."""
        index = order[:, :, None].expand_as(x)  # (B, S, H)
        read = self.reduce(x)  # (B, S, H or rank)
        ahead, _ = self.ahead(read)  # (B, S, H)
        back, _ = self.back(read.gather(1, index[:, :, :1].expand_as(read)))  # (B, S, H), reversed
        return self.norm(x + self.dropout(ahead + back.gather(1, index)))  # (B, S, H)


def low_rank(inputs: int, outputs: int, rank: int) -> nn.Module:
    """A linear map, as two through `rank` numbers where that is not 0."""
    if not rank:
        return nn.Linear(inputs, outputs)
    return nn.Sequential(nn.Linear(inputs, rank, bias=False), nn.Linear(rank, outputs))


def padding(lens: Tensor, size: int) -> Tensor:
    """True where a frame lies behind its utterance's end: (B,) -> (B, size)."""
    return torch.arange(size, device=lens.device)[None, :] >= lens[:, None]  # (B, size)


def reversal(lens: Tensor, size: int) -> Tensor:
    """Indices that reverse the first lens[b] of `size` frames and leave the others: (B,) -> (B, size)."""
    frame = torch.arange(size, device=lens.device)[None, :]  # (1, size)
    back = lens[:, None] - 1 - frame  # (B, size)
    return torch.where(back >= 0, back, frame)  # (B, size)
