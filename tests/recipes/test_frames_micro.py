"""frames.sh on minutes of synthetic speech, with tiny networks: from the recipe's data and teacher to its table."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from micro import copy_of_recipe, finish, run

from kdasr.files import read_json, read_table

pytestmark = pytest.mark.recipe
FEW = ["--train_set", "train_si284", "--aligner", "exp/teacher_tiny_s1", "--baseline_seeds", "1 2", "--groups", "2"]
FEW += ["--frames_opts", "--min_count 50 --positions 1", "--temperatures", "2", "--seeds", "1", "--share", "0.2"]
FEW += ["--model_opts", "hidden=24 layers=1", "--distil_opts", "epochs=3", "--few_opts", "epochs=3"]
FEW += ["--specialist_opts", "--epochs 0.5"]
ROWS = ("baseline", "baseline trained as long", "ensemble", "distilled", "specialist")


def frames(recipe, *words, status=0):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["./frames.sh", *FEW, *words], cwd=recipe, capture_output=True, text=True, env=environment, timeout=900
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The recipe with its teacher, after frames.sh; what that said."""
    recipe = copy_of_recipe(tmp_path_factory.mktemp("frames"))
    finish(run(recipe, "--stop_stage", "teacher", "--early_students", "false"))
    return recipe, frames(recipe)


def test_every_model_is_trained_scored_and_reported(place):
    recipe, said = place
    names = ["baseline_s1", "baseline_s2", "long_s1", "distilled_T2_s1", "hard_s1", "soft_s1"]
    assert said.count("training, log in") == len(names)
    keys = set(read_table(recipe / "data/test_eval92/text"))
    for name in [*names, "ensemble"]:
        predicted = recipe / f"exp/frames/{name}/predict_test_eval92"
        assert read_json(predicted / "predict.json")["frames"] > 1000
        assert set(read_table(predicted / "decode/text", empty=True)) <= keys
        assert (predicted / "decode/score_wer/.done").exists()
    whole = read_json(recipe / "exp/frames/baseline_s1/kdasr.json")["frames"]
    few = read_json(recipe / "exp/frames/soft_s1/kdasr.json")
    assert 0.2 * whole <= few["frames"] < 0.5 * whole and few["teachers"] == 2 and few["temperature"] == 2
    assert len(read_json(recipe / "exp/frames/specialists_s1/specialists.json")["groups"]) == 2
    text = (recipe / "exp/frames/RESULTS.md").read_text()
    assert "say nothing about WSJ" in text
    for word in (*ROWS, "./frames.sh --train_set train_si284"):
        assert word in text


def test_a_second_run_goes_on_where_it_was(place):
    recipe, _ = place
    shutil.rmtree(recipe / "exp/frames/soft_s1")
    said = frames(recipe)
    assert said.count("training, log in") == 1 and "soft_s1: training" in said
    assert "made with other settings" in frames(recipe, "--frames_opts", "--min_count 60", status=1)
    assert "./frames.sh --stage 2" in frames(recipe, "--baseline_seeds", "1 2 3", "--stage", "ensemble", status=1)
    assert "train the teacher first" in frames(recipe, "--aligner", "exp/none", status=1)
    assert "is none of --temperatures" in frames(recipe, "--main", "5", status=1)
