"""Consistency of two views: a network says of one masked view of an utterance what it says of the other.

    B  utterances   S  encoded frames   V  tokens

Yao et al. 2024, CR-CTC: of each utterance two views a and b are masked apart from each other, and
L = (CTC(a) + CTC(b)) / 2 + alpha L_CR, where L_CR = sum_s (KL(sg(z_b,s) || z_a,s) + KL(sg(z_a,s) || z_b,s)) / 2. z are
the distributions of the CTC branch in each encoded frame; what is in sg(.) is a target, and sends back no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdasr.losses.divergences import kl


def consistency_loss(logits: Tensor, frames: Tensor) -> Tensor:
    """L_CR, averaged over utterances: a number, 0 where both views are said to be alike.

    Args:
        logits: (2B, S, V) of the CTC branch; those of the first views, then those of the second views.
        frames: (2B,) valid encoded frames; a view has as many as the other.
    """
    logp = torch.log_softmax(logits.float(), -1)  # (2B, S, V)
    other = logp.detach().roll(len(logp) // 2, 0)  # (2B, S, V) of the same utterance's other view
    valid = torch.arange(logp.size(1), device=logp.device) < frames.to(logp.device)[:, None]  # (2B, S)
    return kl(other, logp).masked_fill(~valid, 0.0).sum() / len(logp)
