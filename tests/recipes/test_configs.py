"""Every configuration of the recipes builds a network of the size it claims, and its training options exist."""

import argparse
from pathlib import Path

import pytest

from kdasr.asr.task import KDTask

EGS = Path(__file__).parents[2] / "egs"
CONFIGS = sorted(EGS.glob("*/conf/*.yaml"))


def parameters(config: Path) -> int:
    """Parameters of the model that a configuration describes, for WSJ's 52 characters and 80 bins."""
    tokens = ["<blank>", "<unk>", *(chr(0x100 + i) for i in range(49)), "<sos/eos>"]
    args = KDTask.get_parser().parse_args(["--config", str(config)])  # exits on an option that ESPnet has not
    args = argparse.Namespace(**{**vars(args), "token_list": tokens, "input_size": 80, "normalize": None})
    return sum(weight.numel() for weight in KDTask.build_model(args).parameters())


def test_there_are_configurations():
    assert {path.parent.parent.name for path in CONFIGS} == {"wsj", "an4"}


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_builds(config):
    assert 1e5 < parameters(config) < 1e8


@pytest.mark.parametrize(
    ("recipe", "teacher", "student"),
    [
        ("wsj", "mini_teacher", "mini_student"),
        ("wsj", "wsj_rnn_teacher", "wsj_rnn_student"),
        ("an4", "teacher", "student"),
    ],
)
def test_a_student_is_at_least_eight_times_smaller(recipe, teacher, student):
    conf = EGS / recipe / "conf"
    assert parameters(conf / f"{teacher}.yaml") > 8 * parameters(conf / f"{student}.yaml")
