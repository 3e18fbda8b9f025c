"""Trees of tensors moved by hypothesis and by utterance, by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from kdasr.search import tree


class Kept(NamedTuple):
    cache: Any
    rest: Any


A = torch.arange(12).view(2, 3, 2)  # (B, K, ...)
B = torch.tensor([[True, False, False], [False, True, True]])  # (B, K)


def test_hypotheses_become_children_within_their_utterance():
    moved = tree.reorder(Kept((A, None), B), torch.tensor([[2, 0, 0], [1, 1, 2]]))
    assert isinstance(moved, Kept) and moved.cache[1] is None
    assert moved.cache[0].tolist() == [[[4, 5], [0, 1], [0, 1]], [[8, 9], [8, 9], [10, 11]]]
    assert moved.rest.tolist() == [[False, True, True], [True, True, True]]
    assert tree.flat_rows(torch.tensor([[2, 0, 0], [1, 1, 2]])).tolist() == [2, 0, 0, 4, 4, 5]


def test_utterances_stay_and_are_picked_from():
    assert tree.keep((A, 7, None), torch.tensor([1]))[0].tolist() == [[[6, 7], [8, 9], [10, 11]]]
    assert tree.keep((A, 7, None), torch.tensor([1]))[1:] == (7, None)
    assert tree.pick(B, torch.tensor([[0, 0], [2, 0]])).tolist() == [[True, True], [True, False]]
    assert tree.join((A, None), (A[:, :1] + 50, None))[0].tolist() == [
        [[0, 1], [2, 3], [4, 5], [50, 51]],
        [[6, 7], [8, 9], [10, 11], [56, 57]],
    ]


def test_what_grows_is_filled_up_behind():
    old, new = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([[9]])
    moved = tree.put(Kept(old, (4, None)), torch.tensor([1]), Kept(new, (1, None)))
    assert isinstance(moved, Kept) and moved.rest == (4, None)
    assert moved.cache.tolist() == [[1, 2, 3], [9, 0, 0]]
    assert tree.put(old[:, :1], torch.tensor([0]), old[1:]).tolist() == [[4, 5, 6], [4, 0, 0]]
    assert tree.put((1,), torch.tensor([0]), (4,)) == (4,)
    deep, flat = torch.ones(2, 1, 2, dtype=torch.int64), torch.full((1, 2, 1), 7)
    assert tree.put(deep, torch.tensor([0]), flat).tolist() == [[[7, 0], [7, 0]], [[1, 1], [0, 0]]]
