"""How much the label and the teacher count at each token: objectives for language models.

    R  tokens

Every objective is, at each token y after its context c, with the teacher's Q and the student's P,

    a (-log P(y|c)) + b T^2 KL(Q_T || P_T),        the second part by kdasr.losses.word.word_losses,

and differs from the others in a and b alone. Shi et al. 2019, eq. 5 and 6, trust regularization: b = 1 and
a = R(y) = -alpha log(1 - Q(y|c)); where the teacher finds the label likely, the label counts more; a label that it
finds implausible is left out. Meng et al. 2020 go the other way: adaptive, b = w = c / (c + d) with c = Q(y)^lambda,
d = (1 - Q(y))^lambda, a = 1 - w; conditional, b = 1 where the teacher's best token is the label, else a = 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdasr.losses import OBJECTIVES

SURE = 1e-6  # Q(y) is taken as 1 - SURE at most, so that R(y) is 13.8 alpha at most; the paper names no bound


def coefficients(objective: str, gold: Tensor, best: Tensor, alpha: float, power: float = 1.0) -> tuple[Tensor, Tensor]:
    """The numbers a and b of each token, (R,) each; constants of the teacher, no gradient flows through them.

    Args:
        objective: one of kdasr.losses.OBJECTIVES.
        gold: (R,) log Q(y|c) of the teacher at a temperature of one.
        best: (R,) bool, whether y is the teacher's most probable token.
        alpha: of fixed (a = alpha, b = 1 - alpha), constant (a = alpha, b = 1) and trust.
        power: lambda of adaptive.
    """
    one, zero = torch.ones_like(gold), torch.zeros_like(gold)
    if objective == "ce":
        return one, zero
    if objective == "kl":
        return zero, one
    if objective == "fixed":
        return alpha * one, (1 - alpha) * one
    if objective == "constant":
        return alpha * one, one
    if objective == "trust":
        return trust(gold, alpha), one
    if objective == "adaptive":
        # w = 1 / (1 + (d / c)) is a logistic function of lambda (log Q - log(1 - Q))
        sure = torch.sigmoid(power * (gold - log_rest(gold)))
        return 1 - sure, sure
    if objective == "conditional":
        return (~best).to(gold.dtype), best.to(gold.dtype)
    raise ValueError(f"objective {objective!r}: expected one of {', '.join(OBJECTIVES)}")


def trust(gold: Tensor, alpha: float) -> Tensor:
    """R(y) = -alpha log(1 - Q(y|c)) from log Q(y|c), (R,); finite however sure the teacher is."""
    return -alpha * log_rest(gold)


def log_rest(gold: Tensor) -> Tensor:
    """log(1 - Q) from log Q, exact for Q near 0 and bounded by log(SURE) for Q near 1: (R,) -> (R,)."""
    q = gold.double().exp().clamp(max=1 - SURE)
    return torch.log1p(-q).to(gold.dtype)
