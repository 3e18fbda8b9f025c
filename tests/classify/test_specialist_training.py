"""Specialists trained from a generalist: how they begin, what they learn from, and what is counted."""

import pytest
import torch

from kdasr import checkpoints
from kdasr.classify import specialists
from kdasr.classify.nets import Classifier
from kdasr.classify.settings import SpecialistSettings
from kdasr.classify.specialists import Generalist, beside, read_generalist, specialist
from kdasr.errors import UserError
from kdasr.losses.specialists import confusable, corrected, oversampling, together, with_dustbin


class Points:
    """Points around the corners of a square, a class each."""

    def __init__(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.arange(count) % 4
        corners = torch.tensor([[0.0, 0.0], [0.0, 1.5], [4.0, 0.0], [4.0, 1.5]])
        self.points = corners[self.labels] + torch.randn(count, 2, generator=generator)

    def inputs(self, chosen):
        return self.points[chosen]


def asked(**changes):
    given = {
        "groups": 2,
        "temperature": 2.0,
        "best": 1,
        "epochs": 2.0,
        "rate": 0.01,
        "batch": 10,
        "seed": 3,
    }
    return SpecialistSettings(**given | changes)


def generalist(layers=1, hidden=6):
    torch.manual_seed(0)
    model = Classifier(2, hidden, layers, 4)
    torch.nn.init.normal_(model.layers[-1].weight)
    torch.nn.init.normal_(model.layers[-1].bias)
    return Generalist("g", model.state_dict(), hidden, layers, 1.0), model


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("classes", [[0, 1], [3, 1], [2]])
def test_it_begins_with_the_generalists_weights(layers, classes):
    """A rate of nearly zero: what it says of its special classes is what the generalist says of them."""
    general, model = generalist(layers)
    train = Points(40, 1)
    found = specialist(asked(rate=1e-30), general, train, classes)
    x = torch.randn(7, 2)
    assert found(x).shape == (7, len(classes) + 1)
    torch.testing.assert_close(found(x)[:, :-1], model(x)[:, classes])
    assert found.largest == general.largest


@pytest.mark.parametrize(("epochs", "batch", "count", "steps"), [(2.0, 10, 40, 8), (0.1, 10, 40, 1), (1.0, 15, 40, 3)])
def test_how_often_and_at_what_rate_it_learns(monkeypatch, epochs, batch, count, steps):
    """Half of each batch special; the rate falls from the one asked for to zero along a straight line."""
    general, _ = generalist()
    train, rates, batches = Points(count, 1), [], []
    step = torch.optim.Adam.step

    def noted(self, *more, **named):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *more, **named)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    monkeypatch.setattr(Points, "inputs", lambda self, chosen: (batches.append(chosen), self.points[chosen])[1])
    specialist(asked(epochs=epochs, batch=batch, rate=0.5), general, train, [1, 2])
    assert rates == pytest.approx([0.5 * (1 - n / steps) for n in range(steps)])
    assert all(
        len(one) == batch and torch.isin(train.labels[one], torch.tensor([1, 2])).sum() == batch // 2 for one in batches
    )
    assert len(batches) == steps


def test_it_learns():
    general, _ = generalist()
    train = Points(200, 1)
    labels = with_dustbin(train.labels, [0, 1])

    def errors(model):
        return int((model(train.points).argmax(1) != labels).sum())

    early, late = (specialist(asked(epochs=epochs, rate=0.05), general, train, [0, 1]) for epochs in (0.01, 20.0))
    assert errors(late) < 0.6 * errors(early)


@pytest.mark.parametrize("best", [1, 2])
def test_what_they_say_together_is_counted(monkeypatch, best, capsys):
    """The report's numbers from the parts, more examples than are asked at once, groups at the temperature."""
    monkeypatch.setattr(specialists, "ASKED", 7)
    general, model = generalist()
    train, test = Points(80, 1), Points(30, 2)
    seen, said = 9 * model(train.points).detach(), model(test.points).detach()
    args = asked(best=best)
    found = beside(args, general, train, seen, test, said, "o")
    torch.manual_seed(args.seed)
    groups = confusable(torch.softmax(seen / 2.0, 1).numpy(), 2, 3)
    every, errors = [], []
    for classes in groups:
        one = specialist(args, general, train, classes)
        logits = corrected(one(test.points).detach(), oversampling(torch.isin(train.labels, torch.tensor(classes))))
        every.append(logits.log_softmax(1))
        errors.append(int((logits.argmax(1) != with_dustbin(test.labels, classes)).sum()))
    q = together(said.log_softmax(1), every, groups, best)
    assert found["specialists"] == [
        {"classes": classes, "errors_with_dustbin": count} for classes, count in zip(groups, errors, strict=True)
    ]
    assert found["together"] == int((q.argmax(1) != test.labels).sum())
    assert found["alone"] == int((said.argmax(1) != test.labels).sum()) and found["tested"] == 30
    assert (found["generalist"], found["temperature"]) == ("g", 2.0)
    assert capsys.readouterr().out.count("its dustbin counted as a class") == 2
    assert found | {"cpu_seconds": 0} == beside(args, general, train, seen, test, said, "o") | {"cpu_seconds": 0}


def written(directory, **changes):
    """A model directory of a classifier, and what its record says."""
    directory.mkdir()
    general, _ = generalist(2, 6)
    torch.save(general.weights, directory / "model.pth")
    checkpoints.write_record(directory, {"label": "g", "hidden": 6, "layers": 2, **changes})
    return directory


def test_a_generalist_is_read(tmp_path):
    found = read_generalist(written(tmp_path / "g"), 255)
    assert (found.name, found.hidden, found.layers, found.largest) == ("g", 6, 2, 255)
    assert all(torch.equal(one, found.weights[name]) for name, one in generalist(2, 6)[0].weights.items())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *(
            (one, "holds weights of another network")
            for one in ({"hidden": 5}, {"hidden": 7}, {"layers": 1}, {"layers": 3})
        ),
        *((one, "is no record of a classifier") for one in ({"label": None}, {"hidden": "6"}, {"layers": 2.0})),
    ],
)
def test_a_network_that_is_not_the_records_is_refused(tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        read_generalist(written(tmp_path / "g", **changes))


def test_a_network_that_was_changed_is_refused(tmp_path):
    directory = written(tmp_path / "g")
    weights = {name: one + 1 for name, one in generalist(2, 6)[0].weights.items()}
    torch.save(weights, directory / "model.pth")
    with pytest.raises(UserError, match=r"model\.pth: was changed after the training ended"):
        read_generalist(directory)
