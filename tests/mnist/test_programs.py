"""The programs of the recipe read their options and end as commands of kdasr do."""

import subprocess
import sys

import pytest
from commands import MNIST, mnist

NAMES = ("data", "train", "specialists", "report")


def program(name, *words, **options):
    """A program in a process of its own, as the recipe starts it."""
    command = [sys.executable, f"local/images_{name}.py", *words]
    return subprocess.run(command, cwd=MNIST, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("name", NAMES)
def test_help_has_examples_and_imports_nothing_heavy(name):
    code = (
        f"import sys; sys.path.insert(0, 'local'); import images_{name} as it\n"
        "from kdasr.cli import run_program\n"
        "try: run_program(it, ['--help'])\n"
        "except SystemExit as end: print(end.code, sorted(sys.modules.keys() & {'torch', 'matplotlib', 'espnet2'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=MNIST, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: images_{name}.py [-h]") and done.stdout.endswith("\n0 []\n")
    assert f"local/images_{name}.py --" in done.stdout.partition("examples:")[2]


def test_an_error_is_one_sentence_without_traceback(tmp_path):
    done = program("train", "--data", str(tmp_path / "no.npz"), "--out", str(tmp_path / "exp"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"images_train.py: {tmp_path}/no.npz: no such file; make it first: local/images_data.py\n"
    assert not (tmp_path / "exp").exists()
    wrong = program("data", "--out", str(tmp_path / "x.npz"), "--held", "3")  # no abbreviations
    assert wrong.returncode == 2 and "unrecognized arguments: --held 3" in wrong.stderr


def test_it_works_from_a_process_of_its_own(tmp_path, capsys):
    done = program("data", "--out", str(tmp_path / "own.npz"), "--held-out", "300")  # a hyphen will do
    assert (done.returncode, done.stderr) == (0, "")
    assert mnist(["data", "--out", str(tmp_path / "here.npz"), "--held_out", "300"]) == 0
    assert capsys.readouterr().out == done.stdout.replace("own.npz", "here.npz")
    assert (tmp_path / "own.npz").stat().st_size == (tmp_path / "here.npz").stat().st_size


def test_a_name_that_is_no_text_is_refused(capsys):
    assert mnist(["data", "--out", "o\udcff"]) == 1
    assert capsys.readouterr().err.startswith("images_data.py: 'o\\udcff': is not UTF-8; rename the file")
