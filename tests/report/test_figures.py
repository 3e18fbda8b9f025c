"""Figures in a file: a report of it alone is that of the models, and machines in turn add to it."""

import shutil

import pytest
from test_report_table import exp  # noqa: F401 - a fixture

from kdasr.cli import main
from kdasr.report import collect, compare, figures, table


def test_a_file_gives_the_systems_back(exp, tmp_path):  # noqa: F811
    every = collect.systems(exp)
    figures.write(every, tmp_path / "f.jsonl")
    back = collect.in_order(figures.read(tmp_path / "f.jsonl"))
    for tables in (table.main_table, compare.against_references, compare.seed_table, compare.mode_table):
        assert tables(back) == tables(every)
    assert [one.scored[key].utterances for one in back for key in sorted(one.scored)] == [
        one.scored[key].utterances for one in every for key in sorted(one.scored)
    ]


def test_two_machines_in_turn_write_what_one_writes(exp, tmp_path, capsys):  # noqa: F811
    figures.write(collect.systems(exp), tmp_path / "whole.jsonl")
    (tmp_path / "first").mkdir()
    for name in ("teacher", "ref1", "kd1"):
        shutil.move(exp / name, tmp_path / "first" / name)
    for part in (tmp_path / "first", exp):
        words = [part, "--figures", tmp_path / "f.jsonl", "--out", tmp_path / "R.md"]
        assert main(["report", *map(str, words)]) == 0
    assert (tmp_path / "f.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    made = (tmp_path / "R.md").read_text()
    assert main(["report", "--figures", str(tmp_path / "f.jsonl"), "--out", str(tmp_path / "R2.md")]) == 0
    assert (tmp_path / "R2.md").read_text().partition("## Environment")[0] == made.partition("## Environment")[0]


def test_a_model_that_is_there_wins_over_the_file(exp, tmp_path):  # noqa: F811
    every = collect.systems(exp)
    figures.write(every, tmp_path / "f.jsonl")
    path = exp / "kd1" / "kdasr.json"
    path.write_text(path.read_text().replace("100000", "90000"))
    found = {one.name: one for one in figures.merged(collect.systems(exp), tmp_path / "f.jsonl")}
    assert found["kd1"].info["parameters"] == 90000 and len(found) == len(every)


@pytest.mark.parametrize("line", ["not json", "[]", '{"name": "x"}', '{"name": "x", "scored": [{"set": "none"}]}'])
def test_a_damaged_line_is_named(exp, tmp_path, line, capsys):  # noqa: F811
    figures.write(collect.systems(exp), tmp_path / "f.jsonl")
    with open(tmp_path / "f.jsonl", "a") as stream:
        stream.write(line + "\n")
    assert main(["report", "--figures", str(tmp_path / "f.jsonl"), "--out", str(tmp_path / "R.md")]) == 1
    assert "f.jsonl:8: is no line of figures" in capsys.readouterr().err
    assert not (tmp_path / "R.md").exists()


def test_nothing_to_report_and_no_file(tmp_path, capsys):
    assert main(["report", "--out", str(tmp_path / "R.md")]) == 1
    assert "--figures" in capsys.readouterr().err
    assert main(["report", "--figures", str(tmp_path / "f"), "--out", str(tmp_path / "R.md")]) == 1
    assert "no such file" in capsys.readouterr().err
