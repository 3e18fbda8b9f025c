"""`kdasr jobs` status, logs and cancel with stand-ins for squeue and scancel.

tests/recipes runs them on a cluster.
"""

import getpass
import json
import os

import pytest
from test_chain import DONE, FAILED, submitted

from kdasr.cli import main
from kdasr.jobs import cancel

# squeue prints rows that the test has left; scancel takes the job's out of them, unless it is stubborn
SQUEUE = """#!/usr/bin/env bash
here="${0%/*}"
printf '%s\\n' "$*" >>"$here/called"
[ ! -e "$here/silent" ] || { echo "slurm_load_jobs error: away" >&2; exit 1; }
case "$*" in *--array*) cat "$here/arrays" ;; *) cat "$here/rows" ;; esac
"""
SCANCEL = """#!/usr/bin/env bash
here="${0%/*}"
printf 'scancel %s\\n' "$*" >>"$here/called"
[ ! -e "$here/unknown" ] || { echo "scancel: error: Invalid job id $1" >&2; exit 1; }
[ ! -e "$here/refuses" ] || { echo "scancel: error: Access denied" >&2; exit 1; }
[ -e "$here/stubborn" ] || sed -i "\\|^$(cat "$here/job.$1")/|d" "$here/rows"
"""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """The folder of the stand-ins."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("squeue", SQUEUE), ("scancel", SCANCEL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    for name in ("rows", "arrays", "called"):
        (folder / name).write_text("")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return folder


def rows(queue, *jobs):
    """What squeue says: (job, folder, state, reason, node, time)."""
    for job, folder, *_ in jobs:
        (queue / f"job.{job}").write_text(str(folder))
    lines = [f"{folder}/job.sh|{state}|{reason}|{node}|{time}" for _, folder, state, reason, node, time in jobs]
    (queue / "rows").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def stages(tmp_path, queue):
    """A finished stage, one that runs, and one that waits for it."""
    data = submitted(tmp_path, "1_data.log", 5, left=DONE)
    feats = submitted(tmp_path, "2_feats.log", 6, after="5")
    teacher = submitted(tmp_path, "3_teacher.log", 7, after="6")
    rows(queue, (6, feats, "RUNNING", "None", "n2", "1:02"), (7, teacher, "PENDING", "Dependency", "", "0:00"))
    return data, feats, teacher


def test_the_table_of_stages_and_of_what_they_have_submitted(tmp_path, queue, stages, capsys):
    array = tmp_path / "dump/log/q/feats.JOB.log.20260101-000000.9"
    array.mkdir(parents=True)
    for number in (1, 2):
        (array / f"exit.{number}").touch()
    other = "/elsewhere/q/x.log.1.2/job.sh"
    lines = [f"9|feats|{state}|{array}/job.sh" for state in ("RUNNING", "PENDING", "RUNNING")]
    lines += [f"6|2_feats|RUNNING|{stages[1]}/job.sh", f"8|x|RUNNING|{other}"]
    (queue / "arrays").write_text("".join(f"{line}\n" for line in lines))
    assert main(["jobs", "status", "exp"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["stage", "job", "state", "log"],
        ["1", "data", "5", "done", "on", "n1", "exp/jobs/1_data.log"],
        ["2", "feats", "6", "running", "1:02", "on", "n2", "exp/jobs/2_feats.log"],
        ["feats", "9", "2", "running,", "1", "pending", "2", "ended", "dump/log/feats.JOB.log"],
        ["3", "teacher", "7", "waiting", "for", "feats", "exp/jobs/3_teacher.log"],
    ]
    assert (queue / "called").read_text().splitlines()[0] == (
        f"--noheader --user={getpass.getuser()} --format=%o|%T|%r|%N|%M --states=all"
    )


def test_a_chain_is_idle_when_nothing_waits_or_runs(tmp_path, queue, stages, capsys):
    assert main(["jobs", "status", "exp", "--idle"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and "exp: job 6 (feats) of an earlier submission is running; wait for it" in said.err
    rows(queue, (7, stages[2], "PENDING", "Dependency", "", "0:00"))
    (stages[1] / "exit.1").write_text(DONE)
    assert main(["jobs", "status", "exp", "--idle"]) == 1
    assert "job 7 (teacher) of an earlier submission is waiting" in capsys.readouterr().err
    rows(queue)
    assert main(["jobs", "status", "exp", "--idle"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_failed_chain_says_what_to_do(tmp_path, queue, stages, capsys):
    rows(queue)
    (stages[1] / "exit.1").write_text(FAILED)
    assert main(["jobs", "status", "exp"]) == 0
    out = capsys.readouterr().out
    assert "feats has not ended well; its log: kdasr jobs logs exp --stage feats" in out
    assert [line.split()[3:5] for line in out.splitlines()[1:4]] == [
        ["done", "on"],
        ["failed", "status"],
        ["not", "run"],
    ]


def test_a_controller_that_is_away(queue, stages, capsys):
    (queue / "silent").touch()
    for words in (["status", "exp"], ["status", "exp", "--idle"], ["cancel", "exp"], ["logs", "exp"]):
        assert main(["jobs", *words]) == 1
        assert "SLURM does not answer (slurm_load_jobs error: away); try again later" in capsys.readouterr().err


def test_without_slurm(queue, stages, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["jobs", "status", "exp"]) == 1
    assert "squeue: not found; call this where SLURM's commands are" in capsys.readouterr().err


def cancelled(queue):
    return [line for line in (queue / "called").read_text().splitlines() if line.startswith("scancel")]


def test_what_waits_is_cancelled_before_what_runs(queue, stages, capsys):
    assert main(["jobs", "cancel", "exp"]) == 0
    assert cancelled(queue) == ["scancel 7", "scancel 6"]
    assert capsys.readouterr().out == "cancelled: feats (job 6), teacher (job 7)\n"
    assert [(folder / "cancelled").exists() for folder in stages] == [False, True, True]
    assert main(["jobs", "cancel", "exp"]) == 0
    assert capsys.readouterr().out == "exp: no stage waits or runs\n" and len(cancelled(queue)) == 2


def test_one_stage_is_cancelled(queue, stages, capsys):
    """What else runs is not waited for."""
    assert main(["jobs", "cancel", "exp", "--stage", "3"]) == 0
    assert cancelled(queue) == ["scancel 7"] and capsys.readouterr().out == "cancelled: teacher (job 7)\n"


def test_jobs_that_go_on_after_all(queue, stages, capsys, monkeypatch):
    monkeypatch.setattr(cancel, "PATIENCE", 0.0)
    (queue / "stubborn").touch()
    assert main(["jobs", "cancel", "exp", "--stage", "feats"]) == 1
    assert "exp: cancelled, but not all jobs have ended yet" in capsys.readouterr().err
    (queue / "refuses").touch()
    (stages[1] / "cancelled").unlink()
    assert main(["jobs", "cancel", "exp"]) == 1
    assert "job 7 (teacher) could not be cancelled: scancel: error: Access denied; try again" in capsys.readouterr().err
    assert not (stages[2] / "cancelled").exists() and cancelled(queue)[-1] == "scancel 7"
    (queue / "unknown").touch()  # ended in between: that is as good
    assert main(["jobs", "cancel", "exp"]) == 1 and (stages[2] / "cancelled").exists()
    assert cancelled(queue)[-2:] == ["scancel 7", "scancel 6"]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--lines", "2"], ["line 8", "line 9"]),
        ([], [f"line {n}" for n in range(10)]),
        (["--stage", "1", "--lines", "1"], ["data"]),
        (["--stage", "data", "--lines", "1"], ["data"]),
    ],
)
def test_the_log_of_a_stage(tmp_path, queue, stages, capsys, words, shown):
    (tmp_path / "exp/jobs/1_data.log").write_text("data\n")
    (tmp_path / "exp/jobs/2_feats.log").write_text("".join(f"line {n}\n" for n in range(10)))
    assert main(["jobs", "logs", "exp", *words]) == 0
    said = capsys.readouterr().out.splitlines()
    head = "2_feats.log (running, 1:02 on n2)" if "--stage" not in words else "1_data.log (done, on n1)"
    assert said == [f"==> exp/jobs/{head} <==", *shown]


def test_a_log_that_is_not_there_yet(queue, stages, capsys):
    assert main(["jobs", "logs", "exp", "--stage", "teacher"]) == 1
    assert (
        "exp/jobs/3_teacher.log: not there yet; teacher is waiting (kdasr jobs status exp)" in capsys.readouterr().err
    )


def test_a_log_is_thirty_lines_unless_more_are_asked_for(tmp_path, queue, stages, capsys):
    (tmp_path / "exp/jobs/2_feats.log").write_text("".join(f"line {n}\n" for n in range(40)))
    assert main(["jobs", "logs", "exp"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"line {n}" for n in range(10, 40)]


@pytest.mark.parametrize("left", ["", "{", "[1]", '{"host": "n1"}', '{"code": 0}', '{"code": "0", "host": "n1"}'])
def test_a_damaged_exit_file_is_none(tmp_path, queue, left, capsys):
    folder = submitted(tmp_path, "4_nbest.log", 9)
    (folder / "exit.1").write_text(left)
    assert main(["jobs", "status", "exp"]) == 0
    assert "lost" in capsys.readouterr().out


def test_a_damaged_record_is_a_sentence(tmp_path, queue, capsys):
    folder = submitted(tmp_path, "4_nbest.log", 9)
    for record in ({}, {"options": {"log": "x"}, "directory": "y"}, {"options": [], "directory": 1}):
        (folder / "spec.json").write_text(json.dumps(record))
        assert main(["jobs", "status", "exp"]) == 1
        assert f"is no record of a submitted stage; remove exp/jobs/q/{folder.name}" in capsys.readouterr().err


def test_a_directory_with_a_bar_in_its_name(tmp_path, queue, capsys):
    place = tmp_path / "a|b"
    place.mkdir()
    folder = submitted(place, "2_feats.log", 6)
    rows(queue, (6, folder, "RUNNING", "None", "n2", "1:02"))
    assert main(["jobs", "status", "a|b/exp"]) == 0
    assert "running  1:02 on n2" in capsys.readouterr().out


@pytest.mark.parametrize("left", ["failed", "lost", "cancelled"])
def test_the_first_stage_that_has_not_ended_well_is_named(tmp_path, queue, capsys, left):
    """Those behind it, if they were run all the same, are not what one looks at first."""
    feats = submitted(tmp_path, "2_feats.log", 6, left=FAILED if left == "failed" else "")
    if left == "cancelled":
        (feats / "cancelled").touch()
    submitted(tmp_path, "3_teacher.log", 7, left=FAILED)
    assert main(["jobs", "status", "exp"]) == 0
    out = capsys.readouterr().out
    assert f"  {left}  " in out and "feats has not ended well; its log: kdasr jobs logs exp --stage feats" in out
    assert "The same ./run.sh --submit slurm ... continues from what is done." in out
