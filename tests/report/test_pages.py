"""Pages of language models, frames and images in a file of figures: added to, and written again from there."""

import json

import commands
import pytest

from kdasr.cli import main
from kdasr.files import write_json


@pytest.fixture
def lms(tmp_path):
    """Two language models with perplexities."""
    for name, role, ppl in (("teacher_s1", "teacher", 50.0), ("student_ce_s1", "student", 60.0)):
        about = {"label": name[:-3], "role": role, "objective": "ce", "parameters": 5, "seed": 1}
        write_json(tmp_path / "exp" / name / "kdasr.json", about)
        write_json(tmp_path / "exp" / name / "ppl/test.json", {"ppl": ppl})
    return tmp_path


def report(place, *more, exp=True):
    words = ["--exp", place / "exp", "--note", "a note", "--command", "./run.sh"] if exp else []
    words += ["--figures", place / "f.jsonl", "--out", place / "R.md", *more]
    status = main(["lm", "report", *map(str, words)])
    return status, (place / "R.md").read_text() if (place / "R.md").exists() else ""


def test_the_file_alone_gives_the_page_back(lms, capsys):
    status, made = report(lms)
    assert status == 0 and "|teacher|1|5|100.0 %|50.00|" in made
    assert made.split("```")[1].strip().splitlines() == [
        "./run.sh", f"kdasr lm report --figures {lms / 'f.jsonl'} --out {lms / 'R.md'}",
    ]  # fmt: skip
    printed = capsys.readouterr().out
    before = (lms / "f.jsonl").read_bytes()
    (lms / "R.md").unlink()
    assert report(lms, exp=False) == (0, made)
    assert printed.strip() in capsys.readouterr().out
    assert report(lms) == (0, made)  # measured as it was: nothing is added, and the day is the first one's
    assert (lms / "f.jsonl").read_bytes() == before


def test_what_is_measured_again_is_added_and_counts(lms):
    report(lms)
    before = (lms / "f.jsonl").read_bytes()
    write_json(lms / "exp/teacher_s1/ppl/test.json", {"ppl": 45.0})
    _, made = report(lms)
    assert (lms / "f.jsonl").read_bytes().startswith(before) and "|45.00|" in made and "|50.00|" not in made
    assert report(lms, exp=False)[1] == made


@pytest.mark.parametrize(
    "line", ["x", "[]", "{}", '{"page": 5}', '{"page": {"title": "a", "notes": [], "commands": [], "environment": []}}']
)
def test_a_damaged_line_is_named(lms, line, capsys):
    report(lms)
    with open(lms / "f.jsonl", "a") as stream:
        stream.write(line + "\n")
    assert report(lms, exp=False)[0] == 1
    assert "f.jsonl:2: is no line of figures" in capsys.readouterr().err


@pytest.mark.parametrize("part", [5, [], [[]], [["a"], ["a", "b"]], [[5]]])
def test_a_part_is_a_text_or_a_table(lms, part, capsys):
    page = {"title": "a", "notes": [], "commands": [], "environment": [], "parts": ["text", [["a"], ["b"]], part]}
    (lms / "f.jsonl").write_text(json.dumps({"page": page}) + "\n")
    assert report(lms, exp=False)[0] == 1
    assert "f.jsonl:1: is no line of figures" in capsys.readouterr().err


def test_nothing_to_report_is_said(lms, capsys):
    (lms / "f.jsonl").write_text("")
    assert report(lms, exp=False)[0] == 1
    assert "holds no page" in capsys.readouterr().err
    assert main(["frames", "report", "--out", str(lms / "R.md")]) == 1
    assert "--exp" in capsys.readouterr().err
    assert commands.mnist(["report", "--figures", str(lms / "f.jsonl"), "--out", "R.md", "--picture", "x.svg"]) == 1
    assert "--picture" in capsys.readouterr().err
    assert commands.mnist(["report", "--exp", str(lms / "exp"), "--out", "R.md"]) == 1
    assert "--data" in capsys.readouterr().err


def test_models_without_facts_stand_alone_and_are_compared_with_nothing(lms):
    """A record of before has the role lm, and a label."""
    write_json(lms / "exp/old_s1/kdasr.json", {"label": "student, ce", "role": "lm", "objective": "ce", "seed": 1})
    write_json(lms / "exp/old_s1/ppl/test.json", {"ppl": 1.0})
    write_json(lms / "exp/kl_s1/kdasr.json", {"label": "student, kl", "role": "student", "objective": "kl", "seed": 1})
    write_json(lms / "exp/kl_s1/ppl/test.json", {"ppl": 30.0})
    _, made = report(lms)
    assert "|student, kl|test ppl|0.500|-|one seed|" in made and "|student, ce|test ppl|" not in made
