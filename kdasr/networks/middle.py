"""What the layers below an encoder's last one make of a batch, for losses at middle layers.

ESPnet's encoders of the transformer family give it (its intermediate CTC), and `conv_rnn` in the same way.

B  utterances   T  frames, or samples   S  encoded frames   E  encoder output
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from kdasr.errors import UserError


def middle_layers(model: Any, asked: Sequence[int]) -> tuple[int, ...]:
    """The layers that are meant: those asked for, or without any the one in the middle, floor(N / 2) of N layers.

    An encoder that is conditioned on what CTC says of some of its layers gives these alone.

    Args:
        model: an ESPnet ASR model.
        asked: numbers, the first layer is 1.

    Raises:
        UserError: its encoder does not give them, or has no such layers below its last one.
    """
    encoder = model.encoder
    layers = getattr(encoder, "layers", getattr(encoder, "encoders", ()))
    if not hasattr(encoder, "interctc_layer_idx") or model.postencoder is not None:
        raise UserError(
            f"kd_conf: inter_weight: CTC cannot read middle layers of this encoder ({type(encoder).__name__}); take "
            "conv_rnn, or transformer, conformer or e_branchformer without a postencoder, or leave it out"
        )
    own = tuple(encoder.interctc_layer_idx) if getattr(encoder, "interctc_use_conditioning", False) else ()
    chosen = tuple(asked) or own or (len(layers) // 2,)
    if own and not {*chosen} <= {*own}:
        raise UserError(
            f"kd_conf: inter_layers: {', '.join(map(str, chosen))}: this encoder is conditioned on its layers "
            f"{', '.join(map(str, own))} (interctc_use_conditioning), and can give no others; take some of these"
        )
    if not 0 < min(chosen) <= max(chosen) < len(layers):
        raise UserError(
            f"kd_conf: inter_layers: {', '.join(map(str, chosen))} of {len(layers)} layers, expected some from 1 up to "
            "the last but one"
        )
    return chosen


def encode_with_middle(
    model: Any, speech: Tensor, lengths: Tensor, layers: Sequence[int]
) -> tuple[Tensor, list[Tensor], Tensor]:
    """Encoder output (B, S, E) of a batch, outputs (B, S, E) of its middle layers in their order, and lengths (B,).

    Args:
        model: an ESPnet ASR model.
        speech: (B, T, F) features, or (B, T) samples.
        lengths: (B,).
        layers: of `middle_layers`.
    """
    encoder = model.encoder
    before = encoder.interctc_layer_idx
    encoder.interctc_layer_idx = sorted({*before, *layers})  # an encoder may be conditioned on its own
    try:
        (encoded, middle), frames = model.encode(speech, lengths)
    finally:
        encoder.interctc_layer_idx = before
    return encoded, [one for number, one in middle if number in layers], frames
