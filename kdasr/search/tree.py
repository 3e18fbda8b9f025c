"""Moving a scorer's tensors: its states by hypothesis, its states and memories by utterance.

| axis | meaning |
|---|---|
| B | utterances in the grid |
| K | hypotheses an utterance |

A tree is a tensor, None, a number for all of them, or a tuple (a NamedTuple too) of trees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

Tree = Any


def walk(tree: Tree, move: Callable[[Tensor], Tensor]) -> Tree:
    """The same tree with `move` applied to each of its tensors."""
    if isinstance(tree, Tensor):
        return move(tree)
    if tree is None or isinstance(tree, int):
        return tree
    moved = [walk(branch, move) for branch in tree]
    return type(tree)(*moved) if hasattr(tree, "_fields") else tuple(moved)


def leaves(tree: Tree) -> Iterator[Tensor]:
    """Its tensors, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif tree is not None and not isinstance(tree, int):
        for branch in tree:
            yield from leaves(branch)


def flat_rows(parents: Tensor) -> Tensor:
    """Parents (B, K) within their utterances -> (B * K,) rows of the flattened grid."""
    first = torch.arange(0, parents.numel(), parents.shape[1], device=parents.device).unsqueeze(1)  # (B, 1)
    return (parents + first).flatten()  # (B * K,)


def reorder(state: Tree, parents: Tensor) -> Tree:
    """State tensors (B, K, ...) -> (B, K, ...): hypothesis k becomes a child of parents[b, k] (B, K)."""
    rows = flat_rows(parents)  # (B * K,)
    return walk(state, lambda tensor: tensor.flatten(0, 1).index_select(0, rows).view(tensor.shape))


def keep(tree: Tree, utterances: Tensor) -> Tree:
    """State or memory tensors (B, ...) -> (B', ...): only the utterances named (B',) stay."""
    return walk(tree, lambda tensor: tensor.index_select(0, utterances))


def put(old: Tree, rows: Tensor, new: Tree) -> Tree:
    """The rows (B',) of state or memory tensors (B, ...) replaced by those of another tree (B', ...).

    What grows with the steps (a cache of the prefix) is shorter for one of the two: it is filled up with zeros.
    """
    if isinstance(old, Tensor):
        shape = [max(pair) for pair in zip(old.shape[1:], new.shape[1:], strict=True)]
        return _filled(old, shape).index_copy(0, rows, _filled(new, shape))
    if old is None:
        return None
    if isinstance(old, int):
        return max(old, new)
    replaced = [put(branch, rows, other) for branch, other in zip(old, new, strict=True)]
    return type(old)(*replaced) if hasattr(old, "_fields") else tuple(replaced)


def _filled(tensor: Tensor, shape: list[int]) -> Tensor:
    """A tensor (B, ...) with zeros behind, so that its sizes from the second on are `shape`."""
    missing = [size - there for size, there in zip(shape, tensor.shape[1:], strict=True)]
    if not any(missing):
        return tensor
    return torch.nn.functional.pad(tensor, [side for size in reversed(missing) for side in (0, size)])


def join(one: Tree, other: Tree) -> Tree:
    """Tensors (B, M, ...) and (B, N, ...) side by side: (B, M + N, ...)."""
    if isinstance(one, Tensor):
        return torch.cat((one, other), 1)
    if one is None:
        return None
    joined = [join(*pair) for pair in zip(one, other, strict=True)]
    return type(one)(*joined) if hasattr(one, "_fields") else tuple(joined)


def pick(tree: Tree, chosen: Tensor) -> Tree:
    """Tensors (B, M, ...) -> (B, N, ...): of each utterance those that chosen (B, N) names."""

    def move(tensor: Tensor) -> Tensor:
        first = torch.arange(0, tensor.shape[0] * tensor.shape[1], tensor.shape[1], device=tensor.device)  # (B,)
        rows = (chosen + first.unsqueeze(1)).flatten()  # (B * N,)
        return tensor.flatten(0, 1).index_select(0, rows).view(*chosen.shape, *tensor.shape[2:])

    return walk(tree, move)
