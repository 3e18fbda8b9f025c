"""kd_conf: what it may hold."""

import argparse
import dataclasses
import math

import pytest
import torch
from espnet2.asr.espnet_model import ESPnetASRModel

from kdasr.asr.settings import Distillation, read_settings
from kdasr.errors import UserError


def test_nothing_given_is_no_distillation():
    assert read_settings(None) == read_settings({}) == Distillation()
    assert not Distillation().soft


def test_values_are_taken():
    conf = {"word_weight": 1, "temperature": 2, "teachers": "exp/t", "ensemble_weights": [1], "mask": None}
    found = read_settings(conf)
    assert found == Distillation(word_weight=1.0, temperature=2.0, teachers=("exp/t",), ensemble_weights=(1,))
    assert found.soft
    assert read_settings({"inter_layers": 2}) == read_settings({"inter_layers": [2]}) == Distillation(inter_layers=(2,))


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"word_wieght": 0.5}, "no setting 'word_wieght'; expected word_weight"),
        ({"word_weight": 1.5}, "word_weight is 1.5, expected a share from 0 to 1"),
        ({"word_weight": "half"}, "word_weight is 'half', expected a number"),
        ({"word_weight": True}, "expected a number"),
        ({"temperature": 0}, "expected a number above 0"),
        ({"divergence": "hellinger"}, "expected one of kl, reverse_kl, js, tv"),
        ({"soft_k": -1}, "expected 0"),
        ({"soft_k": 2.5}, "expected a int"),
        ({"ensemble": "harmonic"}, "expected arithmetic or geometric"),
        ({"teachers": ["a", "b"], "ensemble_weights": [0.5, 0.4]}, "summing to 1"),
        ({"teachers": ["a"], "ensemble_weights": [0.5, 0.5]}, "for each of teachers"),
        ({"ctc_hyps": "first"}, "expected all or best"),
    ],
)
def test_what_is_wrong_is_said(conf, said):
    with pytest.raises(UserError, match="kd_conf") as error:
        read_settings(conf)
    assert said in str(error.value)


def test_the_defaults():
    """No distillation; where there is some, KL at a temperature of one on all tokens, teachers alike."""
    assert dataclasses.asdict(Distillation()) == {
        "word_weight": 0.0, "temperature": 1.0, "divergence": "kl", "soft_k": 0, "teachers": (),
        "ensemble": "arithmetic", "ensemble_weights": (), "ctc_word_weight": 0.0, "ctc_hyps": "all", "mask": "",
        "targets": "", "teacher": "", "teacher_frames": (), "student_frames": (),
        "risk_weight": 0.0, "risk_beam": 4, "risk_cost": "words", "risk_alpha": 1.0, "risk_maxlenratio": 0.0,
        "cr_weight": 0.0, "cr_time_masks": 1.0, "inter_weight": 0.0, "inter_layers": (),
    }  # fmt: skip


TEACHERS = {"teachers": ["a", "b"]}
# value: whether it may be
EDGES = {
    "word_weight": {0: True, 1: True, 0.5: True, -1e-9: False, 1.0000001: False, math.nan: False},
    "ctc_word_weight": {0: True, 1: True, 0.5: True, -1e-9: False, 1.0000001: False, math.nan: False},
    "inter_weight": {0: True, 1: True, 0.3: True, -1e-9: False, 1.0000001: False, math.nan: False},
    "inter_layers": {(): True, (1,): True, (1, 3): True, (0,): False, (1, -1): False, (2.0,): False},
    "cr_weight": {0: True, 0.2: True, 7: True, -1e-9: False, math.inf: False, math.nan: False, True: False},
    "cr_time_masks": {0.5: True, 2.5: True, 0: False, -1: False, math.inf: False, math.nan: False},
    "risk_weight": {0: True, 1: True, 0.99: True, -1e-9: False, 1.0000001: False, math.nan: False},
    "risk_beam": {2: True, 35: True, 1: False, 0: False, 4.0: False},
    "risk_cost": {"words": True, "bleu": True, "errors": False, "": False},
    "risk_alpha": {1e-9: True, 5: True, 0: False, -1: False, math.inf: False, math.nan: False},
    "risk_maxlenratio": {
        0: True, 0.5: True, 2: True, -1: True, -50: True, -0.5: False, math.inf: False, math.nan: False,
    },
    "temperature": {1e-9: True, 100: True, 0: False, -1: False, math.nan: False},
    "divergence": {**dict.fromkeys(("kl", "reverse_kl", "js", "tv"), True), "KL": False, "": False},
    "soft_k": {0: True, 1: True, 10**6: True, -1: False, 2.0: False, "3": False},
    "ensemble": {"arithmetic": True, "geometric": True, "harmonic": False},
    "ctc_hyps": {"all": True, "best": True, "first": False},
    "ensemble_weights": {
        (): True, (0.5, 0.5): True, (0.25, 0.75): True, (1, 0): False, (0.4, 0.5): False, (0.6, 0.5): False,
        (1.0,): False, (0.2, 0.3, 0.5): False, (1.5, -0.5): False, (0.50005, 0.5): True, (0.4999, 0.4999): False,
    },
    "teacher_frames": {
        (): True, (680.0, 640, 16000): True, (-0.5, 0.5, 0): True, (1.0, 0, 16000): False, (1.0, 1.0): False,
        (1.0, 1.0, -1): False, ("1", 1.0, 1): False, (1.0, 1.0, 1, 1): False,
    },
    "student_frames": {(): True, (0.0, 4.0, 0): True, (1.0, -1.0, 16000): False, (True, 1.0, 1): False},
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_edges_of_every_setting(name):
    assert EDGES.keys() == {f.name for f in dataclasses.fields(Distillation)} - {
        "teachers",
        "mask",
        "targets",
        "teacher",
    }
    for value, right in EDGES[name].items():
        if right:
            assert getattr(read_settings(TEACHERS | {name: value}), name) == value
        else:
            with pytest.raises(UserError, match=f"kd_conf: {name} is "):
                read_settings(TEACHERS | {name: value})


def test_either_weight_looks_at_distributions():
    assert [Distillation(**one).soft for one in ({"word_weight": 0.1}, {"ctc_word_weight": 0.1}, {"soft_k": 3})] == [
        True, True, False,
    ]  # fmt: skip


def test_terms_of_ours_need_our_loss():
    ours = [{name: 0.1} for name in ("word_weight", "ctc_word_weight", "risk_weight", "cr_weight", "inter_weight")]
    assert [Distillation(**one).own_loss for one in (*ours, {"risk_beam": 2}, {})] == [True] * 5 + [False] * 2
    assert not Distillation(risk_weight=1.0).soft  # it looks at no distribution of a teacher


class Other(ESPnetASRModel):
    """A model of a kind of its own, which computes its loss itself."""


@pytest.mark.parametrize("name", ["word_weight", "ctc_word_weight", "ctc_hyps", "soft_k", "mask", "targets", "teacher"])
def test_a_model_of_another_kind_takes_a_mask_and_no_distillation(tmp_path, monkeypatch, name):
    from kdasr.asr.task import KDTask
    from kdasr.prune.mask import prunable

    def built(cls, args):
        model = Other.__new__(Other)
        torch.nn.Module.__init__(model)
        model.part = torch.nn.Linear(2, 2)
        return model

    monkeypatch.setattr(KDTask.stock, "build_model", classmethod(built))
    kept = torch.tensor([[True, False], [False, True]])
    torch.save({"part.weight": kept}, tmp_path / "mask.pth")
    value = {"ctc_hyps": "best", "soft_k": 2, "mask": str(tmp_path / "mask.pth")}.get(name)
    value = (0.5 if "weight" in name else "x") if value is None else value
    args = argparse.Namespace(kd_conf={name: value}, cpu_bf16=False)
    if name in ("mask", "targets", "teacher"):
        model = KDTask.build_model(args)
        assert type(model) is Other
        assert torch.equal(prunable(model)["part.weight"] != 0, kept) == (name == "mask")
    else:
        with pytest.raises(UserError, match="a Other cannot be distilled so; use `model: espnet`"):
            KDTask.build_model(args)
