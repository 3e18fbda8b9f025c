"""Word-level distillation by hand, its gradient by Hinton's formula, and what keeping J tokens changes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.errors import UserError
from kdasr.losses import DIVERGENCES
from kdasr.losses.divergences import FUNCTIONS
from kdasr.losses.word import mixed, most_probable, word_loss, word_losses


def test_by_hand():
    """Two tokens, T = 2: softmax halves the logits, T^2 = 4."""
    logits = torch.tensor([[2 * math.log(3.0), 0.0]])  # at T = 2: 3/4, 1/4
    logq = torch.tensor([[0.0, 0.0]])  # 1/2, 1/2
    expected = 4 * (0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))
    found = word_loss(logits, torch.tensor([[0, 1]]), logq, torch.tensor([1.0]), temperature=2.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_gradient_is_hintons(temperature):
    """Hinton et al. 2015, eq. 2: dC/dz = (p - q) / T, here times T^2 and the row's weight."""
    torch.manual_seed(0)
    z, v = torch.randn(3, 6, requires_grad=True), torch.randn(3, 6)
    weights = torch.tensor([1.0, 0.5, 0.0])
    word_loss(z, *most_probable(v.log_softmax(-1), 0), weights, temperature).backward()
    p, q = (z.detach() / temperature).softmax(-1), (v / temperature).softmax(-1)
    torch.testing.assert_close(z.grad, weights[:, None] * temperature * (p - q), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("divergence", FUNCTIONS)
def test_all_tokens_in_any_order_are_the_divergence(divergence):
    torch.manual_seed(0)
    logits, logq = torch.randn(4, 5), torch.randn(4, 5).log_softmax(-1)
    expected = FUNCTIONS[divergence](logq, logits.log_softmax(-1)).sum()
    for kept in (0, 5, 99):
        found = word_loss(logits, *most_probable(logq, kept), torch.ones(4), 1.0, divergence)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_kept_tokens_are_renormalised():
    """Of 1/2, 1/4, 1/4 the first two are kept: 2/3, 1/3."""
    logq = torch.tensor([[0.5, 0.25, 0.25]]).log()
    ids, _ = most_probable(logq, 2)
    assert ids[0, 0] == 0 and ids.shape == (1, 2)
    p = torch.tensor([[0.2, 0.3, 0.5]])
    found = word_loss(p.log(), torch.tensor([[0, 1]]), logq[:, :2], torch.ones(1))
    assert found.item() == pytest.approx(2 / 3 * math.log(2 / 3 / 0.2) + 1 / 3 * math.log(1 / 3 / 0.3), rel=1e-5)
    js = word_loss(p.log(), torch.tensor([[0, 1]]), logq[:, :2], torch.ones(1), divergence="js")
    whole = torch.tensor([[2 / 3, 1 / 3, 0.0]]).log()
    assert js.item() == pytest.approx(FUNCTIONS["js"](whole, p.log()).item(), rel=1e-5)
    with pytest.raises(UserError, match="soft_k 0"):
        word_loss(p.log(), torch.tensor([[0, 1]]), logq[:, :2], torch.ones(1), divergence="reverse_kl")


@pytest.mark.parametrize("divergence", FUNCTIONS)
def test_gradcheck(divergence):
    torch.manual_seed(0)
    logits = torch.randn(3, 4, requires_grad=True)
    ids, logq = most_probable(torch.randn(3, 4).log_softmax(-1), 0)
    weights = torch.tensor([1.0, 0.3, 2.0])
    value = word_loss(logits, ids, logq, weights, 3.0, divergence)
    (gradient,) = torch.autograd.grad(value, logits)
    step = 1e-2
    for row in range(3):
        for token in range(4):
            nudged = []
            for sign in (1, -1):
                other = logits.detach().clone()
                other[row, token] += sign * step
                nudged.append(word_loss(other, ids, logq, weights, 3.0, divergence).item())
            assert gradient[row, token].item() == pytest.approx((nudged[0] - nudged[1]) / (2 * step), abs=2e-3)


def test_mixed():
    assert mixed(torch.tensor(4.0), torch.tensor(8.0), 0.25).item() == 5.0


@examples(150)
@given(
    divergence=st.sampled_from(DIVERGENCES),
    temperature=st.sampled_from([0.5, 1.0, 2.0, 7.0]),
    shape=st.tuples(st.integers(1, 4), st.integers(2, 6)),
    kept=st.integers(0, 7),
    seed=st.integers(0, 99),
)
def test_every_divergence_at_every_temperature_by_its_formula(divergence, temperature, shape, kept, seed):
    """T^2 D(q, p) of each row, what is kept renormalised; ids in an order of their own, or none where all are kept."""
    torch.manual_seed(seed)
    rows, vocabulary = shape
    logits, logq = 3 * torch.randn(shape), (3 * torch.randn(shape)).log_softmax(-1)
    ids, values = most_probable(logq, kept)
    assert ids.shape == (rows, min(kept or vocabulary, vocabulary))
    assert torch.equal(ids, logq.argsort(-1, descending=True)[:, : ids.size(1)])
    order = torch.randperm(ids.size(1))
    given_ids, given_values = ids[:, order], values[:, order] + 1.5  # up to a constant
    weights = torch.rand(rows)
    if divergence == "reverse_kl" and ids.size(1) < vocabulary:
        with pytest.raises(UserError, match=f"{ids.size(1)} of {vocabulary} tokens are kept; it needs all"):
            word_loss(logits, given_ids, given_values, weights, temperature, divergence)
        return
    p = (logits.double() / temperature).softmax(-1)
    q = torch.zeros_like(p).scatter(1, ids, (values.double() / temperature).softmax(-1))
    expected = temperature**2 * FUNCTIONS[divergence](q.log(), p.log())
    found = word_losses(logits, given_ids, given_values, temperature, divergence)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)
    total = word_loss(logits, given_ids, given_values, weights, temperature, divergence)
    assert total.item() == pytest.approx((weights * expected).sum().item(), rel=1e-4, abs=1e-4)
    if ids.size(1) == vocabulary:
        torch.testing.assert_close(
            word_losses(logits, None, logq, temperature, divergence), found, rtol=1e-4, atol=1e-4
        )


def test_the_defaults_are_kl_at_a_temperature_of_one():
    logits, logq = torch.randn(3, 5), torch.randn(3, 5).log_softmax(-1)
    ids = torch.arange(5).expand(3, 5)
    expected = torch.nn.functional.kl_div(logits.log_softmax(-1), logq, log_target=True, reduction="sum")
    torch.testing.assert_close(word_loss(logits, ids, logq, torch.ones(3)), expected)
    torch.testing.assert_close(word_losses(logits, None, logq).sum(), expected)


@pytest.mark.parametrize("divergence", ["kl", "js", "tv"])
def test_what_the_teacher_excludes_is_no_trouble(divergence):
    logits = torch.tensor([[0.3, 0.1, -0.2]], requires_grad=True)
    logq = torch.tensor([[0.0, -math.inf, -math.inf]])
    value = word_losses(logits, None, logq, 2.0, divergence)
    value.sum().backward()
    assert torch.isfinite(value).all() and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_rows_of_weight_zero_are_not_looked_at(divergence):
    """Padding may hold anything: the same token V times, no numbers; neither value nor gradient knows of it."""
    logits = torch.randn(3, 4, requires_grad=True)
    ids, logq = most_probable(torch.randn(3, 4).log_softmax(-1), 0)
    expected = word_loss(logits[[0, 2]], ids[[0, 2]], logq[[0, 2]], torch.tensor([0.5, 2.0]), 2.0, divergence)
    (gradient,) = torch.autograd.grad(expected, logits)
    for behind in (0.0, -math.inf, math.nan):
        ids[1], logq[1] = 0, behind
        found = word_loss(logits, ids, logq, torch.tensor([0.5, 0.0, 2.0]), 2.0, divergence)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad(found, logits)[0], gradient)
