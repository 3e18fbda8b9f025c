"""Figures in a file: a report of it alone is that of the models, and machines in turn add to it."""

import json
import shutil

import pytest
from test_report_table import REFERENCES, SEQUENCE, exp, write_decode, write_model  # noqa: F401 - exp is a fixture

from kdasr.cli import main
from kdasr.report import collect, compare, figures, table

ABOUT = figures.About("RESULTS", ["a note"], ["./run.sh"], ["date: `then`"])


def written(path):
    """The lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_gives_the_systems_back(exp, tmp_path):  # noqa: F811
    every = collect.systems(exp)
    figures.append(every, tmp_path / "f.jsonl", ABOUT)
    back = collect.in_order(figures.merged([], tmp_path / "f.jsonl"))
    assert figures.read(tmp_path / "f.jsonl").about == ABOUT
    for tables in (table.main_table, compare.against_references, compare.seed_table, compare.mode_table):
        assert tables(back) == tables(every)
    assert [one.scored[key].utterances for one in back for key in sorted(one.scored)] == [
        one.scored[key].utterances for one in every for key in sorted(one.scored)
    ]


def test_two_machines_in_turn_write_what_one_writes(exp, tmp_path, capsys):  # noqa: F811
    figures.append(collect.systems(exp), tmp_path / "whole.jsonl", ABOUT)
    (tmp_path / "first").mkdir()
    for name in ("teacher", "ref1", "kd1"):
        shutil.move(exp / name, tmp_path / "first" / name)
    for part in (tmp_path / "first", exp):
        words = [part, "--figures", tmp_path / "f.jsonl", "--out", tmp_path / "R.md"]
        assert main(["report", *map(str, words)]) == 0
    assert figures.read(tmp_path / "f.jsonl").systems == figures.read(tmp_path / "whole.jsonl").systems
    made = (tmp_path / "R.md").read_text()
    assert main(["report", "--figures", str(tmp_path / "f.jsonl"), "--out", str(tmp_path / "R2.md")]) == 0
    assert (tmp_path / "R2.md").read_text() == made.replace("R.md", "R2.md")


def test_a_model_that_is_there_wins_over_the_file(exp, tmp_path):  # noqa: F811
    every = collect.systems(exp)
    figures.append(every, tmp_path / "f.jsonl", ABOUT)
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
        decoded(kd, teacher_errors + 1, 10.0, f"k{seed}{weights}")
    return collect.systems(root)


def decoded(model, errors, seconds, weights):
    """So many errors in each utterance, by a model whose weights have this hash."""
    write_decode(model, "greedy", "test", [errors] * 20, seconds)
    path = model / "decode_greedy/test/decode.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": weights}))


def test_another_model_of_that_name_and_those_it_taught_are_runs_of_their_own(tmp_path):
    """As where the next machine's processor rounds otherwise; each gap is that to the teachers that taught."""
    path = tmp_path / "f.jsonl"
    here = machine(tmp_path / "here", "aaaaaaaa", 1, (1, 2))
    there = machine(tmp_path / "there", "bbbbbbbb", 3, (1,))
    figures.append(here, path, ABOUT)
    both = collect.in_order(figures.merged(there, path))
    names = [one.name for one in both]
    assert names == ["teacher", "teacher@aaaaaa", "ref1", "ref1@1aaaaa", "ref2", "kd1", "kd1@k1aaaa", "kd2"]
    assert [collect.teacher_of(one, both).name for one in both if one.label == SEQUENCE] == [
        "teacher", "teacher@aaaaaa", "teacher@aaaaaa",
    ]  # fmt: skip
    (found,) = compare.against_references(both)
    # 50 % on references; taught 40, 20 and 20 by teachers of 30, 10 and 10: 23.3 of 33.3 points
    assert found.gap[0] == pytest.approx(0.7)
    assert [row[3] for row in table.main_table(both)[1:3]] == ["1", "1"]  # each is its own teacher
    assert [row[-1] for row in compare.seed_table(both) if row[0] == "teacher"] == ["1: 30.00, 1: 10.00"]
    # again on either machine: nothing is doubled, and what the file holds stays what it is
    figures.append(there, path, ABOUT)
    before = path.read_bytes()
    figures.append(there, path, ABOUT)
    figures.append(here, path, ABOUT)
    assert path.read_bytes() == before
    assert [one.name for one in collect.in_order(figures.merged(there, path))] == names
    assert [one.name for one in collect.in_order(figures.merged(here, path))] == [
        "teacher", "teacher@bbbbbb", "ref1", "ref1@1bbbbb", "ref2", "kd1", "kd1@k1bbbb", "kd2",
    ]  # fmt: skip
    alone = figures.merged([], path)  # none is at hand, and the last in the file keeps its name
    assert sorted(one.name for one in alone) == [
        "kd1", "kd1@k1aaaa", "kd2", "ref1", "ref1@1aaaaa", "ref2", "teacher", "teacher@aaaaaa",
    ]  # fmt: skip
    assert {one.name: collect.teacher_of(one, alone).name for one in alone if one.label == SEQUENCE} == {
        "kd1": "teacher", "kd1@k1aaaa": "teacher@aaaaaa", "kd2": "teacher@aaaaaa",
    }  # fmt: skip


def test_a_teacher_trained_anew_to_the_same_weights_is_the_same(tmp_path):
    path = tmp_path / "f.jsonl"
    figures.append(machine(tmp_path / "here", "aaaaaaaa", 1, (1, 2)), path, ABOUT)
    found = figures.merged(machine(tmp_path / "there", "aaaaaaaa", 1, (1,)), path)
    assert [one.name for one in collect.in_order(found)] == ["teacher", "ref1", "ref2", "kd1", "kd2"]


@pytest.mark.parametrize("line", ["not json", "[]", '{"name": "x"}', '{"name": "x", "scored": [{"set": "none"}]}'])
def test_a_damaged_line_is_named(exp, tmp_path, line, capsys):  # noqa: F811
    figures.append(collect.systems(exp), tmp_path / "f.jsonl", ABOUT)
    with open(tmp_path / "f.jsonl", "a") as stream:
        stream.write(line + "\n")
    assert main(["report", "--figures", str(tmp_path / "f.jsonl"), "--out", str(tmp_path / "R.md")]) == 1
    assert "f.jsonl:9: is no line of figures" in capsys.readouterr().err
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
    figures.append(some, tmp_path / "f.jsonl", ABOUT)
    *lines, about = written(tmp_path / "f.jsonl")
    assert about == {"about": {"title": "RESULTS", "notes": ["a note"], "commands": ["./run.sh"],
                               "environment": ["date: `then`"]}}  # fmt: skip
    assert list(lines[0]["sets"]["test"].items()) == [("u1", 4), ("u2", 5), ("u3", 3)]
    assert [line["name"] for line in lines[1:]] == ["a", "b", "c"]
    assert [line["scored"][0]["errors"] for line in lines[1:]] == [[None, 1, 3], [2, None, 0], []]
    for line in lines[1:]:
        assert line["info"] == {"label": line["name"], "seed": 1}
        assert line["scored"][0]["wer"] == {"wer": 5.0, "signature": "s"}
    back = {one.name: one for one in figures.merged([], tmp_path / "f.jsonl")}
    assert set(back) == {"a", "b", "c"}
    for one in some:
        found = back[one.name].scored["beam", "test"]
        assert found.utterances == one.scored["beam", "test"].utterances
        assert (back[one.name].bytes, back[one.name].ppl) == (7, {"test": {"ppl": 2.0}})


def test_a_report_of_the_file_alone_leaves_it_as_it_is(exp, tmp_path):  # noqa: F811
    path, out = tmp_path / "f.jsonl", tmp_path / "R.md"
    figures.append(collect.systems(exp), path, ABOUT)
    path.write_text(path.read_text().replace(", ", ",  "))  # as no one of ours writes it
    before = path.read_bytes()
    assert main(["report", "--figures", str(path), "-o", str(out)]) == 0
    assert path.read_bytes() == before
    assert out.read_text().endswith(f"kdasr report --figures {path} -o {out}\n```\n")
    assert main(["report", str(exp), "--figures", str(path), "-o", str(out)]) == 0
    assert path.read_bytes() != before and path.read_bytes().startswith(before)  # added to, and nothing changed
    assert list(written(path)[-1]) == ["about"] and len(written(path)) == before.count(b"\n") + 1  # only other notes
    assert out.read_text().endswith(f"kdasr report --figures {path} -o {out}\n```\n")


def test_what_is_measured_again_is_added_and_counts(exp, tmp_path):  # noqa: F811
    """The line that was there stays, above it."""

    def again(model, *measured):
        shutil.rmtree(model / "decode_greedy")
        decoded(model, *measured)

    path = tmp_path / "f.jsonl"
    figures.append(collect.systems(exp), path, ABOUT)
    before = path.read_bytes()
    again(exp / "kd1", 5, 10.0, "abcdef00")
    figures.append(collect.systems(exp), path, ABOUT)
    after = path.read_bytes()
    assert after.startswith(before)
    added = [json.loads(line) for line in after[len(before) :].splitlines()]
    assert [line.get("name") for line in added] == ["kd1", None] and added[0]["model"] == "abcdef00"
    (found,) = [one for one in figures.merged([], path) if one.name == "kd1"]  # before, it had no hash
    assert found.scored["greedy", "test"].wer["wer"] == 50.0
    again(exp / "kd1", 4, 10.0, "abcdef00")
    figures.append(collect.systems(exp), path, ABOUT)
    (found,) = [one for one in figures.merged([], path) if one.name == "kd1"]
    assert found.scored["greedy", "test"].wer["wer"] == 40.0
    again(exp / "kd1", 3, 10.0, "other000")  # another model of that name
    figures.append(collect.systems(exp), path, ABOUT)
    rates = {one.name: one.scored["greedy", "test"].wer["wer"] for one in figures.merged([], path) if one.scored}
    assert (rates["kd1@abcdef"], rates["kd1"]) == (40.0, 30.0)


def test_sets_that_grow_leave_what_was_measured_before_as_it_is(tmp_path):
    def system(name, utterances):
        one = collect.Scored("beam", "test", {}, {"wer": 5.0}, {}, utterances)
        return collect.System(name, {"label": name}, 7, {("beam", "test"): one})

    path, first = tmp_path / "f.jsonl", system("a", {"u2": (1, 5)})
    figures.append([first], path, ABOUT)
    second, other = system("b", {"u1": (2, 4), "u2": (0, 5)}), system("c", {"u2": (3, 6)})  # other references
    figures.append([first, second, other], path, ABOUT)
    back = {one.name: one.scored["beam", "test"].utterances for one in figures.merged([], path)}
    assert back == {one.name: one.scored["beam", "test"].utterances for one in (first, second, other)}
    assert [line["name"] for line in written(path) if "name" in line] == ["a", "b", "c"]
