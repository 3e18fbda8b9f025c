"""The consistency of two views by hand, and its gradient, of which targets have no part."""

import math

import pytest
import torch

from kdasr.losses.consistency import consistency_loss

# of one utterance: views of two frames of three tokens, as odds
A = [[2.0, 1.0, 1.0], [1.0, 1.0, 6.0]]
B = [[1.0, 1.0, 2.0], [1.0, 1.0, 6.0]]


def test_by_hand():
    """Frame 1: (1/2, 1/4, 1/4) and (1/4, 1/4, 1/2): KL is log 2 / 4 both ways. Frame 2 is alike."""
    found = consistency_loss(torch.tensor([A, B]).log(), torch.tensor([2, 2]))
    assert found.item() == pytest.approx(math.log(2) / 4, rel=1e-5)


def test_what_is_not_symmetric():
    """(1/2, 1/2) and (3/4, 1/4): half of KL one way, half of KL the other way."""
    found = consistency_loss(torch.tensor([[[1.0, 1.0]], [[3.0, 1.0]]]).log(), torch.tensor([1, 1]))
    there = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    back = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert found.item() == pytest.approx((there + back) / 2, rel=1e-5)


def test_a_batch_is_the_mean_of_its_utterances_whatever_stands_in_padding():
    generator = torch.Generator().manual_seed(1)
    views = torch.randn(2, 3, 5, 4, generator=generator)  # (2, B, S, V)
    frames = torch.tensor([5, 3, 1])
    alone = [consistency_loss(views[:, b, :n], torch.tensor([n, n])) for b, n in enumerate(frames.tolist())]
    together = consistency_loss(views.flatten(0, 1), frames.repeat(2))
    torch.testing.assert_close(together, sum(alone) / 3)


def test_the_gradient_is_of_what_learns_and_not_of_what_is_learnt():
    """d/dz of KL(q || softmax(z)) is softmax(z) - q, with q as it is; halved, each view counts once."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(4, 3, 5, generator=generator).double().requires_grad_()  # two utterances
    [found] = torch.autograd.grad(consistency_loss(logits, torch.tensor([3, 2, 3, 2])), logits)
    p = logits.detach().softmax(-1)
    expected = (p - p[[2, 3, 0, 1]]) / 4
    expected[1, 2] = expected[3, 2] = 0
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
