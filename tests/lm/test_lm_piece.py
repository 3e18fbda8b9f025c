"""Loss and gradient of a piece of text, computed in slices."""

import pytest
import torch
from lm_world import SMALL, network

from kdasr.lm.piece import OnlineTeachers, backward
from kdasr.lm.settings import LmSettings
from kdasr.losses import OBJECTIVES
from kdasr.networks.awd import AwdLstm


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_pieces_loss_and_gradient_are_those_of_the_whole(objective, monkeypatch):
    """Slices of two rows, against the loss written with whole matrices."""
    model, teachers = network(), [network(1), network(2)]
    words, target = torch.randint(11, (2, 2, 5), generator=torch.Generator().manual_seed(0))
    settings = LmSettings(objective=objective, alpha=0.3, power=0.5, temperature=2.0, activation=0.7, temporal=0.4)
    monkeypatch.setattr("kdasr.lm.piece.SLICE", 2 * model.experts * 11)
    online = OnlineTeachers(teachers)
    online.restart(2)
    online.read(words)
    loss, nll, _ = backward(model, words, target, model.zero(2), settings, online)
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()

    x, _, raw = model.hidden(words, model.zero(2))
    logp = model.log_probs(x.flatten(0, 1))
    with torch.no_grad():
        q = sum(one(words, None)[0].exp() for one in teachers).flatten(0, 1) / 2
    gold = target.flatten()
    hard = -logp[range(10), gold]
    soft_q, soft_p = torch.softmax(q.log() / 2, -1), torch.softmax(logp / 2, -1)
    kl = 4 * (soft_q * (soft_q.log() - soft_p.log())).sum(-1)
    sure = q[range(10), gold]
    w = sure**0.5 / (sure**0.5 + (1 - sure) ** 0.5)
    best = (q.argmax(-1) == gold).float()
    a, b = {
        "ce": (1, 0),
        "kl": (0, 1),
        "fixed": (0.3, 0.7),
        "constant": (0.3, 1),
        "trust": (-0.3 * (1 - sure).log(), 1),
        "adaptive": (1 - w, w),
        "conditional": (1 - best, best),
    }[objective]
    expected = (a * hard + b * kl).mean()
    extra = 0.7 * (x**2).mean() + 0.4 * ((raw[:, 1:] - raw[:, :-1]) ** 2).mean()
    (expected + extra).backward()
    assert loss == pytest.approx(expected.item(), rel=1e-4)
    assert nll == pytest.approx(hard.mean().item(), rel=1e-4)
    for mine, p in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad, rtol=1e-3, atol=1e-6)


DROPS = dict.fromkeys(("input", "hidden", "output", "latent", "embed", "weight"), 0.4)


def test_a_pieces_loss_and_gradient_with_every_dropout(monkeypatch):
    """The same draws, once in slices of three rows and once in whole matrices; x is dropped, raw is not."""
    torch.manual_seed(0)
    model = AwdLstm(11, **(SMALL | {"layers": 2})).train()
    model.drop = dict(DROPS)
    words, target = torch.randint(11, (2, 4, 5))
    settings = LmSettings(activation=0.7, temporal=0.4)
    monkeypatch.setattr("kdasr.lm.piece.SLICE", 3 * model.experts * 11)
    torch.manual_seed(1)
    loss, nll, after = backward(model, words, target, model.zero(4), settings)
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    torch.manual_seed(1)
    x, state, raw = model.hidden(words, model.zero(4))
    hard = -model.log_probs(x.flatten(0, 1), model.latent_mask(4, 5))[range(20), target.flatten()]
    assert loss == nll == pytest.approx(hard.mean().item(), rel=1e-5)
    assert not torch.equal(x, raw) and not after[0][0].requires_grad
    torch.testing.assert_close(after, [(h.detach(), c.detach()) for h, c in state])
    extra = 0.7 * (x**2).mean() + 0.4 * ((raw[:, 1:] - raw[:, :-1]) ** 2).mean()
    (hard.mean() + extra).backward()
    for mine, p in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(mine, p.grad, rtol=1e-3, atol=1e-6)
