"""How a run ends: cards, the headline, the page, and two commands to try next."""

from pathlib import Path

import pytest
from scripts import ROOT, kd_plan

from kdasr.recipe.closing import closing

TRY = "To transcribe a recording:\n  kdasr transcribe --model b.zip a.wav\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A run that has ended."""
    monkeypatch.chdir(tmp_path)
    student = Path("exp/student_refs_s1")
    student.mkdir(parents=True)
    (student / "bundle.txt").write_text(f"| the card |\n{TRY}")
    Path("exp/report.txt").write_text("system  beam\nteacher  1.0\n\n10 × smaller, at 2 % WER.\n")
    Path("exp/report.html").write_text("page")
    return tmp_path


def lines(**given):
    return closing(kd_plan(students="refs", student_configs="conf/student.yaml", seeds="1", **given))


def test_all_of_it_in_order(place):
    own = f"  {ROOT}/egs/own/run.sh --teacher_dir MODEL --unlabelled FOLDER --cut_seconds 20 --test DATA_DIR"
    assert lines() == [
        "",
        "| the card |",
        "",
        "10 × smaller, at 2 % WER.",
        f"Look at it: {place}/exp/report.html",
        "",
        *TRY.splitlines(),
        "To distil an ESPnet model of yours, on recordings that nobody has transcribed:",
        own,
    ]


def test_only_of_stages_that_ran_and_of_what_is_there(place):
    assert lines(stop_stage="decode") == []
    assert lines(stage="report", stop_stage="report") == [
        "", "10 × smaller, at 2 % WER.", f"Look at it: {place}/exp/report.html",
    ]  # fmt: skip
    (place / "exp/report.txt").write_text("a table\nwithout a headline\n")
    assert lines(stage="report", stop_stage="report") == ["", f"Look at it: {place}/exp/report.html"]
    (place / "exp/report.html").unlink()
    assert lines(stage="report", exports="none") == []


def test_who_has_a_model_or_translates_is_not_told_of_another_recipe(place):
    assert lines(teacher_dir="t")[-2:] == TRY.splitlines()
    assert lines(task="translation", ctc_weight="0")[-2:] == TRY.splitlines()


def test_the_commands_options_are_those_of_the_recipe():
    script = (ROOT / "egs/own/run.sh").read_text()
    for option in ("teacher_dir", "unlabelled", "cut_seconds", "test"):
        assert f'\n{option}=""' in script
