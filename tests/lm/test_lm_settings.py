"""Settings of language models and of their training."""

import dataclasses

import pytest
import torch

from kdasr.lm.settings import LmSettings, read_settings
from kdasr.losses.trust import trust


def test_defaults_are_those_of_the_papers_code():
    """Of Yang et al. 2018 for Penn Treebank: their command, and their program's own defaults."""
    given = {
        "drop_input": 0.4, "drop_latent": 0.29, "drop_hidden": 0.225, "drop_output": 0.4, "drop_embed": 0.1,
        "drop_weight": 0.5, "streams": 12, "rate": 20.0, "epochs": 1000, "hidden": 960, "last": 620, "embed": 280,
        "experts": 15, "layers": 3, "steps": 70, "clip": 0.25, "activation": 2.0, "temporal": 1.0,
        "weight_decay": 1.2e-6, "patience": 5,
    }  # fmt: skip
    rest = {
        "tie": True,
        "average_after": 0,
        "stop": 0,
        "objective": "trust",
        "alpha": 0.1,
        "power": 1,
        "temperature": 1,
    }
    assert dataclasses.asdict(LmSettings()) == given | rest


DROPS = ("input", "hidden", "output", "latent", "embed", "weight")
WHOLE = ("embed", "hidden", "last", "layers", "experts", "streams", "epochs")
LEAST = {  # the smallest value that may be, and one that may not
    **dict.fromkeys(WHOLE, (1, 0)),
    "steps": (5, 4),
    **dict.fromkeys(("rate", "clip", "temperature", "power"), (1e-9, 0.0)),
    **dict.fromkeys(("patience", "average_after", "stop"), (0, -1)),
    **dict.fromkeys(("weight_decay", "activation", "temporal", "alpha"), (0.0, -1e-9)),
    **dict.fromkeys((f"drop_{kind}" for kind in DROPS), (0.0, -1e-9)),
}


def test_every_number_has_a_least_value():
    from kdasr.errors import UserError

    numbers = {field.name for field in dataclasses.fields(LmSettings) if not isinstance(field.default, str | bool)}
    assert LEAST.keys() == numbers
    for name, (least, less) in LEAST.items():
        beside = ["experts=2"] if name != "experts" else ["last=280"]
        assert getattr(read_settings(None, [*beside, f"{name}={least}"]), name) == least
        with pytest.raises(UserError, match=f"--set: {name} is {less}, expected"):
            read_settings(None, [*beside, f"{name}={less}"])
    for kind in DROPS:
        assert read_settings(None, [f"drop_{kind}=0.999"])
        with pytest.raises(UserError, match=f"drop_{kind} is 1.0, expected a share from 0 to below 1"):
            read_settings(None, [f"drop_{kind}=1.0"])
    for field in dataclasses.fields(LmSettings):
        if isinstance(field.default, float):
            with pytest.raises(UserError, match=f"{field.name} is inf, expected a finite number"):
                read_settings(None, [f"{field.name}=.inf"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("hiden=5", "no setting 'hiden'; expected hidden"),
        ("hidden=big", "hidden is 'big', expected int"),
        ("drop_embed=1", "drop_embed is 1.0, expected a share"),
        ("rate=nan", "rate is nan, expected a finite number"),
        ("objective=trsut", "expected one of ce, kl"),
        ("experts=1", "with one expert, last (620) has to be embed (280)"),
        ("rate", "--set rate: expected NAME=VALUE"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, said):
    from kdasr.errors import UserError

    with pytest.raises(UserError, match=said.replace("(", r"\(").replace(")", r"\)")):
        read_settings(None, [change])


def test_settings_of_a_file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("embed: 200\nweight_decay: 1e-6\nobjective: kl\n")
    settings = read_settings(path, ["embed=100"])
    assert (settings.embed, settings.weight_decay, settings.objective) == (100, 1e-6, "kl")
    assert trust(torch.tensor([0.0]), 1.0).item() > 13
