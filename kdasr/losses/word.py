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
    student_logits: Tensor,
    ids: Tensor,
    teacher_logprobs: Tensor,
    weights: Tensor,
    temperature: float = 1.0,
    divergence: str = "kl",
) -> Tensor:
    """sum_r w_r `word_losses`_r, a number.

    Args:
        student_logits: (R, V).
        ids: (R, J) tokens.
        teacher_logprobs: (R, J) of these tokens, at a temperature of one, up to a constant a row.
        weights: (R,) how much a row counts; a row of weight 0 may hold anything.
        temperature: T, of both.
        divergence: one of kl, reverse_kl, js, tv.

    Raises:
        UserError: as `word_losses`.
    """
    # Other rows may be padding, infinitely far from the student. Numbers, as a GPU would be waited for at each mask.
    used = (weights > 0).nonzero().squeeze(1)  # (R',)
    losses = word_losses(student_logits[used], ids[used], teacher_logprobs[used], temperature, divergence)
    return (weights[used] * losses).sum()


def word_losses(
    student_logits: Tensor,
    ids: Tensor | None,
    teacher_logprobs: Tensor,
    temperature: float = 1.0,
    divergence: str = "kl",
) -> Tensor:
    """T^2 D(q_r, p_r) of each row, (R,): q the teacher's distribution, p the student's.

    The teacher's distribution may be kept for its J most probable tokens; what is kept is renormalised (Tan et al.
    2019; Futami et al. 2020 lose nothing with J = 8). J = V, in any order, is the whole distribution. With kl it may
    as well be kept as J draws from q, all of one log-probability: the expectation of the gradient is that of the
    whole distribution (T = 1).

    Args:
        student_logits: (R, V); log-probabilities do as well.
        ids: (R, J) tokens; None: J = V, in order.
        teacher_logprobs, temperature, divergence: as `word_loss` takes them.

    Raises:
        UserError: reverse_kl with J < V, which is infinite where the student gives a left-out token any probability.
    """
    student_logprobs = torch.log_softmax(student_logits.float() / temperature, -1)  # (R, V)
    teacher_logprobs = torch.log_softmax(teacher_logprobs.float() / temperature, -1)  # (R, J)
    kept, vocabulary = teacher_logprobs.size(1), student_logprobs.size(1)
    if divergence == "kl":  # needs p only where q is kept
        student_kept = student_logprobs if ids is None else student_logprobs.gather(1, ids)  # (R, J)
        per_row = FUNCTIONS["kl"](teacher_logprobs, student_kept)  # (R,)
    else:
        if divergence == "reverse_kl" and kept < vocabulary:
            raise UserError(f"divergence reverse_kl: {kept} of {vocabulary} tokens are kept; it needs all (soft_k 0)")
        if ids is not None:  # tokens that are not kept have no probability
            nothing = teacher_logprobs.new_full(student_logprobs.shape, float("-inf"))
            teacher_logprobs = nothing.scatter(1, ids, teacher_logprobs)  # (R, V)
        per_row = FUNCTIONS[divergence](teacher_logprobs, student_logprobs)  # (R,)
    return temperature**2 * per_row


def most_probable(logprobs: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Ids and log-probabilities (..., J) of the J = `kept` most probable of V tokens; 0 or more than V: all of them."""
    vocabulary = logprobs.size(-1)
    values, ids = logprobs.topk(min(kept or vocabulary, vocabulary), dim=-1)
    return ids, values


def mixed(hard: Tensor, soft: Tensor, alpha: float) -> Tensor:
    """(1 - alpha) L_hard + alpha L_soft (Kim & Rush 2016, eq. 5; Hinton et al. 2015 with its T^2 in L_soft)."""
    return (1 - alpha) * hard + alpha * soft
