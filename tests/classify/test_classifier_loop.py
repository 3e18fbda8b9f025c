"""Training with a judge: the weights of the best epoch are kept, through a kill, too."""

import copy
import dataclasses

import pytest
import torch

from kdasr.classify import loop as training
from kdasr.classify.nets import Classifier
from kdasr.classify.settings import NetSettings
from kdasr.errors import UserError

SETTINGS = NetSettings(hidden=4, layers=1, epochs=5, batch=10, rate=0.05, warmup=0.0)


def begun(out, verdicts, seen):
    """A loop on random examples whose judge says `verdicts` in turn, and notes the weights that it saw."""
    torch.manual_seed(2)
    examples, labels = torch.randn(40, 3), torch.arange(40) % 2
    model = Classifier(3, 4, 1, 2)

    def judge():
        seen.append(model.layers[0].weight.detach().clone())
        return verdicts[len(seen) - 1]

    return training.Loop(model, SETTINGS, lambda chosen: examples[chosen], labels, None, out, judge)


def test_the_best_epoch_is_kept(tmp_path):
    seen = []
    loop = begun(tmp_path, [0.1, 0.7, 0.3, 0.7, 0.2], seen)
    loop.run()
    assert loop.best[:2] == (2, 0.7)  # the first of equals
    assert torch.equal(loop.model.layers[0].weight.detach(), seen[1])
    assert not torch.equal(seen[1], seen[3])


def test_a_killed_run_remembers_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SAVE_SECONDS", -1)
    seen, verdicts = [], [0.1, 0.7, 0.3, 0.5, 0.2]
    first = begun(tmp_path, verdicts, seen)
    plain = first.set_rate

    def killed(done):
        if first.epoch == 3:
            raise KeyboardInterrupt
        plain(done)

    monkeypatch.setattr(first, "set_rate", killed)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert len(seen) == 3
    again = begun(tmp_path, verdicts, seen)
    again.run()
    assert len(seen) == 5 and again.best[:2] == (2, 0.7)
    assert torch.equal(again.model.layers[0].weight.detach(), seen[1])


def taught(out, soft=None, **changes):
    """A loop on 23 random examples, its last batch smaller, whose model and order are always the same."""
    torch.manual_seed(4)
    settings = dataclasses.replace(SETTINGS, epochs=3, batch=10, warmup=0.25, **changes)
    examples, labels, model = torch.randn(23, 3), torch.randint(2, (23,)), Classifier(3, 4, 2, 2)
    torch.nn.init.normal_(model.layers[-1].weight)
    torch.manual_seed(5)
    return training.Loop(model, settings, lambda chosen: examples[chosen], labels, soft, out), examples


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 3.0, "soft_weight": 0.7}, {"drop_input": 0.4, "drop_hidden": 0.5}]
)
def test_an_update_is_the_mean_loss_of_its_examples(tmp_path, settings):
    """(1 - a) CE + a T^2 KL of each example by its own number, learnt from by gradient; then the bound."""
    soft = torch.randn(23, 2).log_softmax(1) if "temperature" in settings else None
    loop, examples = taught(tmp_path, soft, max_norm=0.8, **settings)
    model = copy.deepcopy(loop.model)
    chosen = torch.tensor([20, 3, 11, 7])
    torch.manual_seed(6)
    found = loop.update(chosen)
    torch.manual_seed(6)
    logits = model(examples[chosen], settings.get("drop_input", 0.0), settings.get("drop_hidden", 0.0))
    losses = []
    for row, number in zip(logits, chosen.tolist(), strict=True):
        loss = -row.log_softmax(0)[loop.labels[number]]
        if soft is not None:
            q, p = (soft[number] / 3).softmax(0), (row / 3).softmax(0)
            loss = 0.3 * loss + 0.7 * 9 * (q * (q / p).log()).sum()
        losses.append(loss)
    expected = sum(losses) / 4
    assert found == pytest.approx(expected.item(), rel=1e-5)
    expected.backward()
    for one, other in zip(loop.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)
    for layer in loop.model.layers[:-1]:
        assert layer.weight.norm(dim=1).max() <= 0.8 + 1e-6
    free, _ = taught(tmp_path / "free", soft, **settings)
    free.update(chosen)
    assert max(layer.weight.norm(dim=1).max() for layer in free.model.layers[:-1]) > 0.9


def test_each_epoch_sees_every_example_once_and_the_rate_goes_on(tmp_path, monkeypatch):
    loop, _ = taught(tmp_path)
    seen, done = [], []
    update, set_rate = loop.update, loop.set_rate
    monkeypatch.setattr(loop, "update", lambda chosen: (seen.append(chosen.tolist()), update(chosen))[1])
    monkeypatch.setattr(loop, "set_rate", lambda share: (done.append(share), set_rate(share))[1])
    assert loop.optimizer.defaults["betas"] == (0.9, 0.99)
    loop.run()
    assert [len(one) for one in seen] == [8, 8, 7] * 3  # of 23 in batches of 10 at most
    for epoch in range(3):
        assert sorted(one for batch in seen[3 * epoch : 3 * epoch + 3] for one in batch) == list(range(23))
    assert seen[:3] != seen[3:6] and done == pytest.approx([n / 9 for n in range(9)])
    assert loop.epoch == 3 and loop.seconds > 0 and not loop.model.training


@pytest.mark.parametrize(
    ("warmup", "rates"),
    [(0.0, [1, 0.75, 0.5, 0.01]), (0.5, [0.01, 0.5, 1, 0.01]), (1.0, [0.01, 0.25, 0.5, 0.999])],
)
def test_the_rate_by_hand(tmp_path, warmup, rates):
    torch.manual_seed(4)
    settings = dataclasses.replace(SETTINGS, rate=2.0, warmup=warmup)
    loop = training.Loop(Classifier(3, 4, 1, 2), settings, None, torch.zeros(3), None, tmp_path)
    found = []
    for done in (0.0, 0.25, 0.5, 0.999):
        loop.set_rate(done)
        found.append(loop.optimizer.param_groups[0]["lr"] / 2.0)
    assert found == pytest.approx(rates)


@pytest.mark.parametrize("epoch", [1, 2])
def test_taken_up_from_a_checkpoint_it_is_the_same_training(tmp_path, monkeypatch, epoch):
    """Weights, moments, order, dropout: after a kill in any epoch as if there had been none; seconds are added up."""
    changes = {"drop_hidden": 0.5, "max_norm": 1.0}
    whole, _ = taught(tmp_path / "whole", **changes)
    whole.run()
    monkeypatch.setattr(training, "SAVE_SECONDS", -1)
    first, _ = taught(tmp_path / "killed", **changes)
    set_rate = first.set_rate

    def killed(done):
        if first.epoch == epoch:
            raise KeyboardInterrupt
        set_rate(done)

    monkeypatch.setattr(first, "set_rate", killed)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    again, _ = taught(tmp_path / "killed", **changes)
    assert again.epoch == epoch and again.seconds == first.seconds > 0
    again.seconds += 1000
    again.run()
    assert again.epoch == 3 and again.seconds > 1000 + first.seconds
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_checkpoints_are_as_far_apart_as_they_should_be(tmp_path, monkeypatch):
    assert 10 <= training.SAVE_SECONDS <= 300
    for seconds, expected in ((-1, 3), (1000, 0)):
        monkeypatch.setattr(training, "SAVE_SECONDS", seconds)
        loop, _ = taught(tmp_path / str(seconds))
        saves = []
        monkeypatch.setattr(loop, "save", lambda saves=saves: saves.append(1))
        loop.run()
        assert len(saves) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_it(tmp_path, value):
    loop, examples = taught(tmp_path)
    before = copy.deepcopy(loop.model.state_dict())
    examples[3, 1] = value
    with pytest.raises(
        UserError, match=r"the loss is (nan|inf) in epoch 1; train with a lower rate \(--set rate=0.025\)"
    ):
        loop.update(torch.tensor([3, 4]))
    assert all(torch.equal(one, before[name]) for name, one in loop.model.state_dict().items())
