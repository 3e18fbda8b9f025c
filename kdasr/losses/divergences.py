"""How far a student's distribution is from its teacher's: one function a divergence.

    R  rows, one distribution each   V  tokens

q is the teacher's, p the student's, both given as logarithms over V tokens. Each function gives one value
a row, in nats, zero where p = q. Wen et al. 2023 (f-divergence minimisation for sequence-level
distillation) sum them over the steps of a sequence; Agarwal et al. 2024 call the generalised
Jensen-Shannon divergence's weight beta.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from kdasr.losses import DIVERGENCES


def kl(logq: Tensor, logp: Tensor) -> Tensor:
    """KL(q || p) = sum_v q log(q / p), (R,): the student covers all that the teacher does (Hinton et al. 2015)."""
    return expected(logq, logq - logp)


def reverse_kl(logq: Tensor, logp: Tensor) -> Tensor:
    """KL(p || q) = sum_v p log(p / q), (R,): the student keeps to what the teacher finds likely."""
    return expected(logp, logp - logq)


def jensen_shannon(logq: Tensor, logp: Tensor, beta: float = 0.5) -> Tensor:
    """With m = b q + (1 - b) p, b KL(q || m) + (1 - b) KL(p || m), (R,); at most log 2 for b = `beta` of 0.5."""
    logm = torch.logaddexp(logq + math.log(beta), logp + math.log(1 - beta))  # (R, V)
    return beta * kl(logq, logm) + (1 - beta) * kl(logp, logm)


def total_variation(logq: Tensor, logp: Tensor) -> Tensor:
    """sum_v |q - p| / 2, (R,): the most that an event's probability differs; at most 1."""
    return (logq.exp() - logp.exp()).abs().sum(-1) / 2


FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = dict(
    zip(DIVERGENCES, (kl, reverse_kl, jensen_shannon, total_variation), strict=True)
)


def expected(logq: Tensor, value: Tensor) -> Tensor:
    """sum_v q_v value_v, (R,), where what has no probability counts as zero, whatever its value."""
    return (logq.exp() * value.masked_fill(logq == float("-inf"), 0.0)).sum(-1)
