"""Settings of classifiers of images, and the networks of the recipe's configurations."""

import pytest
from commands import MNIST
from image_settings import read_settings

from kdasr.classify.nets import Classifier
from kdasr.errors import UserError


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
    conf = MNIST / "conf"
    found = read_settings(conf / f"{name}.yaml", [])
    assert sum(one.numel() for one in Classifier(784, found.hidden, found.layers, 10).parameters()) == parameters
    regularised = [found.drop_hidden, found.max_norm, found.jitter]
    assert all(regularised) if name == "teacher" else not any(regularised)
    small = read_settings(conf / f"digits_{name}.yaml", [])
    assert small.layers == 2 and small.hidden < found.hidden
