"""A generalist and specialists: which classes a specialist has, what it learns from, and what they say together.

    R  rows, one distribution each   V  classes   M  specialists   C  special classes of one; its dustbin stands last

Hinton et al. 2015, section 5. A specialist tells its special classes apart, which a generalist confuses, and has all
others as one class, the dustbin. Half of what it learns from is of its special classes, so that its dustbin is too
rare by a known ratio, whose logarithm is added to the dustbin's logit afterwards. Eq. 5: the answer for an image is the
q that minimises KL(p_generalist || q) + sum_m KL(p_m || q), the mass of q over the dustbin's classes summed for p_m.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.cluster.vq import ClusterError, kmeans2
from torch import Tensor

from kdasr.errors import UserError

RESTARTS = 20  # of K-means
STEPS, NEAR = 2000, 1e-12  # of the minimisation: at most so many, until no probability changes by more


def confusable(probabilities: np.ndarray, groups: int, seed: int = 0) -> list[list[int]]:
    """Classes that a generalist predicts together, as groups that share none: K-means on the covariance's columns.

    Args:
        probabilities: (R, V) of the generalist. Where it is nearly always sure, at a higher temperature: else each
            class is like none but itself.
        groups: how many, from 1 to V.
        seed: of the first centres; the best of several attempts counts.

    Returns:
        Ascending classes of each group, the groups by their first class; V in all.

    Raises:
        UserError: more groups than distinct columns, or none.
    """
    columns = np.cov(probabilities.astype(np.float64), rowvar=False)  # (V, V), symmetric
    if not 1 <= groups <= len(columns):
        raise UserError(f"{groups} groups of {len(columns)} classes: expected 1 to {len(columns)}")
    best: tuple[float, np.ndarray] | None = None
    for attempt in range(RESTARTS):
        generator = np.random.default_rng([seed, attempt])
        try:
            centres, nearest = kmeans2(columns, groups, minit="++", missing="raise", rng=generator)
        except ClusterError:  # a group without a class
            continue
        spread = float(((columns - centres[nearest]) ** 2).sum())
        if best is None or spread < best[0]:
            best = spread, nearest
    if best is None:
        raise UserError(f"the classes fall into fewer than {groups} groups; ask for fewer")
    return sorted(np.flatnonzero(best[1] == group).tolist() for group in range(groups))


def with_dustbin(labels: Tensor, classes: Sequence[int]) -> Tensor:
    """A specialist's labels (R,): the place of a special class among `classes`, else C, the dustbin."""
    place = torch.full((int(max(labels.max(), max(classes))) + 1,), len(classes))
    place[list(classes)] = torch.arange(len(classes))
    return place[labels]


def half_special(special: Tensor, batch: int) -> Tensor:
    """Rows of a batch (batch,): half drawn from the special ones, half from the rest, each with equal chance.

    Args:
        special: (R,) bool; both kinds have to occur.
        batch: how many; of an odd number the rest has one more.
    """
    sides = special.nonzero()[:, 0], (~special).nonzero()[:, 0]
    sizes = batch // 2, batch - batch // 2
    return torch.cat([rows[torch.randint(len(rows), (size,))] for rows, size in zip(sides, sizes, strict=True)])


def oversampling(special: Tensor) -> float:
    """How many times as often, against the dustbin, special rows (R,) come in half-special batches than by nature."""
    count = int(special.sum())
    return (len(special) - count) / count


def corrected(logits: Tensor, ratio: float) -> Tensor:
    """A specialist's logits (R, C + 1), its dustbin's raised by the logarithm of the `oversampling` ratio."""
    return torch.cat([logits[:, :-1], logits[:, -1:] + math.log(ratio)], 1)


def together(
    generalist: Tensor, specialists: Sequence[Tensor], classes: Sequence[Sequence[int]], best: int = 1
) -> Tensor:
    """What a generalist and those specialists say together that have one of its `best` classes: q of eq. 5, (R, V).

    The sum of divergences is convex in q. It is minimised by EM: a specialist's dustbin mass is shared out as q has it,
    and the mean of all then is the next q; each step lowers the sum.

    Args:
        generalist: (R, V) log-probabilities.
        specialists: (R, C + 1) log-probabilities of each, corrected.
        classes: the C special ones of each.
        best: n of the paper, at least 1.

    Returns:
        Probabilities, in double precision.
    """
    logp = generalist.double()
    count = logp.size(1)
    if not specialists:
        return logp.exp()
    member = torch.zeros(len(classes), count, dtype=torch.bool)
    for row, own in zip(member, classes, strict=True):
        row[list(own)] = True  # (M, V)
    top = logp.topk(min(best, count), 1).indices  # (R, best)
    active = member[:, top].any(-1).double().T  # (R, M)
    told = logp.new_zeros(len(logp), len(classes), count)  # (R, M, V) a specialist's probabilities of its classes
    for number, (own, said) in enumerate(zip(classes, specialists, strict=True)):
        told[:, number, list(own)] = said[:, :-1].double().exp()
    dustbin = torch.stack([said[:, -1].double().exp() for said in specialists], 1)  # (R, M)
    # what each row has for certain: the generalist's, and the specialists' special classes
    certain = logp.exp() + (active[..., None] * told).sum(1)  # (R, V)
    outside = (~member).double()  # (M, V)
    members = 1 + active.sum(1, keepdim=True)  # (R, 1)
    q = logp.exp()
    for _ in range(STEPS):
        share = active * dustbin / (q @ outside.T).clamp(min=torch.finfo(q.dtype).tiny)  # (R, M)
        fresh = (certain + q * (share @ outside)) / members  # (R, V)
        change = (fresh - q).abs().max()
        q = fresh
        if change < NEAR:
            break
    return q
