"""ESPnet's encoders in batches, so that each utterance is encoded as it is alone.

| axis | meaning |
|---|---|
| B | utterances |
| T | input frames, padded |
| F | input bins |
| S | encoded frames, padded |
| E | encoder output |
| C | channels |

Three things make a padded batch differ from its utterances: convolutions that read what stands behind an
utterance's end, encoded lengths that are cut from a mask of the longest one's length, and relative positions
counted from the padded end. For the encoders in PLANS all three are known and corrected while our batch runs, by
hooks that are there for that time alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kdasr.espnet import name

ATTENTIONS = ("MultiHeadedAttention", "RelPositionMultiHeadedAttention", "LegacyRelPositionMultiHeadedAttention")


class Plan(NamedTuple):
    """How to encode a batch with one encoder."""

    fits: Callable[[int], bool]  # whether an utterance of so many frames is long enough
    run: Callable[[Tensor, list[int]], tuple[Tensor, list[int]]]  # (B, T, F), longest first -> (B, S, E), lengths


def plan_for(encoder: Any, ctc: Any = None) -> Plan | None:
    """The plan of an encoder, or None if no exact one is known; an attribute `batch_invariant` vouches for others.

    Of such an encoder, an attribute `shortest` says how many frames it needs, if more than one.

    Args:
        encoder: of an ESPnet model, in evaluation mode.
        ctc: the model's CTC, which encoders that are conditioned on it (interctc) read.
    """
    if getattr(encoder, "batch_invariant", False):
        shortest = getattr(encoder, "shortest", 1)
        return Plan(lambda length: length >= shortest, lambda x, lengths: _plain(encoder, x, lengths))
    kind = type(encoder)
    if not kind.__module__.startswith("espnet2.asr.encoder."):
        return None
    make = PLANS.get(kind.__name__)
    return make(encoder, ctc) if make else None


def encode_batch(plan: Plan, inputs: Sequence[Tensor]) -> list[Tensor | None]:
    """Encoder outputs (S, E) of inputs (T, F); None for one that is too short."""
    encoded: list[Tensor | None] = [None] * len(inputs)
    order = sorted((n for n, x in enumerate(inputs) if plan.fits(len(x))), key=lambda n: -len(inputs[n]))
    if order:
        lengths = [len(inputs[n]) for n in order]
        hs, lengths = plan.run(pad_sequence([inputs[n] for n in order], batch_first=True), lengths)  # (B, S, E)
        for n, row, length in zip(order, hs, lengths, strict=True):
            encoded[n] = row[:length]
    return encoded


def _plain(encoder: Any, x: Tensor, lengths: list[int], **more: Any) -> tuple[Tensor, list[int]]:
    """The encoder's own output (B, S, E), without intermediate ones, and lengths."""
    hs, hlens, _ = encoder(x, torch.tensor(lengths), **more)
    return hs[0] if isinstance(hs, tuple) else hs, hlens.tolist()


def _recurrent(encoder: Any, ctc: Any) -> Plan:
    """RNNEncoder: packed sequences are exact, and their frames are counted for each."""
    [layers] = encoder.enc

    def run(x: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        return layers(x, torch.tensor(lengths))[0], [_recurrent_frames(layers, length) for length in lengths]

    return Plan(lambda length: _recurrent_frames(layers, length) > 0, run)


def _recurrent_frames(layers: Any, frames: int) -> int:
    for factor in getattr(layers, "subsample", ())[1:]:
        frames = (frames + 1) // int(factor) if factor > 1 else frames
        if frames < 1:
            return 0
    return frames


def _vgg_recurrent(encoder: Any, ctc: Any) -> Plan:
    """VGGRNNEncoder: its convolutions see zeros behind an utterance's end, as they do when it is alone.

    On a CPU they take one utterance after the other: their buffers are then small, which is faster.
    """
    vgg, layers = encoder.enc
    if not vgg.conv1_1.weight.is_cuda:
        vgg.to(memory_format=torch.channels_last)  # the same weights in another order in memory: twice as fast
    convs = ((vgg.conv1_1, vgg.conv1_2), (vgg.conv2_1, vgg.conv2_2))

    def convolve(x: Tensor, lengths: list[int]) -> Tensor:
        x = x.unflatten(2, (vgg.in_channel, -1)).transpose(1, 2)  # (B, C, T, F)
        if not x.is_cuda:
            x = x.contiguous(memory_format=torch.channels_last)
        for pair in convs:
            for conv in pair:
                x = blank(torch.relu_(conv(x)), lengths)  # (B, C, T, F)
            x = torch.nn.functional.max_pool2d(x, 2, stride=2, ceil_mode=True)  # (B, C, T / 2, F / 2)
            lengths = [(length + 1) // 2 for length in lengths]
        return x.transpose(1, 2).flatten(2)  # (B, S, C * F / 4)

    def run(x: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        if x.is_cuda:
            hs = convolve(x, lengths)  # (B, S, C * F / 4)
        else:
            rows = [convolve(row[None, :length], [length])[0] for row, length in zip(x, lengths, strict=True)]
            hs = pad_sequence(rows, batch_first=True)  # (B, S, C * F / 4)
        lengths = [-(-length // 4) for length in lengths]
        return layers(hs, torch.tensor(lengths))[0], lengths

    return Plan(lambda length: length > 0, run)


def _attentive(encoder: Any, ctc: Any) -> Plan | None:
    """TransformerEncoder, ConformerEncoder, EBranchformerEncoder, by hooks; None for the unusual ones among them."""
    names = {type(module).__name__ for module in encoder.modules()}
    if any("Attention" in kind and kind not in ATTENTIONS for kind in names) or getattr(encoder, "ctc_trim", False):
        return None
    embed = encoder.embed
    subsampling = list(embed.conv.children()) if "Subsampling" in type(embed).__name__ else []
    strided = [layer for layer in subsampling if isinstance(layer, torch.nn.Conv1d | torch.nn.Conv2d)]
    inner = [module for module in encoder.modules() if isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d)]
    inner = [conv for conv in inner if conv not in strided and conv.kernel_size[0] > 1]
    if any(isinstance(conv, torch.nn.Conv2d) for conv in inner) or any(conv.padding[0] != 0 for conv in strided):
        return None
    too_short = name("espnet.nets.pytorch_backend.transformer.subsampling:check_short_utt")
    conditioned = {"ctc": ctc} if getattr(encoder, "interctc_use_conditioning", False) else {}

    def frames(length: int) -> int:
        if too_short(embed, length)[0]:
            return 0
        for conv in strided:
            length = (length - conv.kernel_size[0]) // conv.stride[0] + 1
        return max(0, length)

    def run(x: Tensor, lengths: list[int]) -> tuple[Tensor, list[int]]:
        with _mended(encoder, embed if strided else None, inner, [frames(length) for length in lengths]):
            return _plain(encoder, x, lengths, **conditioned)

    return Plan(lambda length: frames(length) > 0, run)


@contextlib.contextmanager
def _mended(encoder: Any, embed: Any, convs: list[torch.nn.Module], lengths: list[int]) -> Iterator[None]:
    """While it is entered: true masks, zeros before the convolutions, positions counted from each utterance's own end.

    Args:
        encoder: whose attention modules are corrected.
        embed: its subsampling module, if it has one.
        convs: its convolutions over encoded frames.
        lengths: encoded frames of each utterance.
    """

    def mask(module: Any, args: Any, output: tuple[Any, Tensor]) -> tuple[Any, Tensor]:
        x, wrong = output  # (B, S, E) maybe with positions, (B, 1, S)
        own = torch.tensor(lengths, device=wrong.device)  # (B,)
        return x, torch.arange(wrong.shape[2], device=wrong.device) < own[:, None, None]  # (B, 1, S)

    def zeros(module: Any, args: tuple[Tensor]) -> None:
        blank(args[0], lengths)  # (B, C, S)

    handles = [conv.register_forward_pre_hook(zeros) for conv in convs]
    if embed is not None:
        handles.append(embed.register_forward_hook(mask))
    legacy = [m for m in encoder.modules() if type(m).__name__ == "LegacyRelPositionMultiHeadedAttention"]
    try:
        for module in legacy:
            module.rel_shift = lambda x, module=module: legacy_shift(x, lengths, module.zero_triu)
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in legacy:
            del module.rel_shift


def blank(x: Tensor, lengths: list[int]) -> Tensor:
    """Zero (B, C, S, ...) behind each utterance's end, in place."""
    if x.is_cuda:
        own = torch.tensor(lengths, device=x.device)  # (B,)
        behind = torch.arange(x.shape[2], device=x.device) >= own.unsqueeze(1)  # (B, S)
        return x.masked_fill_(behind.view(len(lengths), 1, -1, *[1] * (x.dim() - 3)), 0.0)
    for row, length in zip(x, lengths, strict=True):
        row[:, length:] = 0.0
    return x


def legacy_shift(x: Tensor, lengths: list[int], zero_triu: bool) -> Tensor:
    """Scores by position (B, heads, S, S) moved to where they belong, each utterance by its own length.

    ESPnet's older relative positions: query i and key j <= i take position S - 1 - i + j, and keys behind
    that run on with the next query's positions from 0 (which its zero_triu sets to zero).
    """
    size = x.shape[3]
    own = torch.tensor(lengths, device=x.device)[:, None, None]  # (B, 1, 1)
    query = torch.arange(size, device=x.device).unsqueeze(1)  # (S, 1)
    key = torch.arange(size, device=x.device)  # (S,)
    row = torch.where(key > query, query + 1, query).clamp(max=size - 1)  # (S, S)
    column = torch.where(key > query, key - query - 2, own - 1 - query + key).clamp(0, size - 1)  # (B, S, S)
    place = (row * size + column).flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1)  # (B, heads, S * S)
    moved = x.flatten(2).gather(2, place).view(x.shape)  # (B, heads, S, S)
    moved = moved.masked_fill(key == query + 1, 0.0)  # (B, heads, S, S)
    return moved.tril() if zero_triu else moved


PLANS = {
    "RNNEncoder": _recurrent,
    "VGGRNNEncoder": _vgg_recurrent,
    "TransformerEncoder": _attentive,
    "ConformerEncoder": _attentive,
    "EBranchformerEncoder": _attentive,
}
