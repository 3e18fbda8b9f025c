"""Sequence-level distillation: the teacher's hypotheses as weighted targets.

    B  utterances   K  hypotheses of each   L  output steps   V  tokens   S  encoded frames
    N  distinct prefixes of the hypotheses, over the batch; `path` says which stands before each step

Kim & Rush 2016, section 3.2, and Mun'im et al. 2018, eq. 6: the sum over all transcripts
-sum_t q(t|s) log p(t|s) is taken over the teacher's N-best list alone. Weights of 1/K are Mun'im's
(every hypothesis an equal training pair); q renormalised over the list is Takashima et al. 2018's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

PADDING = -1  # in targets: not a token; in a path: no step


def attention_loss(logp: Tensor, path: Tensor, targets: Tensor, weights: Tensor, smoothing: float = 0.0) -> Tensor:
    """sum_k w_k KL(smoothed target_k || p), summed over steps, averaged over utterances.

    For K = 1 and weights of one this is ESPnet's LabelSmoothingLoss, constant included.

    Args:
        logp: (N, V) log-probabilities after each prefix.
        path: (B, K, L).
        targets: (B, K, L) token ids, <eos> among them, PADDING behind.
        weights: (B, K), each row summing to one; a hypothesis of weight 0 is as if absent.
        smoothing: mass spread evenly over the other V - 1 tokens.
    """
    valid = path != PADDING  # (B, K, L)
    node = path.clamp(min=0)  # (B, K, L)
    hit = logp[node, targets.clamp(min=0)]  # (B, K, L)
    loss = -(1 - smoothing) * hit  # (B, K, L)
    if smoothing:  # the target's own entropy makes a cross entropy a divergence
        share = smoothing / (logp.size(-1) - 1)
        rest = logp.sum(-1)[node] - hit  # (B, K, L)
        loss = loss - share * rest + (1 - smoothing) * math.log(1 - smoothing) + smoothing * math.log(share)
    per_hypothesis = loss.masked_fill(~valid, 0.0).sum(-1)  # (B, K)
    return (weights * per_hypothesis).sum() / len(weights)


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


def best_only(weights: Tensor) -> Tensor:
    """All weight on the best hypothesis of each utterance, the first where several are: (B, K) -> (B, K)."""
    return F.one_hot(weights.argmax(1), weights.size(1)).to(weights.dtype)  # (B, K)


def prefix_weights(path: Tensor, weights: Tensor, prefixes: int) -> Tensor:
    """How much a prefix counts: the weights of the hypotheses that go through it, summed: (N,).

    Args:
        path: (B, K, L).
        weights: (B, K).
        prefixes: N.
    """
    each = (weights[..., None] * (path != PADDING)).flatten()  # (B * K * L,)
    return weights.new_zeros(prefixes).index_add_(0, path.flatten().clamp(min=0), each)  # (N,)


def accuracy(logp: Tensor, path: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Share of target tokens that are the network's best, hypotheses weighted: shapes as in `attention_loss`."""
    valid = (path != PADDING) * weights[..., None]  # (B, K, L)
    right = (logp.argmax(-1)[path.clamp(min=0)] == targets) * valid  # (B, K, L)
    return right.sum() / valid.sum()
