"""Encoding utterances for the search: together where that changes nothing, else one by one.

| axis | meaning |
|---|---|
| B | utterances |
| T | input frames (F bins each), or samples of a model with a waveform front end |
| S | encoded frames |
| E | encoder output |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kdasr.espnet import name


class Encoder:
    """A model's front end, normalisation and encoder.

    Attributes:
        batches: whether encoding an utterance in a batch gives exactly what encoding it alone gives.
    """

    def __init__(self, model: Any, device: str) -> None:
        self.model, self.device = model, device
        self.batches = encodes_batches(model)

    @torch.no_grad()
    def encode(self, inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """Encoder outputs (S, E) of inputs (T, F) or (T,); None for one that subsampling leaves nothing of."""
        if not self.batches:
            return [self._encode_one(x) for x in inputs]
        here = [number for number, x in enumerate(inputs) if len(x)]
        encoded: list[Tensor | None] = [None] * len(inputs)
        if here:
            lengths = torch.tensor([len(inputs[number]) for number in here], device=self.device)  # (B,)
            padded = pad_sequence([inputs[number] for number in here], batch_first=True)  # (B, T, F)
            hs, hlens = self.model.encode(padded, lengths)  # (B, S, E), (B,)
            for number, row, length in zip(here, hs, hlens.tolist(), strict=True):
                encoded[number] = row[:length]
        return encoded

    def _encode_one(self, x: Tensor) -> Tensor | None:
        if not len(x):
            return None
        too_short = name("espnet.nets.pytorch_backend.transformer.subsampling:TooShortUttError")
        try:
            hs, hlens = self.model.encode(x.unsqueeze(0), torch.tensor([len(x)], device=self.device))
        except too_short:
            return None
        except RuntimeError as error:
            # A convolution or pooling that is wider than its input says so in one of these ways.
            if any(
                words in str(error) for words in ("size can't be greater", "too small", "Padding size should be less")
            ):
                return None
            raise
        hs = hs[0] if isinstance(hs, tuple) else hs  # (1, S, E), without intermediate CTC outputs
        return hs[0, : int(hlens[0])]


def encodes_batches(model: Any) -> bool:
    """Whether padding provably changes nothing.

    Encoders vouch for it by an attribute `batch_invariant`. ESPnet's do not: its VGG convolutions,
    for one, read the padding.
    """
    parts = (model.frontend, model.preencoder, model.postencoder)
    normalises = type(model.normalize).__name__ in ("NoneType", "GlobalMVN")
    return bool(getattr(model.encoder, "batch_invariant", False)) and normalises and all(part is None for part in parts)
