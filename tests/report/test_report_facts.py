"""Reports group, order and compare by the facts of kdasr.json; labels only show, and may be changed."""

import csv
import json

import pytest
from test_compare import runs, scored, system, teachers
from test_report_table import REFERENCES, SEQUENCE, exp, write_decode, write_model  # noqa: F401 - exp is a fixture

from kdasr.cli import main
from kdasr.report import collect, compare, details, table

WORDS = [50, 50]


def summary(every):
    """The first two columns of the summary: what is shown, and how many runs."""
    return [row[:2] for row in compare.summary_table(every, [])[1:]]


def test_runs_of_a_recipe_are_one_kind_whatever_they_are_called():
    every = teachers([[1, 1]], WORDS)
    every += runs("ref", "student on references", [[9, 9]] * 2, WORDS)
    every += [system("kd1", "as it was called then", scored([5, 5], WORDS), recipe="nbest")]
    every += [system("kd2", "as it is called now", scored([4, 4], WORDS), recipe="nbest", seed=2)]
    every += [system("other", "as it was called then", scored([4, 4], WORDS), recipe="mix")]
    every = collect.in_order(every)
    # by recipe: mix, nbest
    assert summary(every) == [
        ["teacher", "1"], ["student on references", "2"],
        ["as it was called then", "1"], ["as it was called then", "2"],
    ]  # fmt: skip
    found = compare.against_references(every)
    assert [(one.kind, one.result.difference) for one in found] == [
        (("student", "", "mix"), -10.0),
        (("student", "", "nbest"), -9.0),
    ]


def test_a_label_that_speaks_of_references_makes_no_baseline_and_a_network_is_no_prefix():
    every = teachers([[1, 1]], WORDS)
    every += [system("a", "references", scored([9, 9], WORDS), recipe="nbest", baseline=False)]
    every += [system("b", "long: anything", scored([8, 8], WORDS), recipe="refs", baseline=True, network="")]
    assert [one.name for one in collect.in_order(every)] == ["teacher", "b", "a"]
    (one,) = compare.against_references(every)
    assert one.label == "references" and one.result.difference == 2.0
    assert [one.network for one in every] == ["", "", ""]


def test_a_student_without_facts_is_shown_alone_is_never_a_baseline_and_that_is_said(exp, tmp_path, capsys):  # noqa: F811
    for name in ("ref1", "ref2"):
        path = exp / name / "kdasr.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps({key: value for key, value in record.items() if key != "learned_from"}))
    every = collect.systems(exp)
    assert summary(every) == [
        ["teacher", "1"], [SEQUENCE, "2"], [f"{REFERENCES} (ref1)", "1"], [f"{REFERENCES} (ref2)", "1"],
    ]  # fmt: skip
    assert compare.against_references(every) == []
    assert main(["report", str(exp), "-o", str(tmp_path / "R.md"), "-o", str(tmp_path / "p.html")]) == 0
    said = "Without facts, so that each stands alone and none is a baseline: ref1, ref2 ("
    assert said in (tmp_path / "R.md").read_text() and said in (tmp_path / "p.html").read_text()
    assert said in capsys.readouterr().err


def test_marks_of_records_are_counted():
    every = [system("a", "x", marks=["facts from the label"]), system("b", "x", marks=["facts from the label", "lost"])]
    assert collect.remarks([*every, system("c", "y")]) == ["Marks: facts from the label (2 of 3); lost (1 of 3)."]


def test_a_label_is_changed_and_the_change_is_logged(exp, tmp_path, capsys):  # noqa: F811
    before = json.loads((exp / "kd1/kdasr.json").read_text())
    compared = [(one.kind, one.result) for one in compare.against_references(collect.systems(exp))]
    assert main(["label", str(exp / "kd1"), "five best"]) == 0
    assert main(["label", str(exp / "kd1"), "5-best"]) == 0
    assert main(["label", str(exp / "kd1"), "5-best"]) == 0  # nothing to change
    after = json.loads((exp / "kd1/kdasr.json").read_text())
    log = after.pop("labels")
    assert [(one["old"], one["new"]) for one in log] == [(SEQUENCE, "five best"), ("five best", "5-best")]
    assert all(one["date"].startswith("20") for one in log)
    assert after == before | {"label": "5-best"}
    every = collect.systems(exp)
    assert [(one.kind, one.result) for one in compare.against_references(every)] == compared
    assert ["5-best", "2"] in summary(every)
    capsys.readouterr()
    for words, said in (((exp, "x"), "kdasr.json: no such file"), ((exp / "kd1", " "), "the label is empty")):
        assert main(["label", *map(str, words)]) == 1
        assert said in capsys.readouterr().err


def test_the_csv_has_a_row_for_each_set_and_search(exp, tmp_path):  # noqa: F811
    assert main(["report", str(exp), "-o", str(tmp_path / "R.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "R.csv").open()))
    assert [(row["name"], row["set"], row["search"]) for row in rows] == [
        ("teacher", "test", "greedy"), ("teacher", "test", "beam"), ("ref1", "test", "greedy"),
        ("ref2", "test", "greedy"), ("kd1", "test", "greedy"), ("kd2", "test", "greedy"), ("unfinished", "", ""),
    ]  # fmt: skip
    one = rows[3]
    assert tuple(one) == details.HEAD
    assert [one[key] for key in ("recipe", "learned_from", "baseline", "seed", "wer", "words", "cpu_rtf")] == [
        REFERENCES, "references", "true", "2", "26.0", "200", "0.1000",
    ]  # fmt: skip


@pytest.mark.parametrize("many", [4, 50])
def test_what_finds_no_room_is_named(many):
    every = teachers([[1, 1]], WORDS)
    every += runs("ref", "student on references", [[9, 9]] * 2, WORDS)
    sets = scored([5, 5], WORDS), scored([6, 5], WORDS, "greedy")
    every += [system(f"kd{k}_{seed}", f"kind {k}", *sets, seed=seed) for k in range(many) for seed in (1, 2)]
    every = collect.in_order(every)
    text = table.render(every, compare.against_references(every), "T", [], ["CPU"], ["./run.sh"])
    assert text.count("\n") <= table.LONGEST and text.endswith("```\n./run.sh\n```\n")
    assert "## Systems" in text if many == 4 else "## Systems" not in text
    assert (f"{table.LEFT_OUT}systems; " in text) == (many == 50)
    assert text.count("|kind 3|") == (6 if many == 4 else 2)  # or of the summary and against the baseline
    assert "WER and CER in percent" in text
