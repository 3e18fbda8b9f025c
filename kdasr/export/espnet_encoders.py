"""ESPnet's encoders as parts of graphs: transformer, conformer, E-Branchformer, and recurrent ones with or without VGG.

Their own layers compute; what is replaced are masks, which a single utterance has no need of, packed sequences, and the
tables of positions: a table has 5000 rows in ESPnet, which would be most of a small model's file and its longest input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kdasr.errors import UserError
from kdasr.espnet import name

EMBEDDING = "espnet.nets.pytorch_backend.transformer.embedding"
RELATIVE = ("RelPositionalEncoding", "LegacyRelPositionalEncoding")
ABSOLUTE = ("PositionalEncoding", "ScaledPositionalEncoding")


class Positions(nn.Module):
    """One of ESPnet's sinusoidal position encodings, computed for as many frames as there are."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.kind = type(module).__name__
        self.scale = 1.0 if self.kind == "ScaledPositionalEncoding" else module.xscale
        self.alpha = getattr(module, "alpha", None)
        self.rows = 0 if module.pe is None else module.pe.size(1)  # of ESPnet's table
        rates = torch.exp(torch.arange(0, module.d_model, 2).float() * -(math.log(10000.0) / module.d_model))
        self.register_buffer("rates", rates)  # (U / 2,)

    def forward(self, x: Tensor) -> Any:
        """(1, S, U) -> the same with positions added, or, of relative ones, a pair of it and (1, places, U)."""
        frames = x.size(1)
        if self.kind == "RelPositionalEncoding":
            place = (frames - 1) - torch.arange(2 * frames - 1)  # S - 1, ..., 0, ..., 1 - S
        elif self.kind == "LegacyRelPositionalEncoding":
            place = (self.rows - 1) - torch.arange(frames)  # the first rows of a table that ends in 0
        else:
            place = torch.arange(frames)
        table = self.at(place)[None]  # (1, places, U)
        x = x * self.scale
        if self.kind in RELATIVE:
            return x, table
        return x + (table if self.alpha is None else self.alpha * table)

    def at(self, place: Tensor) -> Tensor:
        """The encoding of places: (n,) -> (n, U)."""
        angle = place.float()[:, None] * self.rates  # (n, U / 2)
        return torch.stack((torch.sin(angle), torch.cos(angle)), -1).flatten(1)


class Attentive(nn.Module):
    """`transformer`, `conformer` and `e_branchformer` for one utterance."""

    def __init__(self, encoder: Any, ctc: Any) -> None:
        super().__init__()
        if getattr(encoder, "ctc_trim", False):
            raise UserError("its encoder drops frames by CTC (ctc_trim), which has no graph; name another model")
        self.encoder = encoder
        self.ctc = ctc.ctc_lo if getattr(encoder, "interctc_use_conditioning", False) else None
        embed = encoder.embed
        inner = embed.out if hasattr(embed, "conv") and hasattr(embed, "out") else embed
        self.conv = embed.conv if inner is not embed else None
        layers = [] if inner is None else [*inner] if isinstance(inner, nn.Sequential) else [inner]
        self.embed = nn.ModuleList(positioned(layer) for layer in layers)

    def forward(self, x: Tensor) -> Tensor:
        """(T, F) -> (S, E)."""
        encoder, x = self.encoder, self._convolved(x[None])  # (1, S, .)
        for layer in self.embed:
            x = layer(x)  # (1, S, U), or a pair with positions
        for number, layer in enumerate(encoder.encoders, 1):
            x, _ = layer(x, None)
            if self.ctc is not None and number in encoder.interctc_layer_idx:
                state = x[0] if isinstance(x, tuple) else x  # (1, S, U)
                expected = torch.softmax(self.ctc(self._normed(state)), 2)  # (1, S, V)
                state = state + encoder.conditioning_layer(expected)
                x = (state, x[1]) if isinstance(x, tuple) else state
        return self._normed(x[0] if isinstance(x, tuple) else x)[0]

    def _convolved(self, x: Tensor) -> Tensor:
        """(1, T, F) -> (1, S, C) or, of convolutions in time and frequency, (1, S, C * F')."""
        if self.conv is None:
            return x
        if isinstance(self.conv[0], nn.Conv1d):
            return self.conv(x.transpose(1, 2)).transpose(1, 2)
        return self.conv(x[:, None]).transpose(1, 2).flatten(2)

    def _normed(self, x: Tensor) -> Tensor:
        return self.encoder.after_norm(x) if getattr(self.encoder, "normalize_before", True) else x


def positioned(layer: nn.Module) -> nn.Module:
    """A layer as it is, or what computes its positions; UserError for positions of another kind."""
    kind = type(layer).__name__
    if kind in (*ABSOLUTE, *RELATIVE):
        if isinstance(layer, name(f"{EMBEDDING}:{kind}")):
            return Positions(layer)
    elif "Position" not in kind and "PosEnc" not in kind:
        return layer
    raise UserError(f"it has positions {kind}, which cannot be exported; use abs_pos or rel_pos")


class Recurrent(nn.Module):
    """`rnn` and `vgg_rnn` for one utterance."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        *vgg, self.layers = encoder.enc
        self.vgg = vgg[0] if vgg else None
        self.projects = hasattr(self.layers, "elayers")  # RNNP: a projection behind each layer
        if self.vgg is not None and self.vgg.in_channel != 1:
            raise UserError("its encoder takes several channels, which has no graph; name another model")

    def forward(self, x: Tensor) -> Tensor:
        """(T, F) -> (S, E)."""
        x = x[None]  # (1, T, F)
        if self.vgg is not None:
            x = self._convolved(x[:, None]).transpose(1, 2).flatten(2)  # (1, S, C * F / 4)
        layers = self.layers
        if not self.projects:
            return torch.tanh(layers.l_last(layers.nbrnn(x)[0]))[0]
        for number in range(layers.elayers):
            x = getattr(layers, f"{'birnn' if layers.bidir else 'rnn'}{number}")(x)[0]  # (1, S, .)
            factor = int(layers.subsample[number + 1])
            if factor > 1:  # ESPnet counts (frames + 1) // factor, which may be one less than there are
                x = x[:, ::factor][:, : (x.size(1) + 1) // factor]
            x = getattr(layers, f"bt{number}")(x)
            x = torch.tanh(x) if number < layers.elayers - 1 else x
        return x[0]

    def _convolved(self, x: Tensor) -> Tensor:
        """(1, 1, T, F) -> (1, C, T / 4, F / 4)."""
        vgg = self.vgg
        for pair in ((vgg.conv1_1, vgg.conv1_2), (vgg.conv2_1, vgg.conv2_2)):
            for conv in pair:
                x = torch.relu(conv(x))
            x = nn.functional.max_pool2d(x, 2, stride=2, ceil_mode=True)
        return x


ENCODERS: dict[str, Callable[[Any, Any], nn.Module]] = {
    "espnet2.asr.encoder.transformer_encoder:TransformerEncoder": Attentive,
    "espnet2.asr.encoder.conformer_encoder:ConformerEncoder": Attentive,
    "espnet2.asr.encoder.e_branchformer_encoder:EBranchformerEncoder": Attentive,
    "espnet2.asr.encoder.rnn_encoder:RNNEncoder": lambda encoder, ctc: Recurrent(encoder),
    "espnet2.asr.encoder.vgg_rnn_encoder:VGGRNNEncoder": lambda encoder, ctc: Recurrent(encoder),
}
