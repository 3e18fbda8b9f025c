"""egs/ptb from nothing to its table on a few sentences, and on a directory in Penn Treebank's form: tiny networks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdasr.cli import main

pytestmark = pytest.mark.recipe
ROOT = Path(__file__).parents[2]
TINY = "embed=8 hidden=12 last=10 experts=2 layers=2 streams=4 steps=8 epochs=2 stop=0"


def run(recipe, *words, status=0):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["./run.sh", "--lm_opts", TINY, *words]
    done = subprocess.run(command, cwd=recipe, capture_output=True, text=True, env=environment, timeout=1800)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def recipe(tmp_path):
    """A copy of egs/ptb beside utils."""
    (tmp_path / "egs").mkdir()
    (tmp_path / "utils").symlink_to(ROOT / "utils")
    shutil.copytree(ROOT / "egs/ptb", tmp_path / "egs/ptb", ignore=shutil.ignore_patterns("data", "dump", "exp"))
    return tmp_path / "egs/ptb"


def test_the_recipe_makes_its_table_and_goes_on_where_it_was(recipe):
    options = ["--sentences", "400"]
    said = run(recipe, *options, "--seeds", "1 2", "--objectives", "ce trust", "--teacher_seeds", "1")
    table = [row.split("|")[1:-1] for row in said.splitlines() if row.startswith("|")]
    assert [row[0] for row in table if row[0] not in ("model", "---")] == [
        "ensemble",
        "teacher",
        "student, ce",
        "student, trust",
    ]
    assert table[0] == ["model", "seeds", "parameters", "of one teacher", "test ppl", "valid ppl"]
    ensemble, teacher, ce, trust = table[2:]
    assert ensemble[2] == teacher[2]  # of one
    assert ce[1] == trust[1] == "2" and "±" in trust[4]
    results = (recipe / "exp/RESULTS.md").read_text()
    assert "says nothing about" in results or "say nothing about Penn Treebank" in results
    again = run(recipe, *options, "--seeds", "1 2", "--objectives", "ce trust", "--teacher_seeds", "1")
    assert "training (" not in again and again.count("done already") == 6
    more = run(
        recipe,
        *options,
        "--objectives",
        "kl",
        "--teacher_seeds",
        "1",
        "--stage",
        "3",
        "--stop_stage",
        "3",
        "--stored",
        "5",
        "--draws",
        "true",
    )
    assert "student_kl_s1: training" in more


def test_a_directory_in_penn_treebanks_form(recipe, tmp_path):
    assert main(["data", "text", "--out", str(tmp_path / "made"), "--sentences", "200"]) == 0
    data = tmp_path / "ptb"
    data.mkdir()
    for name in ("train", "valid", "test"):
        # Mikolov's files have a blank at both ends of a line
        lines = (tmp_path / f"made/{name}.txt").read_text().splitlines()
        (data / f"ptb.{name}.txt").write_text("".join(f" {line.replace('percent', '<unk>')} \n" for line in lines))
    said = run(recipe, "--data", str(data), "--teacher_seeds", "31", "--objectives", "trust")
    assert "|student, trust|1|" in said and "ptb.test ppl" in said
    assert "no such file; --data names a directory" in run(recipe, "--data", str(tmp_path / "made"), status=1)
