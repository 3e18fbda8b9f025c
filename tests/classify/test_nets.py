"""The classifier: dropout by batches against the masked product, the bound, the shifts."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from kdasr.classify.nets import Classifier, logits_of
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
