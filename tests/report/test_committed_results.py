"""Every RESULTS*.md in git, and the CSV beside it, is what its own command writes from the figures in git."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdasr.cli import main
from kdasr.report.table import LONGEST

ROOT = Path(__file__).parents[2]
RESULTS = sorted(ROOT.glob("egs/*/RESULTS*.md"))


def test_there_is_one_of_each_kind():
    names = {str(path.relative_to(ROOT / "egs")) for path in RESULTS}
    assert {f"wsj/RESULTS{kind}.md" for kind in ("", "_LM", "_FRAMES")} | {
        "mnist/RESULTS.md",
        "multi30k/RESULTS.md",
    } <= names


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: str(path.relative_to(ROOT / "egs")))
def test_a_table_is_what_its_command_writes(path, tmp_path, monkeypatch):
    text = path.read_text()
    assert text.count("\n") <= LONGEST
    (command,) = [line for line in text.splitlines() if line.startswith(("kdasr ", "local/")) and "--figures" in line]
    program, *words = shlex.split(command)
    shutil.copy(path.parent / words[words.index("--figures") + 1], tmp_path)
    monkeypatch.chdir(tmp_path)
    if program == "kdasr":
        assert main(words) == 0
    else:
        subprocess.run([sys.executable, path.parent / program, *words], check=True)
    written = [file for file in tmp_path.iterdir() if file.suffix != ".jsonl"]
    assert path.name in {file.name for file in written}
    for file in written:
        assert file.read_bytes() == (path.parent / file.name).read_bytes(), f"{file.name}: {command}"
