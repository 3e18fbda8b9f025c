"""Ensembles of teachers by hand, and by what their means minimise."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdasr.losses import MEANS
from kdasr.losses.divergences import kl
from kdasr.losses.ensemble import combined


def test_by_hand():
    logp = torch.tensor([[[0.8, 0.2]], [[0.2, 0.8]]]).log()
    assert combined(logp, [0.75, 0.25]).exp()[0].tolist() == pytest.approx([0.65, 0.35])
    a, b = 0.8**0.75 * 0.2**0.25, 0.2**0.75 * 0.8**0.25
    assert combined(logp, [0.75, 0.25], "geometric").exp()[0].tolist() == pytest.approx([a / (a + b), b / (a + b)])


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_each_mean_minimises_its_divergence(mean):
    """Hinton et al. 2015, section 5.4: KL(p, q) gives the arithmetic, KL(q, p) the geometric mean."""
    torch.manual_seed(0)
    logp = torch.randn(3, 1, 5, dtype=torch.double).log_softmax(-1)
    weights = [0.5, 0.3, 0.2]

    def cost(logq):
        pairs = ((one, logq) if mean == "arithmetic" else (logq, one) for one in logp)
        return sum(w * kl(*pair).item() for w, pair in zip(weights, pairs, strict=True))

    best = combined(logp, weights, mean)
    torch.testing.assert_close(best.exp().sum(-1), torch.ones(1, dtype=torch.double))
    for _ in range(20):
        other = (best + 0.1 * torch.randn(1, 5)).log_softmax(-1)
        assert cost(other) > cost(best)


def test_one_teacher_is_itself():
    logp = torch.randn(1, 4, 6).log_softmax(-1)
    for mean in ("arithmetic", "geometric"):
        torch.testing.assert_close(combined(logp, [1.0], mean), logp[0])


@given(
    st.integers(1, 4).flatmap(
        lambda members: st.tuples(
            st.lists(st.integers(1, 9), min_size=members, max_size=members),
            st.lists(
                st.lists(st.lists(st.integers(1, 9), min_size=3, max_size=3), min_size=2, max_size=2),
                min_size=members,
                max_size=members,
            ),
        )
    )
)
def test_means_of_several_rows_are_their_formulas(drawn):
    counts, tables = drawn
    weights = [count / sum(counts) for count in counts]
    members = [[[one / sum(row) for one in row] for row in table] for table in tables]
    logp = torch.tensor(members, dtype=torch.double).log()
    for mean in MEANS:
        found = combined(logp, weights, mean).exp()
        for row in range(2):
            columns = list(zip(*(member[row] for member in members), strict=True))
            pairs = [list(zip(weights, column, strict=True)) for column in columns]
            if mean == "arithmetic":
                expected = [sum(w * p for w, p in column) for column in pairs]
            else:
                expected = [math.prod(p**w for w, p in column) for column in pairs]
                expected = [one / sum(expected) for one in expected]
            assert found[row].tolist() == pytest.approx(expected, rel=1e-9), mean
    assert torch.equal(combined(logp, weights), combined(logp, weights, "arithmetic"))
