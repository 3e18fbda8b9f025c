"""Stages as jobs of a cluster, and what the scripts call: in this process, with programs that note their words."""

import json
import os

import pytest
from scripts import ROOT, options_of

from kdasr.errors import UserError
from kdasr.recipe import __main__
from kdasr.recipe.submit import submit
from kdasr.recipe.work import Work

NOTE = """#!/bin/sh
for word; do printf '%s\\037' "$word"; done >>{folder}/{name}.txt; echo >>{folder}/{name}.txt
{more}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A recipe's directory, with `kdasr`, `run` and `batch` on the path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    for name, more in (
        ("kdasr", "test ! -e busy"),
        ("run", 'shift; exec "$@"'),
        ("run.py", 'shift; exec "$@"'),
        ("batch", 'case "$*" in *"$(cat refused)"*) exit 2;; esac; echo $((40 + $(wc -l <bin/batch.txt)))'),
    ):
        (tmp_path / "bin" / name).write_text(NOTE.format(folder=tmp_path / "bin", name=name, more=more))
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "refused").write_text("nothing")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for name in ("train", "decode", "cuda"):
        monkeypatch.setenv(f"{name}_cmd", "run")
    monkeypatch.setenv("submit_cmd", "batch --mem 1G")
    return tmp_path


def calls(place, name):
    path = place / "bin" / f"{name}.txt"
    return [line.split("\x1f")[:-1] for line in path.read_text().splitlines()] if path.exists() else []


def work(numbers=(1, 3, 4)):
    return Work(("a", "b", "c", "d"), list(numbers), lambda _: [], lambda _: "", "exp", 1, "./run.sh")


def test_each_stage_is_a_job_after_the_one_before(place, capsys):
    submit(work(), "slurm", ["batch", "--mem", "1G"], ["kd.sh", "--note", "a  b", "--tag", ""])
    jobs = calls(place, "batch")
    for n, name, after, job in zip((1, 3, 4), "acd", ([], ["--after", "41"], ["--after", "42"]), jobs, strict=True):
        assert job == [
            "--mem", "1G", "--detach", "1", *after, f"exp/jobs/{n}_{name}.log", "env", "cmd_backend=slurm", "kd.sh",
            "--note", "a  b", "--tag", "", "--submit", "", "--stage", str(n), "--stop_stage", str(n),
        ]  # fmt: skip
    assert calls(place, "kdasr") == [["jobs", "status", "--idle", "exp"]]
    told = capsys.readouterr().out
    assert "(a) stage 1 (a): job 41, log in exp/jobs/1_a.log" in told
    assert "(d) stage 4 (d): job 43 after job 42, log in exp/jobs/4_d.log" in told


def test_nothing_is_submitted_beside_what_waits(place):
    (place / "busy").touch()
    with pytest.raises(UserError, match="nothing was submitted"):
        submit(work(), "slurm", ["batch"], ["kd.sh"])
    assert calls(place, "batch") == []


def test_after_a_stage_that_is_not_taken_no_other_is_submitted(place):
    (place / "refused").write_text("3_c.log")
    with pytest.raises(UserError, match=r"stage 3 \(c\) was not submitted; .* kdasr jobs cancel exp"):
        submit(work(), "slurm", ["batch"], ["kd.sh"])
    assert len(calls(place, "batch")) == 2


def mine(**given):
    """What utils/lm.sh calls."""
    values = options_of("utils/lm.sh", **{"stop_stage": "1", "train": "a", "valid": "a", "tests": "a", **given})
    dry = given.get("submit") == "dry"
    values = [word.replace("submit=dry", "submit=") for word in values]
    values.insert(3, f"dry_run={str(dry).lower()}")
    return ["lm", "--program", "./lm.sh", "--command", "./run.sh --x 'y z'", *values, "--", "--x", "y z"]


@pytest.fixture
def texts(place):
    (place / "conf").mkdir()
    for name in ("a", "conf/lm_teacher.yaml", "conf/lm_student.yaml"):
        (place / name).write_text("")
    (place / "dump/lm/words").mkdir(parents=True)
    (place / "dump/lm/log").mkdir()
    (place / "dump/lm/log/words.log").write_text("# a comment\nten words\n")
    return place


WORDS = ["lm", "words", "--text", "a", "--size", "0", "--min_count", "1", "--out", "dump/lm/words"]


def test_a_run(texts, capsys):
    assert __main__.main(mine()) == 0
    assert calls(texts, "kdasr") == [WORDS]
    assert calls(texts, "run") == [["dump/lm/log/words.log", "kdasr", *WORDS]]
    assert (texts / "dump/lm/words/.done").exists()
    plan = (texts / "exp/lm/plan.txt").read_text()
    assert plan.startswith("# ./run.sh --x 'y z'\n") and "run dump/lm/log/words.log kdasr lm words" in plan
    told = capsys.readouterr().out
    assert "  ten words\n" in told and "a comment" not in told and "finished, " in told


def test_a_dry_run_runs_and_writes_nothing(texts, capsys):
    before = sorted(texts.rglob("*"))
    assert __main__.main(mine(submit="dry")) == 0
    assert sorted(texts.rglob("*")) == before
    assert "# dump/lm/words (to do)\n#   vocab=0\n#   min_count=1\n" in capsys.readouterr().out


def test_a_submission_runs_nothing_here(texts):
    assert __main__.main(mine(submit="slurm")) == 0
    (job,) = calls(texts, "batch")
    assert job[:5] == ["--mem", "1G", "--detach", "1", "exp/lm/jobs/1_words.log"]
    assert job[5:10] == ["env", "cmd_backend=slurm", "./lm.sh", "--x", "y z"]
    assert calls(texts, "run") == [] and not (texts / "dump/lm/words/.done").exists()


def test_programs_that_are_not_there_are_named(texts, monkeypatch, capsys):
    for name, value, said in (
        ("decode_cmd", "gone --x", "gone: no such command; cmd.sh has to set train_cmd, decode_cmd and cuda_cmd"),
        ("cuda_cmd", "", "cuda_cmd: no such command"),
        ("submit_cmd", "gone", "gone: no such command; cmd.sh has to set submit_cmd"),
        ("PATH", f"{texts}/elsewhere:/bin:/usr/bin", "no such command"),
    ):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            assert __main__.main(mine(submit="slurm")) == 1
        assert f"ERROR: {said}" in capsys.readouterr().err or name == "PATH"
    (texts / "bin/kdasr").unlink()
    monkeypatch.setenv("PATH", f"{texts}/bin:/bin:/usr/bin")
    assert __main__.main(mine()) == 1
    assert "kdasr is not installed" in capsys.readouterr().err
    assert calls(texts, "batch") == []


def test_each_kind_of_script(texts, tmp_path):
    (texts / "conf/frames.yaml").write_text("")
    found = {
        "lm": __main__.work_of("lm", options_of("utils/lm.sh"), ""),
        "frames": __main__.work_of("frames", options_of("utils/frames.sh"), ""),
        "kd": __main__.work_of("kd", options_of("utils/kd.sh"), ""),
    }
    assert {kind: one.names[1] for kind, one in found.items()} == {"lm": "teacher", "frames": "baseline", "kd": "feats"}
    (texts / "own.py").write_text("def work(given, command):\n    return [given, command]\n")
    assert json.dumps(__main__.work_of("own.py", ["a=1"], "x")) == '[["a=1"], "x"]'
    assert (ROOT / "utils/run_recipe.sh").exists()
