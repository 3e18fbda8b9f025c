"""ESPnet's translation model, trained on weighted hypotheses and its teachers' distributions (kdasr.asr.model)."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor

from kdasr.asr.model import Distilling
from kdasr.espnet import name

ESPnetMTModel = name("espnet2.mt.espnet_model:ESPnetMTModel")


class KDTranslator(Distilling, ESPnetMTModel):
    """ESPnetMTModel whose forward() also takes what `kdasr targets` and `kdasr soft` wrote.

    As KDModel it is made by re-classing a built model, and its checkpoints are those of a stock one.
    """

    ctc_weight = 0.0  # a translation has no CTC branch

    @property
    def criterion_att(self) -> Any:
        """What ESPnet's recognisers call the loss of the decoder."""
        return self.criterion_mt

    @property
    def own_references(self) -> bool:
        """True: our loss has ESPnet's value at less than half its cost. A mean over tokens is ESPnet's alone."""
        return not self.criterion_mt.normalize_length

    def forward(
        self, text: Tensor, text_lengths: Tensor, src_text: Tensor, src_text_lengths: Tensor, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Tensor | None], Tensor]:
        """Loss, statistics and weight of a batch.

        Args:
            text, text_lengths: (B, L), (B,): references; not used where hypotheses are given.
            src_text, src_text_lengths: (B, T), (B,) source tokens, -1 behind.
            kwargs: as KDModel's, without those of CTC.
        """
        stock = functools.partial(super().forward, text, text_lengths, src_text, src_text_lengths, **kwargs)
        return self.learn(src_text, src_text_lengths, text, text_lengths, kwargs, stock)
