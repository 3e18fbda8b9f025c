"""ESPnet's transformer and RNN decoders as parts of graphs: a step, with all that it needs of the past in its state."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from kdasr.export.espnet_encoders import Positions
from kdasr.export.own import through
from kdasr.export.parts import Tensors
from kdasr.search.rnn_decoders import heads_of


class TransformerStep(nn.Module):
    """The transformer decoder: memories (J, G, D, S) and (J, G, S, D); states (K, J, L, U) twice.

    The states are keys and values of the prefix. L grows by one a step, from 0.
    """

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.decoder = decoder
        positions = decoder.embed[1]
        self.positions = None if isinstance(positions, nn.Sequential) else Positions(positions)

    def remember(self, hs: Tensor) -> Tensors:
        """(S, U) -> keys (J, G, D, S), values (J, G, S, D)."""
        attentions = [layer.src_attn for layer in self.decoder.decoders]
        keys = [_heads(a, a.linear_k(hs)).permute(1, 2, 0) for a in attentions]  # (G, D, S) each
        values = [_heads(a, a.linear_v(hs)).transpose(0, 1) for a in attentions]  # (G, S, D) each
        return torch.stack(keys), torch.stack(values)

    def start(self, hs: Tensor) -> Tensors:
        """No tokens yet: (1, J, 0, U) twice."""
        layers = self.decoder.decoders
        return tuple(hs.new_zeros(1, len(layers), 0, hs.size(1)) for _ in range(2))

    def step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensor, Tensors]:
        """(K,) -> log probabilities (K, V), states (K, J, L + 1, U)."""
        decoder, (keys, values) = self.decoder, state
        x = decoder.embed[0](tokens)  # (K, U)
        if self.positions is not None:
            place = torch.ones_like(keys[0, 0, :, 0]).sum()[None]  # (1,) L
            encoding = self.positions.at(place)  # (1, U)
            alpha = self.positions.alpha
            x = x * self.positions.scale + (encoding if alpha is None else alpha * encoding)
        new_keys, new_values = [], []
        for j, layer in enumerate(decoder.decoders):
            before = layer.normalize_before
            y = layer.norm1(x) if before else x  # (K, U)
            attention = layer.self_attn
            new_keys.append(torch.cat((keys[:, j], attention.linear_k(y)[:, None]), 1))  # (K, L + 1, U)
            new_values.append(torch.cat((values[:, j], attention.linear_v(y)[:, None]), 1))  # (K, L + 1, U)
            own_keys = _heads(attention, new_keys[-1]).permute(0, 2, 3, 1)  # (K, G, D, L + 1)
            own_values = _heads(attention, new_values[-1]).transpose(1, 2)  # (K, G, L + 1, D)
            query = _heads(attention, attention.linear_q(y))[:, :, None]  # (K, G, 1, D)
            weights = torch.softmax(query @ own_keys / math.sqrt(attention.d_k), -1)  # (K, G, 1, L + 1)
            x = x + attention.linear_out((weights @ own_values).flatten(1))
            x = x if before else layer.norm1(x)
            y = layer.norm2(x) if before else x
            x = x + _attend(layer.src_attn, y, memory[0][j], memory[1][j])
            x = x if before else layer.norm2(x)
            y = layer.norm3(x) if before else x
            x = x + layer.feed_forward(y)
            x = x if before else layer.norm3(x)
        x = decoder.after_norm(x) if decoder.normalize_before else x
        logp = torch.log_softmax(decoder.output_layer(x), -1)  # (K, V)
        return logp, (torch.stack(new_keys, 1), torch.stack(new_values, 1))


def _heads(attention: Any, x: Tensor) -> Tensor:
    """(..., U) -> (..., G, D)."""
    return x.unflatten(-1, (attention.h, attention.d_k))


def _attend(attention: Any, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention from x (K, U) to the audio, by keys (G, D, S) and values (G, S, D)."""
    query = _heads(attention, attention.linear_q(x)).transpose(0, 1)  # (G, K, D)
    weights = torch.softmax(query @ keys / math.sqrt(attention.d_k), -1)  # (G, K, S)
    return attention.linear_out((weights @ values).transpose(0, 1).flatten(1))  # (K, U)


class RnnStep(nn.Module):
    """The RNN decoder: memories are keys (A, S) of each head, and its values (S, A), or the encoder output (S, E).

    States: hidden (K, J, H), cells of an LSTM (K, J, H), attention weights (K, G, S). kdasr.search.rnn_decoders says
    which attentions there are, and what children of one parent share.
    """

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.decoder = decoder
        attention = decoder.att_list[0]
        self.heads = heads_of(attention)
        self.merge = getattr(attention, "mlp_o", None)  # G * A -> E
        self.values = [head.values for head in self.heads if head.values is not None]
        self.located = hasattr(attention, "loc_conv")
        several = isinstance(getattr(attention, "loc_conv", None), nn.ModuleList)
        self.convs = [*attention.loc_conv] if several else [attention.loc_conv] if self.located else []
        self.mixes = [*attention.mlp_att] if several else [attention.mlp_att] if self.located else []
        self.attention = attention  # so that its weights are this module's

    def remember(self, hs: Tensor) -> Tensors:
        """(S, E) -> keys (A, S) of each head, and values (S, A), or (S, E)."""
        keys = [head.keys(hs).t() for head in self.heads]  # (A, S) each
        keys = [k.tanh() if head.energy is None else k for head, k in zip(self.heads, keys, strict=True)]
        values = [value(hs) for value in self.values] if self.values else [hs + 0]
        return (*keys, *values)

    def start(self, hs: Tensor) -> Tensors:
        """Zero states, and attention spread over all frames."""
        decoder = self.decoder
        hidden = hs.new_zeros(1, decoder.dlayers, decoder.dunits)
        cells = (hidden + 0,) if decoder.dtype == "lstm" else ()
        ones = torch.ones_like(hs[:, 0])  # (S,)
        attended = (ones / ones.sum()).expand(1, max(1, len(self.heads)), -1)  # (1, G, S)
        return hidden, *cells, attended

    def step(self, tokens: Tensor, memory: Tensors, state: Tensors) -> tuple[Tensor, Tensors]:
        """(K,) -> log probabilities (K, V), states (K, ...)."""
        decoder, (hidden, *cells, attended) = self.decoder, state
        keys, values = memory[: len(self.heads)], memory[len(self.heads) :]
        weights = [self._weights(g, keys[g], hidden[:, 0], attended[:, g]) for g in range(len(self.heads))]
        attended = torch.stack(weights, 1) if weights else attended  # (K, G, S)
        seen = [attended[:, g] @ value for g, value in enumerate(values)]  # (K, A) or (K, E) each
        context = seen[0] if self.merge is None else self.merge(torch.cat(seen, 1))  # (K, E)
        x = torch.cat((decoder.embed(tokens), context), 1)  # (K, H + E)
        x, layers = through(decoder.decoder, x, hidden, cells)
        if decoder.context_residual:
            x = torch.cat((x, context), 1)
        logp = torch.log_softmax(decoder.output(x), -1)  # (K, V)
        return logp, (*layers, attended)

    def _weights(self, g: int, keys: Tensor, hidden: Tensor, before: Tensor) -> Tensor:
        """The weights (K, S) of a head, from keys (A, S), first layer's states (K, H), weights before (K, S)."""
        head = self.heads[g]
        query = head.query(hidden)  # (K, A)
        if head.energy is None:
            return torch.softmax(head.sharpening * (query.tanh() @ keys), -1)
        mixed = keys + query[:, :, None]  # (K, A, S)
        if self.located:
            kernel = self.convs[g].weight[:, 0]  # (C, 1, taps)
            near = nn.functional.conv1d(before[:, None], kernel, padding=kernel.size(2) // 2)  # (K, C, S)
            mixed = mixed + self.mixes[g].weight @ near
        energy = head.energy @ torch.tanh(mixed)  # (K, S)
        return torch.softmax(head.sharpening * energy, -1)
