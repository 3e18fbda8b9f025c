"""A student's teachers: their distributions after each prefix of its targets, and in each encoded frame.

B  utterances   K  hypotheses of each   L  output steps   V  tokens   N  distinct prefixes
M  teachers     T  frames, or samples   S  encoded frames
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdasr.errors import UserError
from kdasr.losses.ensemble import combined
from kdasr.networks.load import load_model
from kdasr.networks.prefixes import Decoded, decode_prefixes


class Teachers:
    """Finished models that are run, never trained; no part of the student's checkpoint.

    Args:
        directories: M model directories.
        mean: of their distributions, "arithmetic" or "geometric".
        weights: M numbers that sum to one; none: equal.
        token_list: the student's, which must be theirs.
        src_token_list: what the student reads, if it translates; must be what they read. Else empty.
        words: whether what they expect after prefixes is wanted, which a model of CTC alone cannot say.
    """

    def __init__(
        self,
        directories: Sequence[str],
        mean: str,
        weights: Sequence[float],
        token_list: Sequence[str],
        src_token_list: Sequence[str] = (),
        words: bool = True,
    ) -> None:
        self.models: list[Any] = []
        for directory in directories:
            model, args = load_model(directory)
            if list(model.token_list) != list(token_list):
                raise UserError(f"{directory}: this teacher has another token list than its student; use the teacher's")
            if list(vars(args).get("src_token_list") or ()) != list(src_token_list):
                raise UserError(
                    f"{directory}: this teacher reads another source token list than its student; give the student the "
                    "teacher's (--src_tokens)"
                )
            if words and model.decoder is None:  # of CTC alone
                raise UserError(
                    f"{directory}: this teacher has no attention decoder; word_weight needs its distributions"
                )
            self.models.append(model.requires_grad_(False))
        self.mean = mean
        self.weights = list(weights) or [1 / len(self.models)] * len(self.models)

    @torch.no_grad()
    def encode_batch(self, speech: Tensor, lengths: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Encoder outputs (B, S, E) and lengths (B,) of each teacher.

        Args:
            speech: (B, T, F) features, (B, T) samples, or (B, T) source tokens.
            lengths: (B,).
        """
        # a copy for each: ESPnet normalises in place
        return [encode(model.to(speech.device), speech.clone(), lengths) for model in self.models]

    @torch.no_grad()
    def step_logprobs(self, encoded: list[tuple[Tensor, Tensor]], ys_in: Tensor, used: Tensor, place: Tensor) -> Tensor:
        """Their mean distribution after prefixes: (N, V) natural logarithms.

        Args:
            encoded: of `encode_batch`.
            ys_in: (B, K, L) hypotheses, <sos> first, PADDING behind.
            used: (B, K) which of them count.
            place: (N,) a step behind each prefix, as an index in (B * K * L).
        """
        pairs = zip(self.models, encoded, strict=True)
        return self._mean([at(decode_prefixes(model.decoder, *one, ys_in, used), place) for model, one in pairs])

    @torch.no_grad()
    def frame_logprobs(self, encoded: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The mean distribution of their CTC branches in each encoded frame: (B, S, V) natural logarithms."""
        each = [ctc_frames(model, hs) for model, (hs, _) in zip(self.models, encoded, strict=True)]
        return self._mean([one.flatten(0, 1) for one in each]).view(each[0].shape)

    def _mean(self, each: list[Tensor]) -> Tensor:
        return each[0] if len(each) == 1 else combined(torch.stack(each), self.weights, self.mean)


def encode(model: Any, speech: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Encoder output (B, S, E) and lengths (B,) of a batch, without intermediate layers."""
    encoded, frames = model.encode(speech, lengths)
    encoded = encoded[0] if isinstance(encoded, tuple) else encoded
    return encoded, frames.to(encoded.device)  # of ESPnet's RNN encoders they are on the CPU, wherever the audio is


def ctc_frames(model: Any, encoded: Tensor) -> Tensor:
    """A CTC branch's log-probabilities (B, S, V) in encoded frames (B, S, E)."""
    return torch.log_softmax(model.ctc.ctc_lo(encoded).float(), -1)


def at(decoded: Decoded, place: Tensor) -> Tensor:
    """Log-probabilities (N, V) behind steps, given as indices (N,) in (B * K * L)."""
    return torch.log_softmax(decoded.logits.float(), -1)[decoded.path.flatten()[place]]


def names(directories: Sequence[str]) -> str:
    """What the report calls them."""
    return "+".join(Path(directory).name for directory in directories)
