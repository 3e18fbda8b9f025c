"""Several teachers as one: how their distributions are combined.

    M  teachers   R  rows, one distribution each   V  tokens

Hinton et al. 2015, section 2: an ensemble's soft targets are the arithmetic or the geometric mean of its
members' distributions. The geometric mean is the q that minimises sum_m w_m KL(q || p_m), the arithmetic
one that which minimises sum_m w_m KL(p_m || q).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def combined(logp: Tensor, weights: Sequence[float], mean: str = "arithmetic") -> Tensor:
    """Log-probabilities (R, V) of an ensemble.

    Args:
        logp: (M, R, V) of its members.
        weights: M numbers that sum to one.
        mean: "arithmetic": log sum_m w_m p_m; "geometric": sum_m w_m log p_m, renormalised.
    """
    shares = logp.new_tensor(weights)[:, None, None]  # (M, 1, 1)
    if mean == "geometric":
        return torch.log_softmax((shares * logp).sum(0), -1)  # (R, V)
    return torch.logsumexp(logp + shares.log(), 0)  # (R, V)
