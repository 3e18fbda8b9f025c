"""Whether CTC can learn from an utterance: it needs a frame for each token, and one between two that are equal.

ESPnet's CTC gives such an utterance no loss and says nothing. T input frames, S encoded frames, F bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch

MARGIN = 8  # encoded frames: how far from its limit an utterance may be and still be computed exactly


def frames_needed(tokens: Sequence[int]) -> int:
    """The fewest encoded frames that CTC can spell these tokens in (Graves et al. 2006)."""
    return len(tokens) + sum(one == other for one, other in pairwise(tokens))


def too_short(model: Any, bins: int | None, frames: Mapping[str, int], needed: Mapping[str, int]) -> list[str]:
    """Utterances that CTC cannot fit, in their order.

    Args:
        model: an ESPnet ASR model.
        bins: F; None for one that takes audio.
        frames: T of each utterance; or samples.
        needed: the S that each needs.
    """
    if not needed:
        return []
    encoded = _Encoded(model, bins)
    longest = max(frames[key] for key in needed)
    rate = longest / max(1, encoded.length(longest))  # input frames an encoded one
    near = [key for key in needed if needed[key] > frames[key] / rate - MARGIN]
    return [key for key in near if encoded.length(frames[key]) < needed[key]]


class _Encoded:
    """How many encoded frames the encoder gives for a number of input frames; each number is computed once."""

    def __init__(self, model: Any, bins: int | None) -> None:
        self.model, self.bins = model.eval(), bins
        self.known: dict[int, int] = {}

    def length(self, frames: int) -> int:
        """S for T."""
        if frames not in self.known:
            try:
                with torch.no_grad():
                    shape = (1, frames) if self.bins is None else (1, frames, self.bins)
                    made = self.model.encode(torch.zeros(shape), torch.tensor([frames]))
                self.known[frames] = int(made[1][0])
            except Exception:  # each network raises another error for an input that is too short for its subsampling
                self.known[frames] = 0
        return self.known[frames]
