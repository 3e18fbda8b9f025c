"""The classifier: dropout by batches against the masked product, the bound, and edges of settings."""

import argparse
import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from kdasr.bin.specialist_arguments import add_specialist_arguments, specialist_settings
from kdasr.classify.nets import AT_ONCE, Classifier, _kept, logits_of
from kdasr.classify.settings import RANGES, NetSettings
from kdasr.errors import UserError
from kdasr.settings import read


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
    every = logits_of(model, lambda chosen: images[chosen].flatten(1), 2500)
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
            assert getattr(read(NetSettings, None, change, "conf/", RANGES), name) == value
        else:
            with pytest.raises(UserError, match=f"--set: {name} is "):
                read(NetSettings, None, change, "conf/", RANGES)


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
            specialist_settings(args).check()
        else:
            with pytest.raises(UserError, match="--groups, --best: expected 1 or more; --batch: 2"):
                specialist_settings(args).check()
