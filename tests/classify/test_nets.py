"""The classifier: dropout by batches against the masked product, the bound, the shifts."""

import argparse
import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from kdasr.classify.nets import AT_ONCE, Classifier, _kept, logits_of
from kdasr.classify.settings import NetSettings, add_specialist_arguments, check_specialist_arguments
from kdasr.classify.settings import read_settings as read_checked
from kdasr.errors import UserError
from kdasr.images.data import Images, shifts
from kdasr.images.settings import read_settings


def test_dropout_by_batches_is_a_masked_network():
    """Left-out rows and columns give what zeros in their places give, gradients too."""
    model = Classifier(12, 8, 2, 10, 255)
    torch.nn.init.normal_(model.layers[-1].weight)
    images = torch.randint(256, (5, 12), dtype=torch.uint8)
    torch.manual_seed(3)
    found = model(images, 0.25, 0.5)
    found.square().sum().backward()
    gradients = [weight.grad.clone() for weight in model.parameters()]
    torch.manual_seed(3)
    masks = []
    for units, kept in ((12, 9), (8, 4), (8, 4)):
        mask = torch.zeros(units)
        mask[torch.randperm(units)[:kept]] = units / kept
        masks.append(mask)
    model.zero_grad()
    x = images / 255 * masks[0]
    for layer, mask in zip(model.layers[:-1], masks[1:], strict=True):
        x = F.relu(layer(x)) * mask
    expected = model.layers[-1](x)
    expected.square().sum().backward()
    torch.testing.assert_close(found, expected)
    for one, other in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad)


def test_without_dropout_nothing_is_random():
    model = Classifier(9, 7, 1, 10, 255)
    images = torch.randint(256, (2500, 3, 3), dtype=torch.uint8)
    every = logits_of(model, Images(images, torch.zeros(2500)).inputs, 2500)
    assert every.shape == (2500, 10)
    torch.testing.assert_close(every[1700:1701], model(images[1700:1701].flatten(1)).detach())


def test_the_bound_shortens_long_vectors_only():
    model = Classifier(2, 3, 1, 10)
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, -2.0]]))
        last = model.layers[1].weight.clone()
    model.bound(1.0)
    torch.testing.assert_close(model.layers[0].weight.detach(), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, -1.0]]))
    assert torch.equal(model.layers[1].weight, last)  # its units are no hidden ones


def test_shifts_by_hand():
    image = torch.tensor([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], dtype=torch.uint8)
    moved = shifts(image, 1)
    assert moved.shape == (2, 3, 3, 2, 2)
    assert torch.equal(moved[:, 1, 1], image)
    assert moved[0, 0, 1].tolist() == [[0, 0], [1, 2]]  # what was above comes in: the image goes down
    assert moved[0, 1, 2].tolist() == [[2, 0], [4, 0]]
    assert moved[1, 2, 0].tolist() == [[0, 7], [0, 0]]
    assert torch.equal(shifts(image, 0)[:, 0, 0], image)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("hiden=3", "no setting 'hiden'; expected hidden"),
        ("hidden=3.5", "hidden is 3.5, expected int"),
        ("hidden=0", "expected 1 or more"),
        ("temperature=0", "expected a number above 0"),
        ("drop_hidden=1", "to below 1"),
        ("soft_weight=1.5", "expected a share from 0 to 1"),
        ("jitter=-1", "expected 0 or more"),
        ("rate=.nan", "expected a finite number"),
        ("epochs", "expected NAME=VALUE"),
    ],
)
def test_settings_that_cannot_be(change, said):
    with pytest.raises(UserError, match=said):
        read_settings(None, [change])


def test_settings_from_a_file(tmp_path):
    (tmp_path / "conf.yaml").write_text("hidden: 30\nrate: 1e-2\n")
    found = read_settings(tmp_path / "conf.yaml", ["hidden=40", "temperature=2"])
    assert (found.hidden, found.rate, found.temperature, found.layers) == (40, 0.01, 2.0, 2)
    for text, said in (("- a\n", "expected lines `name: value`; see conf/ of egs/mnist"), ("a: [\n", "is not YAML")):
        (tmp_path / "conf.yaml").write_text(text)
        with pytest.raises(UserError, match=said):
            read_settings(tmp_path / "conf.yaml", [])


@pytest.mark.parametrize(("name", "parameters"), [("teacher", 2_395_210), ("student", 1_276_810)])
def test_the_recipes_networks_are_the_papers(name, parameters):
    """Two hidden layers of 1200 and of 800 units on 784 pixels; only the teacher is regularised."""
    conf = Path(__file__).parents[2] / "egs/mnist/conf"
    found = read_settings(conf / f"{name}.yaml", [])
    assert sum(one.numel() for one in Classifier(784, found.hidden, found.layers, 10).parameters()) == parameters
    regularised = [found.drop_hidden, found.max_norm, found.jitter]
    assert all(regularised) if name == "teacher" else not any(regularised)
    small = read_settings(conf / f"digits_{name}.yaml", [])
    assert small.layers == 2 and small.hidden < found.hidden


@pytest.mark.parametrize(
    ("units", "drop", "kept"), [(8, 0.5, 4), (10, 0.25, 8), (3, 0.99, 1), (1, 0.9, 1), (5, 0.1, 4)]
)
def test_how_many_units_are_kept(units, drop, kept):
    found = _kept(units, drop)
    assert len(found) == len(found.unique()) == kept and found.max() < units


def test_all_but_one_unit_left_out_still_gives_numbers():
    model = Classifier(2, 2, 2, 3)
    assert torch.isfinite(model(torch.randn(4, 2), 0.9, 0.9)).all()


def test_what_is_divided_and_the_first_weights():
    model = Classifier(4, 500, 1, 3, 255)
    x = torch.randint(256, (6, 4), dtype=torch.uint8)
    expected = model.layers[1](F.relu(model.layers[0](x.float() / 255)))
    torch.testing.assert_close(model(x), expected)
    assert Classifier(4, 5, 1, 3).largest == 1.0
    assert model.layers[0].weight.std().item() == pytest.approx((2 / 4) ** 0.5, rel=0.1)
    assert model.layers[1].weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert all((layer.bias == 0).all() for layer in model.layers)


@pytest.mark.parametrize("count", [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 3])
def test_every_example_is_answered(count):
    model, x = Classifier(3, 4, 1, 2), torch.randn(count, 3)
    torch.testing.assert_close(logits_of(model, lambda chosen: x[chosen], count), model(x).detach())


def test_the_bound_keeps_a_vector_of_zeros():
    model = Classifier(2, 3, 2, 2)
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.tensor([[0.0, 0.0], [6.0, 8.0], [1.2, 1.6]]))
        model.layers[1].weight.fill_(5.0)
    model.bound(2.0)
    torch.testing.assert_close(model.layers[0].weight.detach(), torch.tensor([[0.0, 0.0], [1.2, 1.6], [1.2, 1.6]]))
    torch.testing.assert_close(model.layers[1].weight.norm(dim=1).detach(), torch.full((3,), 2.0))


# value: whether it may be
WHOLE = {1: True, 0: False, -1: False}
ABOVE = {1e-9: True, 0.0: False, -1.0: False, math.inf: False, math.nan: False}
DROPPED = {0.0: True, 0.999: True, 1.0: False, -0.1: False, math.nan: False}
SHARES = {0.0: True, 1.0: True, 1.001: False, -0.001: False, math.nan: False}
EDGES = {
    "hidden": WHOLE, "layers": WHOLE, "epochs": WHOLE, "batch": WHOLE, "rate": ABOVE, "temperature": ABOVE,
    "drop_input": DROPPED, "drop_hidden": DROPPED, "warmup": SHARES, "soft_weight": SHARES,
    "max_norm": {0.0: True, 5.0: True, -1e-9: False, math.inf: False},
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edges_of_every_setting(name):
    assert EDGES.keys() == {field.name for field in dataclasses.fields(NetSettings)}
    for value, right in EDGES[name].items():
        change = [f"{name}={f'.{value}' if not math.isfinite(value) else value}"]
        if right:
            assert getattr(read_checked(NetSettings, None, change, "conf/"), name) == value
        else:
            with pytest.raises(UserError, match=f"--set: {name} is "):
                read_checked(NetSettings, None, change, "conf/")


SPECIALISTS = {
    "groups": {1: True, 0: False}, "best": {1: True, 0: False}, "batch": {2: True, 1: False},
    "seed": {0: True, -1: False},
    "epochs": {0.1: True, 0: False, -1: False}, "temperature": {0.1: True, 0: False}, "rate": {1e-9: True, 0: False},
}  # fmt: skip


@pytest.mark.parametrize("name", SPECIALISTS)
def test_edges_of_every_option_of_specialists(name):
    parser = argparse.ArgumentParser()
    add_specialist_arguments(parser)
    assert vars(parser.parse_args([])) == {
        "groups": 3, "temperature": 4.0, "best": 1, "epochs": 5.0, "rate": 5e-4, "batch": 250, "seed": 1,
    }  # fmt: skip
    assert SPECIALISTS.keys() == vars(parser.parse_args([])).keys()
    for value, right in SPECIALISTS[name].items():
        args = parser.parse_args([f"--{name}={value}"])
        if right:
            check_specialist_arguments(args)
        else:
            with pytest.raises(UserError, match="--groups, --best: expected 1 or more; --batch: 2"):
                check_specialist_arguments(args)
