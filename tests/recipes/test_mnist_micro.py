"""egs/mnist from nothing to its table on the digits that scikit-learn carries, and on a directory in MNIST's form."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import commands  # noqa: F401  finds the modules of egs/mnist/local
import numpy as np
import pytest
from digits import digits

pytestmark = pytest.mark.recipe
ROOT = Path(__file__).parents[2]
FEW = [
    "--seeds",
    "1",
    "--widths",
    "40 8",
    "--temperatures",
    "1 20",
    "--teacher_opts",
    "epochs=8",
    "--student_opts",
    "epochs=5",
]


def run(recipe, *words, status=0):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["./run.sh", *words], cwd=recipe, capture_output=True, text=True, env=environment, timeout=900
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def recipe(tmp_path):
    """A copy of egs/mnist beside utils."""
    (tmp_path / "egs").mkdir()
    (tmp_path / "utils").symlink_to(ROOT / "utils")
    left = shutil.ignore_patterns("data", "dump", "exp", "RESULTS.md", "*.svg")
    shutil.copytree(ROOT / "egs/mnist", tmp_path / "egs/mnist", ignore=left)
    return tmp_path / "egs/mnist"


def test_the_recipe_makes_its_tables_and_goes_on_where_it_was(recipe):
    said = run(recipe, *FEW)
    text = (recipe / "exp/digits/RESULTS.md").read_text()
    rows = [row.split("|")[1:-1] for row in text.splitlines() if row.startswith("|")]
    assert [row[:3] for row in rows[2:9]] == [
        ["teacher, 2x300", "labels", "-"],
        ["student, 2x40", "labels", "-"],
        ["student, 2x40", "teacher", "1"],
        ["student, 2x40", "teacher", "20"],
        ["student, 2x8", "labels", "-"],
        ["student, 2x8", "teacher", "1"],
        ["student, 2x8", "teacher", "20"],
    ]
    assert "these errors say nothing about MNIST" in text and "## Specialists" in text
    assert {row[0].split(" (")[0] for row in rows if "images)" in row[0]} == {"no 3", "only 7 8"}
    assert (recipe / "exp/digits/temperatures.svg").exists() and not (recipe / "RESULTS.md").exists()
    assert said.count("training, log in") == 9
    shutil.rmtree(recipe / "exp/digits/soft_8_T20_s1")
    again = run(recipe, *FEW)
    assert again.count("training, log in") == 1 and "soft_8_T20_s1: training" in again
    assert again.count("done already") == 10  # the data, eight networks, the specialists
    other = run(recipe, *FEW, "--student_opts", "epochs=6", "--stage", "student", status=1)
    assert "made with other settings" in other
    assert "run stage 2 (teacher) first" in run(recipe, "--seeds", "5", "--stage", "omit", status=1)
    assert "--quick is for --mnist" in run(recipe, "--quick", "true", status=1)


def test_a_directory_in_mnists_form(recipe, tmp_path):
    directory = tmp_path / "files"
    directory.mkdir()
    for name, values in digits().items():
        part, kind = name.split("_")
        shape = np.array(values.shape, ">u4").tobytes()
        suffix = "images-idx3-ubyte" if kind == "images" else "labels-idx1-ubyte"
        data = bytes([0, 0, 8, values.ndim]) + shape + values.tobytes()
        (directory / f"{'train' if part == 'train' else 't10k'}-{suffix}").write_bytes(data)
    small = ["--teacher_opts", "hidden=20 epochs=1", "--student_opts", "epochs=1", "--widths", "10"]
    said = run(recipe, "--mnist", str(directory), "--quick", "true", *small)
    text = (recipe / "exp/mnist_quick/RESULTS.md").read_text()
    assert "# RESULTS: MNIST" in text and "The quick form" in text and "Specialists" not in text
    assert "teacher, 2x20" in said
    assert "no such file, .gz neither" in run(recipe, "--mnist", str(tmp_path), "--datadir", "data/x", status=1)
