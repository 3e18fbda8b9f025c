"""Moving a scorer's tensors: its states by hypothesis, its states and memories by utterance.

| axis | meaning |
|---|---|
| B | utterances in the grid |
| K | hypotheses an utterance |

A tree is a tensor, None, or a tuple (a NamedTuple too) of trees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Tree = Any


def walk(tree: Tree, move: Callable[[Tensor], Tensor]) -> Tree:
    """The same tree with `move` applied to each of its tensors."""
    if isinstance(tree, Tensor):
        return move(tree)
    if tree is None:
        return None
    moved = [walk(branch, move) for branch in tree]
    return type(tree)(*moved) if hasattr(tree, "_fields") else tuple(moved)


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
