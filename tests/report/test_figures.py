"""Figures in a file: a report of it alone is that of the models, and machines in turn add to it."""

import json
import shutil

import pytest
from test_report_table import REFERENCES, SEQUENCE, exp, write_decode, write_model  # noqa: F401 - exp is a fixture

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


def machine(root, weights, teacher_errors, seeds):
    """What one machine trained: its teacher, whose weights have this hash, students on references (whose weights are
    this machine's too) and taught ones."""
    teacher = write_model(root, "teacher", "teacher", 1_000_000, role="teacher", teacher=None)
    decoded(teacher, teacher_errors, 40.0, weights)
    for seed in seeds:
        decoded(write_model(root, f"ref{seed}", REFERENCES, 100_000, seed, teacher=None), 5, 10.0, f"{seed}{weights}")
        kd = write_model(root, f"kd{seed}", SEQUENCE, 100_000, seed, teacher="teacher")
        write_decode(kd, "greedy", "test", [teacher_errors + 1] * 20, 10.0)
    return collect.systems(root)


def decoded(model, errors, seconds, weights):
    """So many errors in each utterance, by a model whose weights have this hash."""
    write_decode(model, "greedy", "test", [errors] * 20, seconds)
    path = model / "decode_greedy/test/decode.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": weights}))


def test_another_model_of_that_name_and_those_it_taught_are_runs_of_their_own(tmp_path):
    """As where the next machine's processor rounds otherwise; each gap is that to the teachers that taught."""
    path, back = tmp_path / "f.jsonl", tmp_path / "back.jsonl"
    here = machine(tmp_path / "here", "aaaaaaaa", 1, (1, 2))
    there = machine(tmp_path / "there", "bbbbbbbb", 3, (1,))
    figures.write(figures.merged(here, path), path)
    both = collect.in_order(figures.merged(there, path))
    names = [one.name for one in both]
    assert names == ["teacher", "teacher@aaaaaa", "ref1", "ref1@1aaaaa", "ref2", "kd1", "kd1@aaaaaa", "kd2@aaaaaa"]
    assert [collect.teacher_of(one, both).name for one in both if one.label == SEQUENCE] == [
        "teacher", "teacher@aaaaaa", "teacher@aaaaaa",
    ]  # fmt: skip
    (found,) = compare.against_references(both)
    # 50 % on references; taught 40, 20 and 20 by teachers of 30, 10 and 10: 23.3 of 33.3 points
    assert found.gap[0] == pytest.approx(0.7)
    assert [row[3] for row in table.main_table(both)[1:3]] == ["1", "1"]  # each is its own teacher
    assert [row[-1] for row in compare.seed_table(both) if row[0] == "teacher"] == ["1: 30.00, 1: 10.00"]
    # again on either machine: nothing is doubled, and what the file holds stays what it is
    figures.write(both, path)
    assert [one.name for one in collect.in_order(figures.merged(there, path))] == names
    figures.write(figures.merged(here, path), back)
    assert [one.name for one in collect.in_order(figures.read(back))] == [
        "teacher", "teacher@bbbbbb", "ref1", "ref1@1bbbbb", "ref2", "kd1", "kd1@bbbbbb", "kd2",
    ]  # fmt: skip


def test_a_teacher_trained_anew_to_the_same_weights_is_the_same(tmp_path):
    path = tmp_path / "f.jsonl"
    figures.write(machine(tmp_path / "here", "aaaaaaaa", 1, (1, 2)), path)
    found = figures.merged(machine(tmp_path / "there", "aaaaaaaa", 1, (1,)), path)
    assert [one.name for one in collect.in_order(found)] == ["teacher", "ref1", "ref2", "kd1", "kd2"]


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


def test_utterances_are_in_one_order_and_those_that_a_system_lacks_stay_lacking(tmp_path):
    """Two systems that decoded parts of a set, in other orders; what they measured comes back as it was."""

    def system(name, utterances):
        key = "beam", "test"
        info = {"label": name, "command": "x", "settings": {"a": 1}, "seed": 1}
        wer = {"wer": 5.0, "command": "y", "signature": "s"}
        one = collect.Scored(*key, {"command": "kept"}, wer, {}, utterances)
        return collect.System(name, info, 7, {key: one}, {"test": {"ppl": 2.0}})

    some = system("b", {"u3": (0, 3), "u1": (2, 4)}), system("a", {"u2": (1, 5), "u3": (3, 3)}), system("c", {})
    figures.write(some, tmp_path / "f.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert list(lines[0]["sets"]["test"].items()) == [("u1", 4), ("u2", 5), ("u3", 3)]
    assert [line["name"] for line in lines[1:]] == ["a", "b", "c"]
    assert [line["scored"][0]["errors"] for line in lines[1:]] == [[None, 1, 3], [2, None, 0], []]
    for line in lines[1:]:
        assert line["info"] == {"label": line["name"], "seed": 1}
        assert line["scored"][0]["wer"] == {"wer": 5.0, "signature": "s"}
    back = {one.name: one for one in figures.read(tmp_path / "f.jsonl")}
    assert set(back) == {"a", "b", "c"}
    for one in some:
        found = back[one.name].scored["beam", "test"]
        assert found.utterances == one.scored["beam", "test"].utterances
        assert (back[one.name].bytes, back[one.name].ppl) == (7, {"test": {"ppl": 2.0}})


def test_a_report_of_the_file_alone_leaves_it_as_it_is(exp, tmp_path):  # noqa: F811
    path, out = tmp_path / "f.jsonl", tmp_path / "R.md"
    figures.write(collect.systems(exp), path)
    path.write_text(path.read_text().replace(", ", ",  "))  # as no one of ours writes it
    before = path.read_bytes()
    assert main(["report", "--figures", str(path), "-o", str(out)]) == 0
    assert path.read_bytes() == before
    assert out.read_text().endswith(f"kdasr report --figures {path} -o {out}\n```\n")
    assert main(["report", str(exp), "--figures", str(path), "-o", str(out)]) == 0
    assert path.read_bytes() != before
    assert out.read_text().endswith(f"kdasr report {exp} --figures {path} -o {out}\n```\n")
