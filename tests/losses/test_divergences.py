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
