"""Divergences by hand, against torch's own, and by what every divergence does."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdasr.losses.divergences import FUNCTIONS, jensen_shannon, kl, reverse_kl, total_variation

Q, P = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.25, 0.25, 0.5]])


def test_by_hand():
    two = math.log(2)
    assert kl(Q.log(), P.log()).item() == pytest.approx(0.5 * two - 0.25 * two)
    assert reverse_kl(Q.log(), P.log()).item() == pytest.approx(-0.25 * two + 0.5 * two)
    assert total_variation(Q.log(), P.log()).item() == pytest.approx(0.25)
    m = (0.375, 0.25, 0.375)
    half = 0.5 * math.log(0.5 / m[0]) + 0.25 * math.log(0.25 / m[2])  # the same for both sides
    assert jensen_shannon(Q.log(), P.log()).item() == pytest.approx(half)


def test_kl_is_torchs():
    logq, logp = torch.randn(2, 5, 7).log_softmax(-1)
    theirs = torch.nn.functional.kl_div(logp, logq, log_target=True, reduction="none").sum(-1)
    torch.testing.assert_close(kl(logq, logp), theirs)
    torch.testing.assert_close(reverse_kl(logp, logq), theirs)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(st.lists(st.tuples(*[st.floats(-20, 20)] * 2), min_size=2, max_size=6))
def test_zero_where_equal_and_never_below(name, pairs):
    logq, logp = torch.tensor(pairs, dtype=torch.double).t().log_softmax(-1)
    assert FUNCTIONS[name](logq[None], logq[None]).item() == pytest.approx(0, abs=1e-9)
    assert FUNCTIONS[name](logq[None], logp[None]).item() >= -1e-12


@given(st.lists(st.tuples(*[st.floats(-50, 50)] * 2), min_size=2, max_size=6))
def test_bounds(pairs):
    logq, logp = torch.tensor(pairs, dtype=torch.double).t().log_softmax(-1)
    assert jensen_shannon(logq[None], logp[None]).item() <= math.log(2) + 1e-9
    assert total_variation(logq[None], logp[None]).item() <= 1 + 1e-9


@pytest.mark.parametrize("name", ["kl", "js", "tv"])
def test_what_the_teacher_excludes(name):
    """A probability of zero is no trouble: neither in the value nor in the gradient."""
    logq = torch.tensor([[math.log(0.5), math.log(0.5), float("-inf")]])
    logits = torch.tensor([[0.3, 0.1, -0.2]], requires_grad=True)
    value = FUNCTIONS[name](logq, logits.log_softmax(-1))
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(logits.grad).all() and logits.grad[0, 2] > 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradcheck(name):
    torch.manual_seed(1)
    logits = torch.randn(3, 4, dtype=torch.double, requires_grad=True)
    logq = torch.randn(3, 4, dtype=torch.double).log_softmax(-1)
    assert torch.autograd.gradcheck(lambda z: FUNCTIONS[name](logq, z.log_softmax(-1)), logits)


def written_out(name, q, p, beta=0.5):
    """Of two distributions, by the formula, in plain numbers."""

    def kl(one, other):
        if any(a > 0 and b == 0 for a, b in zip(one, other, strict=True)):
            return math.inf
        return sum(a * math.log(a / b) for a, b in zip(one, other, strict=True) if a > 0)

    m = [beta * a + (1 - beta) * b for a, b in zip(q, p, strict=True)]
    return {
        "kl": kl(q, p),
        "reverse_kl": kl(p, q),
        "js": beta * kl(q, m) + (1 - beta) * kl(p, m),
        "tv": sum(abs(a - b) for a, b in zip(q, p, strict=True)) / 2,
    }[name]


COUNTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=5)


@given(st.lists(COUNTS.filter(lambda rows: all(map(sum, zip(*rows, strict=True)))), min_size=1, max_size=3), st.data())
def test_every_divergence_is_its_formula_zeros_included(rows, data):
    """Rows of several lengths, filled with zeros; JS at any beta, too. What cannot be told apart is infinite."""
    width = max(map(len, rows))
    table = torch.zeros(2, len(rows), width, dtype=torch.double)
    for number, row in enumerate(rows):
        table[:, number, : len(row)] = torch.tensor(row).t() / torch.tensor(row).sum(0)[:, None]
    for name, function in FUNCTIONS.items():
        expected = [written_out(name, q.tolist(), p.tolist()) for q, p in zip(*table, strict=True)]
        assert function(*table.log()).tolist() == pytest.approx(expected, abs=1e-9), name
    beta = data.draw(st.sampled_from([0.1, 0.3, 0.8]))
    expected = [written_out("js", q.tolist(), p.tolist(), beta) for q, p in zip(*table, strict=True)]
    assert jensen_shannon(*table.log(), beta).tolist() == pytest.approx(expected, abs=1e-9)


def test_the_names_of_the_options():
    named = {"kl": kl, "reverse_kl": reverse_kl, "js": jensen_shannon, "tv": total_variation}
    assert named == FUNCTIONS
