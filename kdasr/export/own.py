"""kdasr's own networks as parts of graphs: `conv_rnn`, `munim_rnn`, `attention_gru`, `munim_gru`, `text_rnn`, `luong`.

An utterance is alone, so that the backward direction needs no reversal by lengths: a bidirectional layer does it. The
recurrent cells of the decoder are written out in matrix products, which int8 covers (it knows no GRU).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdasr.export.parts import Tensors
from kdasr.networks.decoder import AttentionDecoder
from kdasr.networks.encoder import BidirectionalLayer, ConvRNNEncoder
from kdasr.networks.luong import LuongDecoder
from kdasr.networks.munim2018 import MunimDecoder, MunimEncoder
from kdasr.networks.text import TextEncoder


class ConvRNN(nn.Module):
    """`conv_rnn` for one utterance."""

    def __init__(self, encoder: ConvRNNEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers = nn.ModuleList(both_ways(layer) for layer in encoder.layers)

    def forward(self, x: Tensor) -> Tensor:
        """(T, F) -> (S, E)."""
        encoder, x = self.encoder, x[None, None]  # (1, 1, T, F)
        for conv, norm in zip(encoder.convs, encoder.norms, strict=True):
            x = torch.relu(norm(conv(x)))  # (1, C, T / stride, F / 2)
        x = encoder.project(x.transpose(1, 2).flatten(2))  # (1, S, E)
        return up(self.layers, encoder.layers, x)[0]


class TextRNN(nn.Module):
    """`text_rnn` for one sentence."""

    def __init__(self, encoder: TextEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.layers = nn.ModuleList(both_ways(layer) for layer in encoder.layers)

    def forward(self, x: Tensor) -> Tensor:
        """(T, F) -> (S, E), S = T."""
        return up(self.layers, self.encoder.layers, self.encoder.project(x)[None])[0]


def up(rnns: nn.ModuleList, layers: nn.ModuleList, x: Tensor) -> Tensor:
    """Through bidirectional layers, each as `both_ways` made it: (1, S, E) -> (1, S, E)."""
    for rnn, layer in zip(rnns, layers, strict=True):
        ahead, back = rnn(layer.reduce(x))[0].chunk(2, -1)  # (1, S, E) each
        x = layer.norm(x + ahead + back)
    return x


def both_ways(layer: BidirectionalLayer) -> nn.LSTM | nn.GRU:
    """The two directions of a layer as one bidirectional layer, which concatenates them."""
    ahead = layer.ahead
    both = type(ahead)(ahead.input_size, ahead.hidden_size, batch_first=True, bidirectional=True)
    weights = dict(ahead.state_dict())
    weights |= {f"{key}_reverse": value for key, value in layer.back.state_dict().items()}
    both.load_state_dict(weights)
    return both


class MunimRNN(nn.Module):
    """`munim_rnn` for one utterance."""

    def __init__(self, encoder: MunimEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """(T, F) -> (S, E)."""
        x = x[None, None]  # (1, 1, T, F)
        for conv in self.encoder.convs:
            x = torch.relu(conv(x))  # (1, C, about T / 2, about F / 2)
        both = self.encoder.rnn(x.transpose(1, 2).flatten(2))[0]  # (1, S, 2E)
        ahead, back = both[0].chunk(2, -1)  # (S, E) each
        return ahead + back


class AttentionStep(nn.Module):
    """`attention_gru` and `munim_gru`: memories (A, S) and (S, E); states hidden, cell of an LSTM, context, alignment.

    Keys are kept as (A, S), so that the location convolution's output (K, A, S) is added as it comes.
    """

    def __init__(self, decoder: AttentionDecoder) -> None:
        super().__init__()
        self.decoder = decoder
        # As a convolution: the weights of a linear layer over a window are a kernel of one input channel.
        self.register_buffer("kernel", decoder.location.weight.detach()[:, None])  # (A, 1, taps)

    def remember(self, hs: Tensor) -> Tensors:
        """(S, E) -> (A, S), (S, E)."""
        return self.decoder.key(hs).t(), hs

    def start(self, hs: Tensor) -> Tensors:
        """All zero, no frame attended: (1, J, H), (1, J, H) of an LSTM, (1, E), (1, S)."""
        decoder = self.decoder
        layers = hs.new_zeros(1, decoder.num_layers, decoder.hidden_size)
        cells = (layers + 0,) if decoder.cell_type == "lstm" else ()  # a second output must be another tensor
        return layers, *cells, hs.new_zeros(1, hs.size(1)), torch.zeros_like(hs[:, 0])[None]

    def step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensor, Tensors]:
        """(K,) -> log probabilities (K, V), states (K, ...)."""
        decoder, (keys, values) = self.decoder, memory
        hidden, *cells, context, align = state  # (K, J, H), maybe as many again, (K, E), (K, S)
        below = torch.cat([decoder.embed(tokens), context], -1)  # (K, embed + E)
        below, layers = through(decoder.cells, below, hidden, cells)
        query = decoder.query(below)[:, :, None]  # (K, A, 1)
        near = nn.functional.conv1d(align[:, None], self.kernel, padding=decoder.kernel_size // 2)  # (K, A, S)
        energy = decoder.energy.weight @ torch.tanh(near + keys + query)  # (K, 1, S)
        align = torch.softmax(energy[:, 0], -1)  # (K, S)
        context = align @ values  # (K, E)
        logp = torch.log_softmax(decoder.output(torch.cat([below, context], -1)), -1)  # (K, V)
        return logp, (*layers, context, align)


class LuongStep(nn.Module):
    """`luong`: memories (H, S) and (S, E); states hidden, cell of an LSTM, and the vector that is fed, if it is."""

    def __init__(self, decoder: LuongDecoder) -> None:
        super().__init__()
        self.decoder = decoder
        self.cells = nn.ModuleList(cell_of(decoder.rnn, layer) for layer in range(decoder.num_layers))

    def remember(self, hs: Tensor) -> Tensors:
        """(S, E) -> (H, S), (S, E)."""
        return self.decoder.key(hs).t(), hs

    def start(self, hs: Tensor) -> Tensors:
        """From the mean of what is read: (1, J, H), (1, J, H) of an LSTM; zeros (1, A) with input feeding."""
        decoder = self.decoder
        first = torch.tanh(decoder.begin(hs.mean(0, keepdim=True)))  # (1, G)
        layers = first.view(decoder.states, 1, decoder.num_layers, decoder.hidden_size)
        fed = (hs.new_zeros(1, decoder.vector),) if decoder.input_feeding else ()
        return *layers.unbind(0), *fed

    def step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensor, Tensors]:
        """(K,) -> log probabilities (K, V), states (K, ...)."""
        decoder, (keys, values) = self.decoder, memory
        hidden, *cells = state[: decoder.states]  # (K, J, H), maybe as many again
        x = torch.cat([decoder.embed(tokens), *state[decoder.states :]], -1)  # (K, D), or (K, D + A)
        top, layers = through(self.cells, x, hidden, cells)
        context = torch.softmax(top @ keys, -1) @ values  # (K, E)
        vector = torch.tanh(decoder.mix(torch.cat([top, context], -1)))  # (K, A)
        logp = torch.log_softmax(decoder.output(vector), -1)  # (K, V)
        return logp, (*layers, vector) if decoder.input_feeding else tuple(layers)


def cell_of(rnn: nn.LSTM | nn.GRU, layer: int) -> nn.LSTMCell | nn.GRUCell:
    """A layer of a one-way LSTM or GRU as a cell with the same weights."""
    inputs = rnn.input_size if layer == 0 else rnn.hidden_size
    cell = (nn.LSTMCell if isinstance(rnn, nn.LSTM) else nn.GRUCell)(inputs, rnn.hidden_size)
    cell.load_state_dict({name: getattr(rnn, f"{name}_l{layer}") for name in cell.state_dict()})
    return cell


def through(layers: nn.ModuleList, x: Tensor, hidden: Tensor, cells: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """A step of stacked GRU or LSTM cells.

    Args:
        layers: J cells.
        x: (K, .) input of the first.
        hidden: (K, J, H) states.
        cells: an LSTM's cells (K, J, H), one tensor; none of a GRU.

    Returns:
        The last one's output (K, H); states, and cells if there are any, after the step (K, J, H).
    """
    after, after_cells = [], []
    for j, layer in enumerate(layers):
        if cells:
            x, c = lstm_cell(layer, x, hidden[:, j], cells[0][:, j])  # (K, H) each
            after_cells.append(c)
        else:
            x = gru_cell(layer, x, hidden[:, j])  # (K, H)
        after.append(x)
    return x, [torch.stack(after, 1), *([torch.stack(after_cells, 1)] if cells else [])]


def gru_cell(cell: nn.GRUCell, x: Tensor, h: Tensor) -> Tensor:
    """Torch's GRU cell, written out: (K, .), (K, H) -> (K, H)."""
    r, z, n = nn.functional.linear(x, cell.weight_ih, cell.bias_ih).chunk(3, 1)  # (K, H) each
    r2, z2, n2 = nn.functional.linear(h, cell.weight_hh, cell.bias_hh).chunk(3, 1)  # (K, H) each
    n = torch.tanh(n + torch.sigmoid(r + r2) * n2)
    return n + torch.sigmoid(z + z2) * (h - n)


def lstm_cell(cell: nn.LSTMCell, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Torch's LSTM cell, written out: (K, .), (K, H), (K, H) -> state and cell (K, H)."""
    gates = nn.functional.linear(x, cell.weight_ih, cell.bias_ih)
    gates = gates + nn.functional.linear(h, cell.weight_hh, cell.bias_hh)  # (K, 4H)
    i, f, g, o = gates.chunk(4, 1)  # (K, H) each
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


ENCODERS = {ConvRNNEncoder: ConvRNN, MunimEncoder: MunimRNN, TextEncoder: TextRNN}
DECODERS = {AttentionDecoder: AttentionStep, MunimDecoder: AttentionStep, LuongDecoder: LuongStep}
