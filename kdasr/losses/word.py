"""Word-level distillation: at each step the student learns the teacher's whole distribution.

    R  rows, one output step each   V  tokens   J  tokens that the teacher's distribution is kept for

Kim & Rush 2016, eq. 4: -sum_j sum_k q(t_j = k | s, t_<j) log p(t_j = k | s, t_<j), along given prefixes (of the
reference, or of a hypothesis). With a temperature T (Hinton et al. 2015, section 2) both distributions are
softmax(z / T), and the loss is multiplied by T^2, so that its gradient keeps its size as T grows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kdasr.errors import UserError
from kdasr.losses.divergences import FUNCTIONS


def word_loss(
    logits: Tensor, ids: Tensor, logq: Tensor, weights: Tensor, temperature: float = 1.0, divergence: str = "kl"
) -> Tensor:
    """sum_r w_r `word_losses`_r, a number.

    Args:
        logits: (R, V) of the student.
        ids: (R, J) tokens.
        logq: (R, J) their log-probabilities by the teacher, at a temperature of one, up to a constant a row.
        weights: (R,) how much a row counts; of a row of weight 0 nothing is looked at.
        temperature: T, of both.
        divergence: one of kl, reverse_kl, js, tv.

    Raises:
        UserError: as `word_losses`.
    """
    used = weights > 0  # (R,) others may be padding, which may be infinitely far from the student
    return (weights[used] * word_losses(logits[used], ids[used], logq[used], temperature, divergence)).sum()


def word_losses(
    logits: Tensor, ids: Tensor | None, logq: Tensor, temperature: float = 1.0, divergence: str = "kl"
) -> Tensor:
    """T^2 D(q_r, p_r) of each row, (R,).

    The teacher's distribution may be kept for its J most probable tokens; what is kept is renormalised (Tan et al.
    2019; Futami et al. 2020 lose nothing with J = 8). J = V, in any order, is the whole distribution. With kl it may
    as well be kept as J draws from q, all of one logq: the expectation of the gradient is that of the whole (T = 1).

    Args:
        logits: (R, V) of the student; its log-probabilities do, too.
        ids: (R, J) tokens; None: J = V, in order.
        logq, temperature, divergence: as `word_loss` takes them.

    Raises:
        UserError: reverse_kl with J < V, which is infinite where the student gives a left-out token any probability.
    """
    logp = torch.log_softmax(logits.float() / temperature, -1)  # (R, V)
    soft = torch.log_softmax(logq.float() / temperature, -1)  # (R, J)
    if divergence == "kl":  # reads p only where q is
        near = logp if ids is None else logp.gather(1, ids)  # (R, J)
        # 0 log 0 counts as 0, as everywhere in kdasr.losses.divergences
        per_row = (soft.exp() * (soft - near).masked_fill(soft == float("-inf"), 0.0)).sum(-1)  # (R,)
    else:
        if divergence == "reverse_kl" and soft.size(1) < logp.size(1):
            raise UserError(
                f"divergence reverse_kl: {soft.size(1)} of {logp.size(1)} tokens are kept; it needs all (soft_k 0)"
            )
        whole = soft if ids is None else soft.new_full(logp.shape, float("-inf")).scatter(1, ids, soft)  # (R, V)
        per_row = FUNCTIONS[divergence](whole, logp)  # (R,)
    return temperature**2 * per_row


def most_probable(logp: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Ids (R, J) and log-probabilities (R, J) of the J = `kept` most probable tokens; 0 or over V: of all V."""
    values, ids = logp.topk(min(kept or logp.size(-1), logp.size(-1)), dim=-1)
    return ids, values


def mixed(hard: Tensor, soft: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) L_hard + alpha L_soft (Kim & Rush 2016, eq. 5; Hinton et al. 2015 with its T^2 in L_soft)."""
    return (1 - alpha) * hard + alpha * soft
