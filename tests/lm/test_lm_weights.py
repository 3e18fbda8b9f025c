"""The search for the weights by which N-best lists are ranked anew."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.errors import UserError
from kdasr.lm.weights import Lists, Tuned, describe, parse_grids, parse_weights, tune


def lists_of(rng, utterances, names, most=6):
    sizes = rng.integers(1, most, utterances)
    total = int(sizes.sum())
    scores = {name: rng.integers(-4, 5, total).astype(float) for name in names}
    return Lists([f"u{k}" for k in range(utterances)], sizes, ["x"] * total, scores), rng.integers(0, 5, total)


def cost_of(lists, errors, weights):
    """Errors of the best of each utterance, in loops."""
    total = 0
    for start, size in zip(lists.starts, lists.sizes, strict=True):
        rows = range(start, start + size)
        total += errors[max(rows, key=lambda h: (sum(w * lists.scores[n][h] for n, w in weights.items()), -h))]
    return total


@examples(25)
@given(st.integers(0, 10**6))
def test_one_model_and_the_length_are_searched_through(seed):
    """All pairs of their values: no fewer errors anywhere, and of equal ones the smallest weights."""
    lists, errors = lists_of(np.random.default_rng(seed), 7, ["score", "lm", "length"])
    grids = {"lm": [0.0, 0.25, 0.5, 1.0], "length": [-1.0, 0.0, 0.5]}
    tuned = tune(lists, errors, 100, {"score": 1.0}, grids)
    every = []
    for lm, length in itertools.product(*grids.values()):
        weights = {"score": 1.0, "lm": lm, "length": length}
        every.append((cost_of(lists, errors, weights), abs(lm) + abs(length)))
    found = tuned.weights
    assert (tuned.errors, abs(found.get("lm", 0)) + abs(found.get("length", 0))) == min(every)
    assert tuned.errors == cost_of(lists, errors, found) and tuned.before == cost_of(lists, errors, {"score": 1.0})
    assert tuned.oracle == sum(min(part) for part in np.split(errors, lists.starts[1:]))
    assert tuned.oracle <= tuned.errors <= tuned.before
    assert [value for value, _ in tuned.table["lm"]] == grids["lm"]
    for name, rates in tuned.table.items():
        for value, rate in rates:
            assert rate == pytest.approx(cost_of(lists, errors, {**found, name: value}), abs=0.01)


@examples(20)
@given(st.integers(0, 10**6))
def test_no_weight_alone_makes_it_better(seed):
    lists, errors = lists_of(np.random.default_rng(seed), 9, ["score", "a", "b", "length"])
    grids = {name: [-1.0, -0.5, 0.0, 0.5, 1.0] for name in ("a", "b", "length")}
    tuned = tune(lists, errors, 100, {"score": 1.0}, grids)
    for name, grid in grids.items():
        assert all(cost_of(lists, errors, {**tuned.weights, name: value}) >= tuned.errors for value in grid)


def test_equal_totals_keep_their_order():
    lists = Lists(["a", "b"], np.array([4, 2]), ["x"] * 6, {"score": np.array([1.0, 2.0, 2.0, 1.0, 0.0, 0.0])})
    total = lists.total({"score": 1.0})
    assert lists.best(total).tolist() == [1, 4]
    assert lists.ranking(total).tolist() == [1, 2, 0, 3, 4, 5]
    assert lists.total({}).tolist() == [0] * 6


def test_a_score_that_does_not_count_may_be_infinite():
    scores = {"score": np.array([1.0, 2.0]), "lm": np.array([-np.inf, 0.0]), "length": np.array([3.0, 4.0])}
    lists = Lists(["a"], np.array([2]), ["x"] * 2, scores)
    assert lists.total({"score": 1.0, "lm": 0.0}).tolist() == [1.0, 2.0]
    assert lists.total({"score": 1.0, "lm": 0.5}).tolist() == [-np.inf, 2.0]
    assert lists.total({"score": 2.0, "length": -1.0, "other": 5.0}).tolist() == [-1.0, 0.0]


def test_of_equally_good_weights_those_nearest_to_zero_are_taken():
    """Nothing changes the errors: each weight is the value of its grid nearest to zero, whatever its sign."""
    lists, errors = Lists(["a"], np.array([1]), ["x"], {"score": np.zeros(1), "lm": np.zeros(1)}), np.array([3])
    lists.add("length", np.zeros(1))
    for grid, nearest in (([-1.0, -0.5, 0.5, 1.0], 0.5), ([-2.0, -0.25, 1.0], 0.25), ([0.5, 1.0], 0.0)):
        tuned = tune(lists, errors, 6, {"score": 1.0, "lm": 3.0}, {"lm": grid})
        assert abs(tuned.weights["lm"]) == (nearest or 0.5)
        assert (tuned.errors, tuned.before, tuned.oracle) == (3, 3, 3)
    start = {"score": 1.0, "lm": 0.25, "length": 1.0}
    assert tune(lists, errors, 6, start, {"lm": [-0.25, 0.25], "length": [-1.0, 1.0]}).weights == start


def test_a_weight_at_either_end_of_its_grid_is_told():
    table = {"lm": [(-1.0, 30.0), (0.0, 20.0), (1.0, 20.0), (2.0, 10.0)], "length": [(0.0, 10.0), (1.0, 12.5)]}
    for weight, end in ((-1.0, True), (0.0, False), (1.0, False), (2.0, True)):
        tuned = Tuned({"lm": weight, "length": 0.0}, 2, 6, 1, 20, table)
        shown = describe(tuned, 4)
        assert "4 utterances, 20 words: 30.00 % before, 10.00 % after, 5.00 % at best (oracle)" in shown
        assert (f"lm {weight:g} is the end of its grid" in shown) == end and "length 0 is the end" not in shown
        assert [" ".join(line.split()) for line in shown.splitlines()[1:4]] == [
            "lm -1 30.00" + " -1 is taken" * (weight == -1),
            "lm 0 to 1 20.00" + f" {weight:g} is taken" * (weight in (0, 1)),
            "lm 2 10.00" + " 2 is taken" * (weight == 2),
        ]


@examples(100)
@given(st.integers(-50, 50), st.integers(1, 1003), st.sampled_from([0.05, 0.1, 0.25, 1.0, 0.3]))
def test_grids_go_from_the_first_value_to_the_last(first, count, step):
    last = first + (count - 1) * step
    word = f"lm={first}:{last:.10g}:{step}"
    if not 2 <= count <= 1001:
        with pytest.raises(UserError, match="expected from 2 to 1000 values"):
            parse_grids([word], ["lm"])
        return
    grid = parse_grids([word], ["lm"])["lm"]
    assert len(grid) == count
    assert grid == pytest.approx([first + k * step for k in range(count)], abs=1e-9)
    assert not any(str(value) == "-0.0" for value in grid)


def test_options_are_read():
    names = ["score", "a=b", "lm"]
    assert parse_weights(["lm=0.5", "a=b=-1"], names) == {"lm": 0.5, "a=b": -1.0}
    assert parse_grids(["lm=-0.2:0.1:0.1"], names) == {"lm": [-0.2, -0.1, 0.0, 0.1]}
    with pytest.raises(UserError, match=r"expected a number, found '0\.x'"):
        parse_grids(["lm=0:1:0.x"], names)
