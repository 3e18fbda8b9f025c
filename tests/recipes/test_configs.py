"""Every configuration of the recipes builds a network of the size it claims, and its training options exist."""

import argparse
import re
from pathlib import Path

import pytest
import torch
import yaml

from kdasr.asr.task import KDTask
from kdasr.asr.translation_task import KDTranslationTask
from kdasr.frames.settings import read_settings as read_frame_settings
from kdasr.lm.settings import read_settings
from kdasr.networks.awd import AwdLstm

EGS = Path(__file__).parents[2] / "egs"
LMS = {*EGS.glob("ptb/conf/*.yaml"), *EGS.glob("*/conf/*lm_*.yaml")}  # configurations of language models
IMAGES = {*EGS.glob("mnist/conf/*.yaml")}  # of classifiers of images
FRAMES = {*EGS.glob("*/conf/frames.yaml")}  # of framewise acoustic models
TRANSLATION = ("multi30k",)  # recipes of translators
STUDENTS = {*EGS.glob("*/conf/students/*.yaml")}  # recipes, no configurations
CONFIGS = sorted({*EGS.glob("*/conf/*.yaml"), *EGS.glob("*/conf/*/*.yaml")} - STUDENTS - LMS - IMAGES - FRAMES)


def parameters(config: Path) -> int:
    """Parameters of the model that a configuration describes.

    For WSJ's 52 characters and the bins it is made for, or 4,000 tokens of the text that is translated.
    """
    if config.parents[1].name in TRANSLATION:
        tokens = ["<blank>", "<unk>", *(chr(0x1000 + i) for i in range(3997)), "<sos/eos>"]
        args = KDTranslationTask.get_parser().parse_args(["--config", str(config)])
        args = argparse.Namespace(**{**vars(args), "token_list": tokens, "src_token_list": tokens})
        return sum(weight.numel() for weight in KDTranslationTask.build_model(args).parameters())
    tokens = ["<blank>", "<unk>", *(chr(0x100 + i) for i in range(49)), "<sos/eos>"]
    args = KDTask.get_parser().parse_args(["--config", str(config)])  # exits on an option that ESPnet has not
    bins = 161 if config.parent.name == "munim2018" else 80
    args = argparse.Namespace(**{**vars(args), "token_list": tokens, "input_size": bins, "normalize": None})
    return sum(weight.numel() for weight in KDTask.build_model(args).parameters())


def test_there_are_configurations():
    assert {path.relative_to(EGS).parts[0] for path in CONFIGS} >= {"wsj", "an4", "librispeech"}
    assert {path.stem for path in CONFIGS if path.parent.name == "munim2018"} == {
        "teacher",
        "student_mid",
        "student_small",
    }


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: str(path.relative_to(EGS).with_suffix("")))
def test_builds(config):
    assert 1e5 < parameters(config) < 1e8


def test_framewise_models_are_what_their_configurations_say():
    """Three layers of 256 units, and soft targets that count twice what the labels count, in both recipes."""
    assert {path.parts[-3] for path in FRAMES} >= {"wsj", "an4"}
    for path in FRAMES:
        found = read_frame_settings(path, [])
        assert (found.hidden, found.layers, found.temperature) == (256, 3, 2.0)
        assert found.soft_weight == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.parametrize(
    ("recipe", "teacher", "student"),
    [
        ("wsj", "mini_teacher", "mini_student"),
        ("wsj", "wsj_rnn_teacher", "wsj_rnn_student"),
        ("wsj", "munim2018/teacher", "munim2018/student_small"),
        ("an4", "teacher", "student"),
        ("librispeech", "teacher", "student"),
    ],
)
def test_a_student_is_at_least_eight_times_smaller(recipe, teacher, student):
    conf = EGS / recipe / "conf"
    assert parameters(conf / f"{teacher}.yaml") > 8 * parameters(conf / f"{student}.yaml")


def test_a_student_translates_with_a_sixth_to_a_tenth_of_its_teacher_s_parameters():
    conf = EGS / "multi30k/conf"
    assert 6 < parameters(conf / "teacher.yaml") / parameters(conf / "student.yaml") < 10
    student = parameters(conf / "student.yaml")
    assert parameters(conf / "fine_tune.yaml") == parameters(conf / "long_student.yaml") == student
    assert 15 < parameters(conf / "teacher.yaml") / parameters(conf / "small_student.yaml") < 17
    assert parameters(conf / "small_fine_tune.yaml") == parameters(conf / "small_student.yaml")
    assert parameters(conf / "teacher_fine_tune.yaml") == parameters(conf / "teacher.yaml")


SIZES = {  # words, and millions of parameters; Shi et al. 2019, sections 3.1 and 4, and our own small ones
    "ptb/conf/teacher": (10_001, 21.5),
    "ptb/conf/student": (10_001, 7.0),
    "ptb/conf/small_teacher": (680, 0.2255),
    "ptb/conf/small_student": (680, 0.0726),
    "wsj/conf/wsj_lm_teacher": (40_001, 64.9),
    "wsj/conf/wsj_lm_student": (40_001, 12.0),
    "wsj/conf/mini_lm_teacher": (680, 0.2255),
    "wsj/conf/mini_lm_student": (680, 0.0395),
    "an4/conf/lm_teacher": (100, 0.1120),
    "an4/conf/lm_student": (100, 0.0149),
}


@pytest.mark.parametrize("name", SIZES)
def test_language_models_have_the_sizes_they_claim(name):
    vocabulary, millions = SIZES[name]
    settings = read_settings(EGS / f"{name}.yaml", [])
    with torch.device("meta"):
        model = AwdLstm(vocabulary, **settings.network)
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_all_configurations_of_language_models_are_among_them():
    assert {str(path.relative_to(EGS).with_suffix("")) for path in LMS} == set(SIZES)


RECIPES = sorted({*(EGS.parent / "utils/students").glob("*.yaml")} | STUDENTS)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parents[2].name}/{path.stem}")
def test_the_numbers_in_a_recipes_name_and_label_are_those_of_its_settings(path):
    recipe = yaml.safe_load(path.read_text())
    if "prune" in recipe:
        percent = f"{100 * recipe['prune']['sparsity']:g}"
        assert path.stem.startswith(f"prune{percent}_") and f" {percent} %" in recipe["label"]
        assert re.findall(r"(\d+) % of the weights", path.read_text())[:1] in ([], [percent])
    if found := re.fullmatch(r"seq_k(\d+)_b(\d+)", path.stem):
        k, beam = map(int, found.groups())
        assert (recipe["selection"], recipe["beam"]) == ({"select": "topk", "k": k}, beam) and recipe["nbest"] >= k
        assert recipe["label"] == f"Seq-KD, k {k}, beam {beam}"
    if found := re.fullmatch(r"\w+_k(\d+)", path.stem):
        assert recipe["selection"]["k"] == int(found[1])
