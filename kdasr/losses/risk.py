"""Minimum risk: what a student's own hypotheses cost, expected under its own distribution.

    B  utterances   K  hypotheses of each, those of its own beam   L  output steps   V  tokens
    N  distinct prefixes of the hypotheses, over the batch; `path` says which stands before each step

Shen et al. 2016, minimum risk training: sum_k p^_k c_k, where p^_k = p(y_k | x)^alpha / sum_j p(y_j | x)^alpha over
some hypotheses and c_k is what is wrong with y_k; Edunov et al. 2018 find them by beam search. Prabhavalkar et al.
2018, eq. 3 to 5, minimum word error rate training: c_k the word errors, alpha 1, and the mean of the list subtracted.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdasr.losses.sequence import PADDING


def risk_loss(scores: Tensor, costs: Tensor, used: Tensor, alpha: float = 1.0) -> Tensor:
    """sum_k p^_k (c_k - mean c), p^ = softmax_k(alpha * log p(y_k | x)), averaged over utterances: a number.

    The mean makes a hypothesis that is better than the others of its list count below zero; as p^ sums to one, it moves
    the value and not the gradient, alpha p^_k (c_k - sum_j p^_j c_j) with respect to log p(y_k | x).

    Args:
        scores: (B, K) log p(y_k | x) of whole hypotheses, <eos> among them.
        costs: (B, K) c_k.
        used: (B, K) false where there is no hypothesis; each utterance has one.
        alpha: how sharp p^ is; towards 0 all hypotheses count alike.
    """
    shares = torch.softmax((alpha * scores).masked_fill(~used, float("-inf")), 1)  # (B, K)
    costs = costs.masked_fill(~used, 0.0)  # (B, K)
    mean = costs.sum(1, keepdim=True) / used.sum(1, keepdim=True)  # (B, 1)
    return (shares * (costs - mean)).sum() / len(scores)


def whole_scores(logp: Tensor, path: Tensor, targets: Tensor) -> Tensor:
    """The log p(y_k | x), summed over the steps of each hypothesis: (B, K); 0 for one without steps.

    Args:
        logp: (N, V) log-probabilities after each prefix.
        path: (B, K, L).
        targets: (B, K, L) token ids, <eos> among them, PADDING behind.
    """
    hit = logp[path.clamp(min=0), targets.clamp(min=0)]  # (B, K, L)
    return hit.masked_fill(path == PADDING, 0.0).sum(-1)
