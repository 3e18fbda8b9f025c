"""The risk by hand, and its gradient by the formula and by autograd of the expectation written out."""

import pytest
import torch

from kdasr.losses.risk import risk_loss, whole_scores

SCORES = torch.tensor([[0.5, 0.25, 0.125], [0.3, 0.9, 0.9]]).log()
COSTS = torch.tensor([[1.0, 3.0, 0.0], [2.0, 7.0, 7.0]])
USED = torch.tensor([[True, True, False], [True, False, False]])  # what the other places hold must not matter


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, -1 / 3), (2.0, -3 / 5), (0.5, 1 - 2 * 2**0.5 / (1 + 2**0.5))])
def test_by_hand(alpha, expected):
    """p^ is 2 : 1, with alpha 2 4 : 1; costs 1 and 3 of mean 2. One hypothesis alone has no risk."""
    assert risk_loss(SCORES, COSTS, USED, alpha).item() == pytest.approx(expected / 2, rel=1e-5)


def test_three_hypotheses_of_one_utterance():
    """p^ = 4/7, 2/7, 1/7; costs 1, 3, 0 of mean 4/3: 4/7 + 6/7 - 4/3."""
    found = risk_loss(SCORES[:1], COSTS[:1], torch.ones(1, 3, dtype=torch.bool))
    assert found.item() == pytest.approx(10 / 7 - 4 / 3, rel=1e-5)


@pytest.mark.parametrize("alpha", [1.0, 0.25])
def test_the_gradient(alpha):
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(3, 4, generator=generator).double().requires_grad_()
    costs = torch.randint(0, 6, (3, 4), generator=generator).double()
    used = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]]).bool()
    [found] = torch.autograd.grad(risk_loss(scores, costs, used, alpha), scores)
    written, by_formula = 0.0, torch.zeros_like(found)
    for b, count in enumerate((4, 3, 1)):
        masses = scores[b, :count].exp() ** alpha
        expected = (masses * costs[b, :count]).sum() / masses.sum()
        written = written + expected / 3
        shares = (masses / masses.sum()).detach()
        by_formula[b, :count] = alpha * shares * (costs[b, :count] - expected.detach()) / 3
    torch.testing.assert_close(found, torch.autograd.grad(written, scores)[0])
    torch.testing.assert_close(found, by_formula)


def test_whole_scores_by_hand():
    """Prefixes: <sos>, <sos> 1; hypotheses: 1 and the end, the end alone, none."""
    logp = torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]]).log()
    path = torch.tensor([[[0, 1], [0, -1], [-1, -1]]])
    targets = torch.tensor([[[1, 2], [2, -1], [2, -1]]])
    found = whole_scores(logp, path, targets)
    torch.testing.assert_close(found.exp(), torch.tensor([[0.25 * 0.75, 0.25, 1.0]]))
