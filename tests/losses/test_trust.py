"""The coefficients of label and teacher by hand; trust regularization as Shi et al. 2019 write it."""

import math

import pytest
import torch

from kdasr.losses import OBJECTIVES
from kdasr.losses.trust import SURE, coefficients, log_rest, trust
from kdasr.losses.word import word_losses


@pytest.mark.parametrize(("q", "expected"), [(0.5, 0.0693147), (0.9, 0.2302585), (0.99, 0.4605170)])
def test_trust_by_hand(q, expected):
    assert trust(torch.tensor([math.log(q)]), 0.1).item() == pytest.approx(expected, rel=1e-4)


def test_trust_is_finite_where_the_teacher_is_sure_and_nothing_where_it_disagrees():
    sure = trust(torch.tensor([0.0, -1e-9, -30.0, -200.0]), 0.1)
    assert sure[0] == sure[1] == pytest.approx(-0.1 * math.log(SURE), rel=1e-4)
    assert sure[2].item() == pytest.approx(0.1 * math.exp(-30), rel=1e-4)
    assert sure[3] == 0.0


def test_every_objective_by_hand():
    gold = torch.tensor([0.8, 0.25]).log()
    best = torch.tensor([True, False])
    expected = {
        "ce": ([1, 1], [0, 0]),
        "kl": ([0, 0], [1, 1]),
        "fixed": ([0.2, 0.2], [0.8, 0.8]),
        "constant": ([0.2, 0.2], [1, 1]),
        "trust": ([-0.2 * math.log(0.2), -0.2 * math.log(0.75)], [1, 1]),
        # lambda 2: c = .64, d = .04; c = .0625, d = .5625
        "adaptive": ([0.04 / 0.68, 0.9], [0.64 / 0.68, 0.1]),
        "conditional": ([0, 1], [1, 0]),
    }
    assert set(expected) == set(OBJECTIVES)
    for objective, (hard, soft) in expected.items():
        found = coefficients(objective, gold, best, alpha=0.2, power=2.0)
        torch.testing.assert_close(found[0], torch.tensor(hard, dtype=torch.float), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found[1], torch.tensor(soft, dtype=torch.float), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="expected one of ce, kl"):
        coefficients("trsut", gold, best, 0.1)


def test_whole_loss_of_one_token_by_hand():
    """Three words, y = 0: R(y) CE + KL, with P = (1/2, 1/4, 1/4), Q = (3/4, 1/4, 0)."""
    logp = torch.tensor([[0.5, 0.25, 0.25]]).log()
    logq = torch.tensor([[0.75, 0.25, 0.0]]).log()
    a, b = coefficients("trust", logq[:, 0], torch.tensor([True]), alpha=0.1)
    kl = word_losses(logp, None, logq)
    assert kl.item() == pytest.approx(0.75 * math.log(1.5), rel=1e-5)
    loss = a * -logp[:, 0] + b * kl
    assert loss.item() == pytest.approx(0.1 * math.log(4) * math.log(2) + 0.75 * math.log(1.5), rel=1e-5)


def test_rest_is_exact_for_small_probabilities():
    gold = torch.tensor([-25.0], dtype=torch.double)
    assert log_rest(gold).item() == pytest.approx(-math.exp(-25), rel=1e-9)


def test_draws_have_the_gradient_of_the_whole_in_expectation():
    """Random sampling of the teacher's tokens: the mean gradient over many draws is that of all of Q."""
    torch.manual_seed(0)
    logits = torch.randn(1, 6, requires_grad=True)
    logq = (2 * torch.randn(1, 6)).log_softmax(-1)
    (whole,) = torch.autograd.grad(word_losses(logits, None, logq).sum(), logits)
    draws = torch.multinomial(logq.exp(), 200_000, replacement=True)  # (1, J)
    (sampled,) = torch.autograd.grad(word_losses(logits, draws, torch.zeros(draws.shape)).sum(), logits)
    torch.testing.assert_close(sampled, whole, rtol=0, atol=5e-3)


def test_bounds_and_defaults_by_hand():
    """R of a sure teacher is 13.8 alpha: 1 - Q is 1e-6 at least. Adaptive with lambda 1: w = Q."""
    assert trust(torch.tensor([0.0]), 1.0).item() == pytest.approx(13.8155, rel=1e-4)
    assert trust(torch.tensor([math.log(0.9999)], dtype=torch.double), 1.0).item() == pytest.approx(9.2103, rel=1e-4)
    gold = torch.tensor([0.8, 0.25]).log()
    hard, soft = coefficients("adaptive", gold, torch.tensor([True, False]), 0.1)
    assert soft.tolist() == pytest.approx([0.8, 0.25]) and hard.tolist() == pytest.approx([0.2, 0.75])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_of_every_objective_a_row_does_not_know_the_others(objective):
    gold = torch.rand(5).log()
    best = torch.rand(5) > 0.5
    together = coefficients(objective, gold, best, 0.3, 2.0)
    for row in range(5):
        alone = coefficients(objective, gold[row : row + 1], best[row : row + 1], 0.3, 2.0)
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one[row : row + 1], other)
            assert one.dtype == gold.dtype and not one.requires_grad
