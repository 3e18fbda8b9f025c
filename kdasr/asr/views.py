"""Two views of each utterance, for a student that is to say the same of both (kdasr.losses.consistency).

2B  views: those of B utterances, then those of the same utterances again   T  frames   F  bins
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kdasr.errors import UserError


def twice(batch: Tensor) -> Tensor:
    """(B, ...) -> (2B, ...)."""
    return torch.cat([batch, batch])


class TwoViews(nn.Module):
    """ESPnet's SpecAugment of two views: warped alike, so that their frames are of the same moments, and masked apart.

    Yao et al. 2024 warp an utterance once, too, and take 2.5 times as many time masks as without a second view.

    Args:
        specaug: ESPnet's.
        more: how many times as many time masks it sets; rounded to whole ones.

    Raises:
        UserError: more time masks of a SpecAugment that has none.
    """

    def __init__(self, specaug: Any, more: float) -> None:
        super().__init__()
        if more != 1 and specaug.time_mask is None:
            raise UserError("kd_conf: cr_time_masks: specaug_conf has no time masks; set apply_time_mask, or remove it")
        self.warp = specaug.time_warp
        self.masks = nn.ModuleList(one for one in (specaug.freq_mask, specaug.time_mask) if one is not None)
        if specaug.time_mask is not None:
            specaug.time_mask.num_mask = round(more * specaug.time_mask.num_mask)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Augmented features (2B, T, F), and their lengths (2B,).

        Args:
            x: (2B, T, F), the second half like the first.
            lengths: (2B,).
        """
        if self.warp is not None:
            x = twice(self.warp(*(one[: len(x) // 2] for one in (x, lengths)))[0])
        for mask in self.masks:
            x, lengths = mask(x, lengths)
        return x, lengths
