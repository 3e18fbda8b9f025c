"""Training with a judge: the weights of the best epoch are kept, through a kill, too."""

import pytest
import torch

from kdasr.classify import loop as training
from kdasr.classify.nets import Classifier
from kdasr.classify.settings import NetSettings

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
