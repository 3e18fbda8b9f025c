"""Sequence-level distillation: the teacher's hypotheses as weighted targets.

    B  utterances   K  hypotheses of each   L  output steps   V  tokens   S  encoded frames

Kim & Rush 2016, section 3.2, and Mun'im et al. 2018, eq. 6: the sum over all transcripts
-sum_t q(t|s) log p(t|s) is taken over the teacher's N-best list alone. Weights of 1/K are Mun'im's
(every hypothesis an equal training pair); q renormalised over the list is Takashima et al. 2018's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

PADDING = -1  # in targets: not a token


def attention_loss(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """sum_k w_k KL(smoothed target_k || p), summed over steps, averaged over utterances.

    For K = 1 and weights of one this is ESPnet's LabelSmoothingLoss, constant included.

    Args:
        logits: (B, K, L, V).
        targets: (B, K, L) token ids, <eos> among them, PADDING behind.
        weights: (B, K), each row summing to one; a hypothesis of weight 0 is as if absent.
        smoothing: mass spread evenly over the other V - 1 tokens.
    """
    logp = torch.log_softmax(logits.float(), dim=-1)  # (B, K, L, V)
    valid = targets != PADDING  # (B, K, L)
    hit = logp.gather(-1, targets.clamp(min=0)[..., None]).squeeze(-1)  # (B, K, L)
    rest = logp.sum(-1) - hit  # (B, K, L)
    share = smoothing / (logits.size(-1) - 1)
    loss = -(1 - smoothing) * hit - share * rest  # (B, K, L)
    if smoothing:  # the target's own entropy makes a cross entropy a divergence
        loss = loss + (1 - smoothing) * math.log(1 - smoothing) + smoothing * math.log(share)
    per_hypothesis = loss.masked_fill(~valid, 0.0).sum(-1)  # (B, K)
    return (weights * per_hypothesis).sum() / logits.size(0)


def ctc_loss(logits: Tensor, frames: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """sum_k w_k (-log p_ctc(target_k)), averaged over utterances (Takashima et al. 2018).

    Args:
        logits: (B, S, V), blank first.
        frames: (B,) valid encoded frames.
        targets: (B, K, L) token ids without <eos>, PADDING behind.
        weights: (B, K), each row summing to one.

    A hypothesis that needs more frames than there are counts as zero, as in ESPnet.
    """
    batch, _, _ = logits.shape
    used, slot = (weights > 0).nonzero(as_tuple=True)  # (N,), (N,) which utterance, which hypothesis
    chosen = targets[used, slot]  # (N, L)
    logp = torch.log_softmax(logits.float(), dim=-1).transpose(0, 1)  # (S, B, V)
    losses = F.ctc_loss(
        logp[:, used],  # (S, N, V)
        chosen.clamp(min=0),
        frames[used],
        (chosen != PADDING).sum(-1),
        reduction="none",
        zero_infinity=True,
    )  # (N,)
    return (weights[used, slot] * losses).sum() / batch


def accuracy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Share of target tokens that are the network's best, hypotheses weighted: shapes as in `attention_loss`."""
    valid = (targets != PADDING) * weights[..., None]  # (B, K, L)
    right = (logits.argmax(-1) == targets) * valid  # (B, K, L)
    return right.sum() / valid.sum()
