"""Units removed, and maps cut into two of low rank: what is left of the weights.

Importance of a unit, without audio: the norm of all weights that write or read it. With audio: the energy that it adds
to what its readers compute, summed over them, with x what it was on the set and w the weights that read it:

    sum over readers and over o:  w_o^2 mean(x^2)

With audio the readers are fitted again, too. A reader W (O, I) of which the inputs S stay and the inputs Q go becomes
the W' (O, i) that gives nearest what W gave (least squares over the set), M = mean(x x^T) being the second moments:

    W' = W[:, S] + W[:, Q] M[Q, S] (M[S, S])^-1

A map of low rank is U (U^T W), with U (O, R) the first left singular vectors of W or, with audio, of W M^(1/2): the
principal directions of what the map gives on the set (as LiteASR, Kamahori et al. 2025, for transformers).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kdasr.shrink.axes import Axes, per_unit, places, sizes_of

Moments = Mapping[str, Tensor]  # name of a weight -> (I, I) mean(x x^T) of what its axis 1 reads
TINY = 1e-6  # share of the largest eigenvalue below which a direction of the inputs counts as absent


def importance(state: Mapping[str, Tensor], axes: Axes, moments: Moments) -> dict[str, Tensor]:
    """How much each unit of each group matters: (N,), of no unit.

    Args:
        state: weights by name.
        axes: of the network.
        moments: of its inputs on a set; {}: by the norm of the weights.
    """
    sizes = sizes_of(axes, state)
    found = {group: torch.zeros(size, dtype=torch.float64) for group, size in sizes.items()}
    for name, spans in axes.items():
        weight = state[name].double()
        if weight.dim() < 2:
            continue
        for axis, parts in spans.items():
            squares = weight.square().transpose(0, axis).flatten(1).sum(1)  # (I,)
            if moments:
                if axis != 1 or name not in moments:
                    continue
                squares = squares * moments[name].diagonal()  # (I,)
            for group, values in per_unit(squares, parts, sizes):
                found[group] += values
    return {group: values.sqrt() for group, values in found.items()}


def choose(scores: Tensor, count: int) -> Tensor:
    """The `count` units (n,) of the largest scores (N,), in their order; of equal ones the first."""
    return scores.argsort(descending=True, stable=True)[:count].sort().values


def cut(
    state: Mapping[str, Tensor], axes: Axes, kept: Mapping[str, Tensor], moments: Moments
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of the network without the other units, and the moments of what they read.

    Args:
        state: weights by name.
        axes: of the network.
        kept: (n,) units of each group that stay.
        moments: of its inputs; a reader without them keeps its weights as they are.
    """
    sizes = sizes_of(axes, state)
    left, read = dict(state), dict(moments)
    for name, spans in axes.items():
        for axis, parts in spans.items():
            stay = places(parts, kept, sizes)  # (i,)
            whole = left[name].size(axis)
            if axis == 1 and name in moments and len(stay) < whole:
                left[name] = refitted(left[name], moments[name], stay)
                read[name] = moments[name][stay][:, stay]  # (i, i)
            else:
                left[name] = left[name].index_select(axis, stay)
    return left, read


def refitted(weight: Tensor, moments: Tensor, stay: Tensor) -> Tensor:
    """A map (O, I, ...) that reads the inputs `stay` (i,) alone, as near to itself as it can be: (O, i, ...).

    Args:
        weight: (O, I, ...).
        moments: (I, I) mean(x x^T).
        stay: (i,).
    """
    gone = torch.ones(len(moments), dtype=torch.bool)
    gone[stay] = False
    told = moments[gone][:, stay] @ torch.linalg.pinv(moments[stay][:, stay], rtol=TINY, hermitian=True)  # (I - i, i)
    added = torch.einsum("oi...,ij->oj...", weight[:, gone].double(), told)  # (O, i, ...)
    return (weight[:, stay].double() + added).to(weight.dtype)


def factors(weight: Tensor, rank: int, moments: Tensor | None) -> tuple[Tensor, Tensor]:
    """A map (O, I) as two, to R numbers (R, I) and from them (O, R)."""
    left, _ = directions(weight, moments)
    up = left[:, :rank]  # (O, R)
    return (up.T @ weight.double()).to(weight.dtype), up.to(weight.dtype)


def directions(weight: Tensor, moments: Tensor | None) -> tuple[Tensor, Tensor]:
    """Left singular vectors (O, min(O, I)) of a map (O, I), and what each carries: (min(O, I),), the largest first."""
    seen = weight.double()
    if moments is not None:
        values, vectors = torch.linalg.eigh(moments)  # (I,), (I, I)
        seen = seen @ (vectors * values.clamp(min=0).sqrt())  # (O, I)
    left, singular, _ = torch.linalg.svd(seen, full_matrices=False)
    return left, singular


def rank_for(weight: Tensor, energy: float, moments: Tensor | None) -> int:
    """The least rank that keeps a share of what a map (O, I) carries: of the sum of its squared singular values."""
    carried = directions(weight, moments)[1].square().cumsum(0)  # (min(O, I),)
    return int((carried < energy * carried[-1] * (1 - 1e-12)).sum()) + 1
