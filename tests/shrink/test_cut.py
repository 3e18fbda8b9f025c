"""Units removed and maps factorised: by hand, and where nothing is lost, nothing may change."""

import math

import pytest
import torch

from kdasr.shrink.axes import Span, places, sizes_of
from kdasr.shrink.cut import choose, cut, factors, importance, rank_for, refitted

# Three units: first.weight writes them from two inputs, second.weight reads them; a bias of each.
FIRST = torch.tensor([[3.0, 4.0], [0.0, 1.0], [2.0, 0.0]])
SECOND = torch.tensor([[1.0, 10.0, 0.0]])
STATE = {"first.weight": FIRST, "first.bias": torch.tensor([7.0, 8.0, 9.0]), "second.weight": SECOND}
AXES = {"first.weight": {0: (Span("u"),)}, "first.bias": {0: (Span("u"),)}, "second.weight": {1: (Span("u"),)}}


def test_without_audio_the_norm_of_all_weights_of_a_unit_counts():
    # sqrt(9 + 16 + 1), sqrt(1 + 100), sqrt(4); biases count nothing
    scores = importance(STATE, AXES, {})["u"]
    assert scores.tolist() == pytest.approx([math.sqrt(26), math.sqrt(101), 2.0])
    assert choose(scores, 2).tolist() == [0, 1] and choose(scores, 1).tolist() == [1]


def test_with_audio_what_a_unit_adds_to_its_readers_counts():
    # w^2 mean(x^2): 1 x 400, 100 x 1, 0 x 900; what writes the units counts nothing
    moments = {"second.weight": torch.diag(torch.tensor([400.0, 1.0, 900.0], dtype=torch.float64))}
    scores = importance(STATE, AXES, moments)["u"]
    assert scores.tolist() == [20.0, 10.0, 0.0]
    assert choose(torch.tensor([1.0, 2.0, 1.0, 2.0]), 3).tolist() == [0, 1, 3]  # of equal ones the first


def test_a_cut_by_hand():
    left, _ = cut(STATE, AXES, {"u": torch.tensor([0, 2])}, {})
    assert left["first.weight"].tolist() == [[3.0, 4.0], [2.0, 0.0]]
    assert left["first.bias"].tolist() == [7.0, 9.0] and left["second.weight"].tolist() == [[1.0, 0.0]]


def test_readers_are_fitted_again_by_hand():
    # unit 1 was always half of unit 0 on the set: what it carried is added to the weight of unit 0, 1 + 10 / 2
    x = torch.tensor([[2.0, 1.0, 5.0], [-4.0, -2.0, 1.0]], dtype=torch.float64)
    moments = {"second.weight": x.T @ x / 2}
    left, read = cut(STATE, AXES, {"u": torch.tensor([0, 2])}, moments)
    assert left["second.weight"].tolist() == [pytest.approx([6.0, 0.0])]
    assert read["second.weight"].tolist() == [[10.0, 3.0], [3.0, 13.0]]


def test_a_refitted_map_is_the_least_squares_solution():
    torch.manual_seed(1)
    x, weight, stay = torch.randn(50, 6, dtype=torch.float64), torch.randn(4, 6), torch.tensor([1, 2, 5])
    expected = torch.linalg.lstsq(x[:, stay], x @ weight.double().T).solution.T
    assert torch.allclose(refitted(weight, x.T @ x, stay).double(), expected, atol=1e-5)
    kernel = torch.randn(4, 6, 3, 2)  # of a convolution: the same for each tap
    found = refitted(kernel, x.T @ x, stay)
    assert torch.allclose(found[:, :, 2, 1], refitted(kernel[:, :, 2, 1], x.T @ x, stay), atol=1e-5)


def test_what_inputs_say_nothing_of_changes_nothing():
    moments = torch.diag(torch.tensor([4.0, 3.0, 0.0], dtype=torch.float64))  # apart from each other, the last absent
    assert refitted(torch.tensor([[1.0, 2.0, 3.0]]), moments, torch.tensor([0, 2])).tolist() == [[1.0, 3.0]]


def test_an_axis_of_gates_and_of_widths():
    # 2 that stay, 2 gates of 3 units, 2 units of 2 numbers each
    parts = (Span("", width=2), Span("u", times=2), Span("v", width=2))
    kept = {"u": torch.tensor([0, 2]), "v": torch.tensor([1])}
    assert places(parts, kept, {"u": 3, "v": 2}).tolist() == [0, 1, 2, 4, 5, 7, 10, 11]


def test_sizes_are_what_is_left_of_an_axis():
    state = {"a": torch.zeros(6), "b": torch.zeros(3, 12)}
    axes = {"a": {0: (Span("u", times=2),)}, "b": {1: (Span("", width=4), Span("u"), Span("v"))}}
    assert sizes_of(axes, state) == {"u": 3, "v": 5}


@pytest.mark.parametrize("audio", [False, True])
def test_a_map_of_full_rank_is_the_same_and_a_lower_one_is_the_best_of_that_rank(audio):
    torch.manual_seed(2)
    weight, x = torch.randn(7, 5), torch.randn(40, 5, dtype=torch.float64) * torch.tensor([9.0, 3.0, 1.0, 0.5, 0.1])
    moments = x.T @ x / 40 if audio else None
    down, up = factors(weight, 5, moments)
    assert down.shape == (5, 5) and up.shape == (7, 5) and torch.allclose(up @ down, weight, atol=1e-5)
    down, up = factors(weight, 2, moments)
    assert down.shape == (2, 5) and up.shape == (7, 2)
    made = (x if audio else torch.eye(5, dtype=torch.float64)) @ weight.double().T
    lost = (made - (x if audio else torch.eye(5).double()) @ (up @ down).double().T).square().sum()
    assert float(lost) == pytest.approx(float(torch.linalg.svdvals(made)[2:].square().sum()), rel=1e-4)


@pytest.mark.parametrize(("energy", "rank"), [(0.5, 1), (0.64, 1), (0.65, 2), (0.92, 2), (0.93, 3), (1.0, 3)])
def test_the_least_rank_that_keeps_the_energy_by_hand(energy, rank):
    # squared singular values 64, 28 and 8 of 100
    weight = torch.diag(torch.tensor([8.0, math.sqrt(8), math.sqrt(28)]))
    assert rank_for(weight, energy, None) == rank
    # seen through inputs that are seven times as large in the direction of the least: 64, 28 and 8 x 49 of 484
    moments = torch.diag(torch.tensor([1.0, 49.0, 1.0], dtype=torch.float64))
    assert rank_for(weight, 0.8, moments) == 1 and rank_for(weight, 0.82, moments) == 2
