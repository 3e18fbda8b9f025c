"""egs/wsj from nothing to its table on minutes of synthetic speech, with tiny networks: real parts all through."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from micro import ROOT, finish, run

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import check_inference

from kdasr.files import read_json, read_table
from kdasr.targets.filters import IMPOSSIBLE

pytestmark = pytest.mark.recipe


def test_a_stage_before_its_time_is_refused(recipe):
    process = run(recipe, "--stage", "nbest")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "run stage" in output and "Traceback" not in output


def test_killed_in_training_then_whole(recipe):
    """kill -9 of everything in the middle of the teacher's training; the next run carries on to the table."""
    process = run(recipe)
    teacher = recipe / "exp" / "teacher_tiny_s1"
    deadline = time.time() + 600
    while not (teacher / "checkpoint.pth").exists():
        assert process.poll() is None and time.time() < deadline, process.communicate()[0][-4000:]
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    output = finish(run(recipe))
    assert "data: done already" in output
    table = (recipe / "exp/RESULTS.md").read_text()
    # what the recipe keeps in git is left alone
    assert (recipe / "RESULTS.md").read_bytes() == (ROOT / "egs/wsj/RESULTS.md").read_bytes()
    assert "costs:433" in table  # the signature stands beside the scores
    for label in (
        "teacher",
        "student on references",
        "student on references and pseudo-labels",
    ):
        assert label in table
    parameters = read_json(teacher / "kdasr.json")["parameters"]
    assert f"{parameters / 1e6:.2f}" in table or f"{parameters:,}" in table


def test_a_second_run_does_nothing(recipe):
    made = {path: path.stat().st_mtime_ns for path in recipe.rglob("*") if path.is_file() and "log" not in path.parts}
    output = finish(run(recipe))
    assert output.count("done already") >= 6
    changed = [
        path
        for path, when in made.items()
        if path.stat().st_mtime_ns != when and path.name not in (".lock", "report.txt")
    ]
    assert changed == []


# One of each kind: soft targets, weights of every kind, a fold, an ensemble, a student that goes on from a pruned one.
RECIPES = "pseudo_word mix crossfit ensemble all_three prune80"


def test_every_kind_of_objective_trains(recipe):
    """On real parts, to the table; the pruned student has as many zeros as it should."""
    output = finish(run(recipe, "--students", RECIPES, "--decode_tags", "beam", "--ppl", "true", "--nj", "2"))
    table = (recipe / "exp/RESULTS.md").read_text()
    for name in [*RECIPES.split(), "seq_k1_b5", "prune80_seq"]:
        record = read_json(recipe / "exp" / f"student_tiny_{name}_s1" / "kdasr.json")
        assert record["label"] in table, output[-2000:]
    pruned = read_json(recipe / "exp" / "student_tiny_prune80_s1" / "kdasr.json")
    assert 0.15 < pruned["non_zero"] / pruned["parameters"] < 0.3
    assert "p(t = ŷ)" in table
    weights = read_table(recipe / "exp" / "teacher_tiny_s1" / "targets_mix" / "weights")
    assert all(abs(sum(map(float, row.split())) - 1) < 1e-5 for row in weights.values())


@pytest.mark.parametrize(
    "model",
    ["teacher_tiny_s1", "student_tiny_refs_s1", "student_tiny_pseudo_word_s1", "student_tiny_prune80_s1"],
)
def test_stock_espnet_decodes_the_same(recipe, model, tmp_path, monkeypatch):
    """espnet2.bin.asr_inference on our checkpoints: kdasr's own networks once registered, stock ones as they are.

    A network so little trained does not know where to end, and CTC allows none of what it finds: scores of -3e9, where
    ESPnet's float32 tells no two apart. With three tokens to ten encoded frames at most, CTC allows them all.
    """
    monkeypatch.chdir(recipe)
    given = (Path("exp") / model, Path("dump/fbank/test_eval92"))
    options = {"beam": 2, "ctc_weight": 0.3, "maxlenratio": 0.3}
    ours = check_inference.kdasr_decode(*given, tmp_path / "decode", **options)
    theirs = check_inference.stock_decode(*given, tmp_path / "espnet", **options)
    scores = read_table(tmp_path / "decode" / "score")
    assert len(scores) >= 20 and all(float(score) > IMPOSSIBLE for score in scores.values())
    assert theirs == ours
