"""Encoding utterances for the search: together where that changes nothing, else one by one.

| axis | meaning |
|---|---|
| B | utterances |
| T | input frames (F bins each), samples of a model with a waveform front end, or source tokens |
| S | encoded frames |
| E | encoder output |
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from kdasr.espnet import name
from kdasr.search.exact_encoders import encode_batch, plan_for
from kdasr.search.packed import in_float32

PROBE = (64, 51, 37)  # frames of the pieces that a plan is tested with
TOLERANCE = 1e-4  # of the largest output: how much a batch may differ from its utterances alone, in float32
# Messages of convolutions, pooling and packing about an input that is too short for them.
TOO_SHORT = ("size can't be greater", "too small", "Padding size should be less", "has to be greater than 0")


class Encoder:
    """A model's front end, normalisation and encoder.

    What comes before the encoder (STFT, normalisation by utterance or corpus) is cheap, and takes each utterance
    alone. The encoder takes a batch, if its type has an exact plan (kdasr.search.exact_encoders, or an attribute
    `batch_invariant`), and if that plan gives for pieces of the first utterance what they give alone.

    Args:
        model: an ESPnet model.
        device: "cpu", "cuda:0".
        samples: length that audio is filled up to with silence, for a model that hears a fixed length; 0: none.
        bf16: whether an encoder with a plan multiplies bfloat16 numbers, on a CPU; the plan is tried in float32.

    Attributes:
        batches: whether utterances are encoded in batches.
    """

    def __init__(self, model: Any, device: str, samples: int = 0, bf16: bool = False) -> None:
        self.model, self.device, self.samples, self.bf16 = model, device, samples, bf16
        whole = model.postencoder is None and model.encoder is not None
        whole = whole and not getattr(model, "autocast_frontend", False)
        self.plan = plan_for(model.encoder, getattr(model, "ctc", None)) if whole else None
        self.tried = self.plan is None

    @property
    def batches(self) -> bool:
        """Whether utterances are encoded in batches, which gives exactly what encoding them alone gives."""
        return self.plan is not None

    @torch.no_grad()
    def encode(self, inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """Encoder outputs (S, E), float32, of inputs (T, F) or (T,); None where subsampling leaves nothing."""
        if self.samples:
            inputs = [pad(x, (0, self.samples - len(x))) if len(x) else x for x in inputs]
        with _float32(self.device):
            if self.plan is not None and (self.bf16 or len(inputs) > 1):
                features = [self._features(x) for x in inputs]  # (T, F) or None
                if not self.tried:
                    self._try(next((x for x in features if x is not None), None))
                if self.plan is not None:
                    there = [n for n, x in enumerate(features) if x is not None]
                    encoded: list[Tensor | None] = [None] * len(inputs)
                    with torch.autocast("cpu", torch.bfloat16) if self.bf16 else contextlib.nullcontext():
                        together = encode_batch(self.plan, [features[n] for n in there])
                    for n, hs in zip(there, together, strict=True):
                        encoded[n] = None if hs is None else hs.float()
                    return encoded
            return [self._encode_one(x) for x in inputs]

    def _features(self, x: Tensor) -> Tensor | None:
        """What the encoder gets of an input (T, F) or (T,) alone: (T', F'); None if nothing is left of it."""
        if not len(x):
            return None
        model = self.model
        # Lengths are on the CPU, where nothing waits for them; but a front end may want them where its samples are.
        where = "cpu" if getattr(model, "frontend", None) is None else self.device
        try:
            # A copy: ESPnet normalises in place.
            x, lengths = model._extract_feats(x.unsqueeze(0).clone(), torch.tensor([len(x)], device=where))
            if getattr(model, "normalize", None) is not None:
                x, lengths = model.normalize(x, lengths)  # (1, T', F)
            if model.preencoder is not None:
                x, lengths = model.preencoder(x, lengths)  # (1, T', F')
        except RuntimeError as error:
            if not _too_short(error):
                raise
            return None
        length = int(lengths[0])
        return x[0, :length] if length else None

    def _try(self, features: Tensor | None) -> None:
        """Drop the plan if pieces of the first utterance (T, F) are not encoded as they are alone."""
        if features is None:
            return
        self.tried = True
        pieces = [features[:length] for length in sorted({min(length, len(features)) for length in PROBE})]
        try:
            with in_float32(self.model):
                together = encode_batch(self.plan, pieces)
                each = [self._run_alone(piece) for piece in pieces]
        except Exception as error:  # whatever the error is, encoding one by one is right
            logging.warning("encoding one by one: %s in a batch: %s", type(self.model.encoder).__name__, error)
            self.plan = None
            return
        for alone, batched in zip(each, together, strict=True):
            if (alone is None) != (batched is None) or (alone is not None and not _equal(alone, batched)):
                logging.warning("encoding one by one: %s is not exact in a batch", type(self.model.encoder).__name__)
                self.plan = None
                return

    def _run_alone(self, features: Tensor) -> Tensor | None:
        """The encoder itself on one utterance's features (T, F): (S, E)."""
        encoder: Any = self.model.encoder
        needs_ctc = any(getattr(encoder, word, False) for word in ("interctc_use_conditioning", "ctc_trim"))
        given = {"ctc": self.model.ctc} if needs_ctc else {}
        return self._caught(lambda x, lengths: encoder(x, lengths, **given)[:2], features)

    def _encode_one(self, x: Tensor) -> Tensor | None:
        return self._caught(self.model.encode, x) if len(x) else None

    def _caught(self, encode: Any, x: Tensor) -> Tensor | None:
        """What `encode` makes of a batch of one, (S, E); None if it is too short."""
        too_short = name("espnet.nets.pytorch_backend.transformer.subsampling:TooShortUttError")
        try:
            hs, hlens = encode(x.unsqueeze(0).clone(), torch.tensor([len(x)], device=self.device))
        except too_short:
            return None
        except RuntimeError as error:
            if not _too_short(error):
                raise
            return None
        hs = hs[0] if isinstance(hs, tuple) else hs  # (1, S, E), without intermediate CTC outputs
        return hs[0, : int(hlens[0])]


def finite(encoded: Sequence[Tensor]) -> list[bool]:
    """Whether each encoder output (S, E) holds nothing but numbers; a GPU is waited for once, not for each."""
    return torch.stack([torch.isfinite(hs).all() for hs in encoded]).tolist() if encoded else []


def _too_short(error: RuntimeError) -> bool:
    return any(words in str(error) for words in TOO_SHORT)


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    return bool((one - other).abs().max() <= TOLERANCE * one.abs().max()) if one.numel() else True


def _float32(device: str) -> contextlib.AbstractContextManager[None]:
    """Convolutions in full float32: cuDNN's default of 10 bits would differ with the size of the batch."""
    if not device.startswith("cuda"):
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
