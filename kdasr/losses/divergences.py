"""How far a student's distribution is from its teacher's: one function a divergence.

    R  rows, one distribution each   V  tokens

q is the teacher's distribution, p the student's, both given as logarithms (R, V). Each function gives one value
a row, in nats, zero where p = q. Wen et al. 2023 (f-divergence minimisation for sequence-level
distillation) sum them over the steps of a sequence; Agarwal et al. 2024 call the generalised
Jensen-Shannon divergence's weight beta.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def kl(teacher_logprobs: Tensor, student_logprobs: Tensor) -> Tensor:
    """KL(q || p) = sum_v q log(q / p), (R,): the student covers all that the teacher does (Hinton et al. 2015)."""
    return expected(teacher_logprobs, teacher_logprobs - student_logprobs)


def reverse_kl(teacher_logprobs: Tensor, student_logprobs: Tensor) -> Tensor:
    """KL(p || q) = sum_v p log(p / q), (R,): the student keeps to what the teacher finds likely."""
    return expected(student_logprobs, student_logprobs - teacher_logprobs)


def jensen_shannon(teacher_logprobs: Tensor, student_logprobs: Tensor, beta: float = 0.5) -> Tensor:
    """With m = b q + (1 - b) p, b KL(q || m) + (1 - b) KL(p || m), (R,); at most log 2 for b = `beta` of 0.5."""
    logm = torch.logaddexp(teacher_logprobs + math.log(beta), student_logprobs + math.log(1 - beta))  # (R, V)
    return beta * kl(teacher_logprobs, logm) + (1 - beta) * kl(student_logprobs, logm)


def total_variation(teacher_logprobs: Tensor, student_logprobs: Tensor) -> Tensor:
    """sum_v |q - p| / 2, (R,): the most that an event's probability differs; at most 1."""
    return (teacher_logprobs.exp() - student_logprobs.exp()).abs().sum(-1) / 2


# named in kdasr.losses.DIVERGENCES, too, which needs no torch
FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "kl": kl,
    "reverse_kl": reverse_kl,
    "js": jensen_shannon,
    "tv": total_variation,
}


def expected(logprobs: Tensor, value: Tensor) -> Tensor:
    """sum_v q_v value_v, (R,), from log q; a token without probability counts as zero, whatever its value."""
    return (logprobs.exp() * value.masked_fill(logprobs == float("-inf"), 0.0)).sum(-1)
