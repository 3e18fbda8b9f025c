"""egs/librispeech on a few dozen made utterances in LibriSpeech's layout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_corpora import librispeech

from kdasr.files import read_json, read_table

ROOT = Path(__file__).parents[2]
TINY = ["--teacher_config", "conf/tiny.yaml", "--student_configs", "conf/tiny.yaml", "--speed", ""]
FULL = ["train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "dev-other", "test-clean", "test-other"]


@pytest.fixture
def recipe(tmp_path):
    """A copy of egs/librispeech beside utils."""
    (tmp_path / "egs").mkdir()
    (tmp_path / "utils").symlink_to(ROOT / "utils")
    place = tmp_path / "egs/librispeech"
    shutil.copytree(ROOT / "egs/librispeech", place, ignore=shutil.ignore_patterns("data", "dump", "exp"))
    return place


def run(recipe, *words, status=0, script="run.sh"):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [recipe / script, *map(str, words)]
    done = subprocess.run(command, cwd=recipe, capture_output=True, text=True, env=environment, timeout=1800)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def readers(directory):
    return {speaker.partition("-")[0] for speaker in read_table(directory / "utt2spk").values()}


def test_the_corpus_becomes_features_and_the_plan_has_its_students(recipe, tmp_path):
    corpus = librispeech(tmp_path / "LibriSpeech", readers=("84", "1272", "3"))
    run(recipe, "--librispeech", corpus, *TINY, "--stop_stage", "2")
    # 12720 is the first of 12720, 30, 840 as LC_ALL=C sorts, and the first of ten is held out
    assert readers(recipe / "data/dev_5") == {"12720"} and readers(recipe / "data/train_5") == {"30", "840"}
    assert len(read_table(recipe / "dump/fbank/train_5/feats.scp")) == 8
    frames = read_table(recipe / "dump/fbank/dev_clean_2/utt2num_frames")
    assert len(frames) == 12 and frames["31-9-0001"] == "49"  # 8160 samples: 1 + (8160 - 400) // 160
    plan = run(recipe, *TINY, "--dry_run", "true")
    assert "37 steps: 4 done, 33 to do" in plan
    trained = [line.split(" --out ")[1].split()[0] for line in plan.splitlines() if "kdasr train " in line]
    assert sorted(trained) == [
        "exp/student_tiny_nbest_s1", "exp/student_tiny_refs_s1", "exp/student_tiny_word_ctc_s1", "exp/teacher_tiny_s1",
    ]  # fmt: skip


def test_the_full_form_joins_the_training_sets(recipe, tmp_path):
    corpus = librispeech(tmp_path / "LibriSpeech", sets=FULL, readers=("1",), chapters=("5",), each=1)
    run(recipe, "--librispeech", corpus, "--corpus", "full", script="local/data.sh")
    assert [*read_table(recipe / "data/train_960/text")] == ["10-5-0000", "11-5-0000", "12-5-0000"]
    assert [*read_table(recipe / "data/dev/text")] == ["13-5-0000", "14-5-0000"]
    assert {path.name for path in (recipe / "data").iterdir()} == {
        *(name.replace("-", "_") for name in FULL), "train_960", "dev",
    }  # fmt: skip


def test_what_is_not_there_is_said(recipe, tmp_path):
    assert "expected mini or full" in run(recipe, "--corpus", "half", status=1)
    said = run(recipe, "--librispeech", tmp_path / "x", "--stop_stage", "1", status=1)
    assert f"--librispeech {tmp_path}/x: no such directory" in said
    librispeech(tmp_path / "one", readers=("84",))
    assert "has one reader" in run(recipe, "--librispeech", tmp_path / "one", "--stop_stage", "1", status=1)
    librispeech(tmp_path / "part", sets=("train-clean-5",))
    said = run(recipe, "--librispeech", tmp_path / "part", "--stop_stage", "1", status=1)
    assert "has no set dev-clean-2" in said


@pytest.mark.recipe
def test_the_whole_recipe_with_tiny_networks(recipe, tmp_path):
    corpus = librispeech(tmp_path / "LibriSpeech", readers=("84", "1272", "3"))
    run(recipe, "--librispeech", corpus, *TINY, "--students", "refs word_ctc", "--beam", "2", "--nbest", "2")
    table = (recipe / "exp/RESULTS.md").read_text()
    for model in ("teacher_tiny", "student_tiny_refs", "student_tiny_word_ctc"):
        assert read_json(recipe / f"exp/{model}_s1/kdasr.json")["label"] in table
