"""Which axes of a network's weights belong to the same units, and which numbers of its configuration count these.

A unit can be removed where every weight that writes it or reads it is known. Units that only exist together are one
group: a hidden unit of `conv_rnn` is a cell of each direction of each layer, as the residuals add them up. The name of
a group is the setting that counts its units; groups of one setting that are chosen apart (the feed-forward units of
each layer) have a number or a name behind a colon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

GATES = {"lstm": 4, "gru": 3}
# What a budget changes, by network: settings that count units, layers, and ranks.
SIZES: dict[str, dict[str, tuple[str, ...]]] = {
    "conv_rnn": {
        "units": ("hidden_size", "conv_channels"),
        "layers": ("num_layers",),
        "rank": ("project_rank", "input_rank"),
    },
    "attention_gru": {"units": ("hidden_size", "attention_size", "embed_size"), "layers": ("num_layers",), "rank": ()},
    **{
        network: {"units": ("linear_units",), "layers": ("num_blocks",), "rank": ()}
        for network in ("transformer", "conformer", "e_branchformer")
    },
}
PARTS = {
    "encoder": tuple(name for name in SIZES if name != "attention_gru"),
    "decoder": ("attention_gru", "transformer"),
}


class Span(NamedTuple):
    """Part of an axis."""

    group: str  # whose units stand here; "": nobody's, `width` numbers that stay
    times: int = 1  # how often they stand here, one set after the other: the gates of an RNN
    width: int = 1  # numbers that a unit has here, one after the other


Axes = dict[str, dict[int, tuple[Span, ...]]]  # name of a weight -> axis -> what it consists of


def axes_of(model: nn.Module, config: Mapping[str, Any]) -> Axes:
    """The axes of all weights that removable units have a part in.

    Args:
        model: an ESPnet ASR model whose networks are in SIZES.
        config: what it was built of.
    """
    hidden = ""
    axes: Axes = {}
    if config["encoder"] == "conv_rnn":
        hidden = "encoder_conf.hidden_size"
        axes |= dict(_conv_rnn(model.encoder, hidden))
        axes["ctc.ctc_lo.weight"] = {1: (Span(hidden),)}
    if model.decoder is not None and config["decoder"] == "attention_gru":
        axes |= dict(_attention_gru(model.decoder, hidden))
    return axes | dict(_feed_forward(model))


def _conv_rnn(encoder: Any, hidden: str) -> Iterator[tuple[str, dict[int, tuple[Span, ...]]]]:
    channels = [f"encoder_conf.conv_channels:{number}" for number in range(2)]
    units = (Span(hidden),)
    for number, conv in enumerate(channels):
        below = {1: (Span(channels[0]),)} if number else {}
        yield f"encoder.convs.{number}.weight", {0: (Span(conv),)} | below
        for name in ("weight", "bias", "running_mean", "running_var"):
            yield f"encoder.norms.{number}.{name}", {0: (Span(conv),)}
    whole = isinstance(encoder.project, nn.Linear)
    first, last = ("project", "project") if whole else ("project.0", "project.1")
    reads = encoder.project if whole else encoder.project[0]
    bins = reads.in_features // encoder.convs[1].out_channels
    yield f"encoder.{first}.weight", {1: (Span(channels[1], width=bins),)} | ({0: units} if whole else {})
    if not whole:
        yield f"encoder.{last}.weight", {0: units}
    yield f"encoder.{last}.bias", {0: units}
    for number, layer in enumerate(encoder.layers):
        at = f"encoder.layers.{number}"
        gates = (Span(hidden, times=GATES["lstm" if isinstance(layer.ahead, nn.LSTM) else "gru"]),)
        reduced = isinstance(layer.reduce, nn.Linear)
        if reduced:
            yield f"{at}.reduce.weight", {1: units}
        for direction in ("ahead", "back"):
            yield f"{at}.{direction}.weight_ih_l0", {0: gates} | ({} if reduced else {1: units})
            yield f"{at}.{direction}.weight_hh_l0", {0: gates, 1: units}
            yield f"{at}.{direction}.bias_ih_l0", {0: gates}
            yield f"{at}.{direction}.bias_hh_l0", {0: gates}
        yield f"{at}.norm.weight", {0: units}
        yield f"{at}.norm.bias", {0: units}


def _attention_gru(decoder: Any, encoded: str) -> Iterator[tuple[str, dict[int, tuple[Span, ...]]]]:
    attention, embed = (Span("decoder_conf.attention_size"),), Span("decoder_conf.embed_size")
    context = Span(encoded) if encoded else Span("", width=decoder.key.in_features)
    layers = [Span(f"decoder_conf.hidden_size:{number}") for number in range(decoder.num_layers)]
    yield "decoder.embed.weight", {1: (embed,)}
    below: tuple[Span, ...] = (embed, context)
    for number, layer in enumerate(layers):
        at, gates = f"decoder.cells.{number}", (layer._replace(times=GATES[decoder.cell_type]),)
        yield f"{at}.weight_ih", {0: gates, 1: below}
        yield f"{at}.weight_hh", {0: gates, 1: (layer,)}
        yield f"{at}.bias_ih", {0: gates}
        yield f"{at}.bias_hh", {0: gates}
        below = (layer,)
    yield "decoder.key.weight", {0: attention, 1: (context,)}
    yield "decoder.key.bias", {0: attention}
    yield "decoder.query.weight", {0: attention, 1: below}
    yield "decoder.location.weight", {0: attention}
    yield "decoder.energy.weight", {1: attention}
    yield "decoder.output.weight", {1: (*below, context)}


def _feed_forward(model: nn.Module) -> Iterator[tuple[str, dict[int, tuple[Span, ...]]]]:
    """ESPnet's position-wise layers: w_2(activation(w_1 x)), linear or convolutions."""
    for name, module in model.named_modules():
        kind, _, last = name.rpartition(".")
        if last in ("feed_forward", "feed_forward_macaron") and hasattr(module, "w_1"):
            units = (Span(f"{kind.partition('.')[0]}_conf.linear_units:{name}"),)
            yield f"{name}.w_1.weight", {0: units}
            yield f"{name}.w_1.bias", {0: units}
            yield f"{name}.w_2.weight", {1: units}


def sizes_of(axes: Axes, state: Mapping[str, Tensor]) -> dict[str, int]:
    """The units of each group: what is left of an axis when all else on it is counted."""
    sizes: dict[str, int] = {}
    for name, spans in axes.items():
        for axis, parts in spans.items():
            unknown = {part.group for part in parts if part.group and part.group not in sizes}
            if len(unknown) == 1:
                known = sum(width(part, sizes) for part in parts if part.group not in unknown)
                each = sum(part.times * part.width for part in parts if part.group in unknown)
                sizes[unknown.pop()] = (state[name].size(axis) - known) // each
    return sizes


def width(part: Span, sizes: Mapping[str, int]) -> int:
    """Numbers that a part of an axis has."""
    return part.times * part.width * (sizes[part.group] if part.group else 1)


def places(parts: tuple[Span, ...], kept: Mapping[str, Tensor], sizes: Mapping[str, int]) -> Tensor:
    """Where on an axis (I,) the units that stay are: (i,).

    Args:
        parts: of the axis.
        kept: (n,) numbers of the units of each group that stay.
        sizes: N of each group before.
    """
    found, start = [], 0
    for part in parts:
        units = kept[part.group] if part.group else torch.zeros(1, dtype=torch.long)  # (n,)
        sets = torch.arange(part.times) * (sizes[part.group] if part.group else 1)  # (times,)
        first = (sets[:, None] + units[None]) * part.width  # (times, n)
        found.append(start + (first[:, :, None] + torch.arange(part.width)).flatten())  # (times * n * width,)
        start += width(part, sizes)
    return torch.cat(found)


def per_unit(values: Tensor, parts: tuple[Span, ...], sizes: Mapping[str, int]) -> Iterator[tuple[str, Tensor]]:
    """Values (I,) of the places of an axis, summed over those of each unit: group and (N,)."""
    start = 0
    for part in parts:
        end = start + width(part, sizes)
        if part.group:
            yield part.group, values[start:end].view(part.times, sizes[part.group], part.width).sum((0, 2))  # (N,)
        start = end
