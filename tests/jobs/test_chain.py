"""`kdasr jobs`: what is said of a stage, from its exit file, SLURM, and the stage before it."""

import dataclasses
import json

import pytest

from kdasr.cli import main
from kdasr.errors import UserError
from kdasr.jobs.cancel import chosen
from kdasr.jobs.chain import Told, chain, follow
from kdasr.jobs.logs import worth_reading

DONE, FAILED, STOPPED = (json.dumps({"code": code, "host": "n1", "id": "7", "restarts": 0}) for code in (0, 3, None))


def submitted(tmp_path, log, job, after="", left="", when="20260101-000000.1"):
    """A stage's folder as utils/slurm.py leaves it."""
    folder = tmp_path / "exp/jobs/q" / f"{log}.{when}"
    folder.mkdir(parents=True)
    given = {"detach": "1", **({"after": after} if after else {})}
    spec = {"options": {"log": f"exp/jobs/{log}", "given": given}, "directory": str(tmp_path)}
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "id").write_text(f"{job}\n")
    if left:
        (folder / "exit.1").write_text(left)
    return folder


def states(folders, told):
    """(name, state, detail) of each stage; `told` has SLURM's state by folder."""
    said = {str(folder / "job.sh"): answer for folder, answer in told.items()}
    return [(stage.name, stage.state, stage.detail) for stage in follow(folders, said)]


def test_a_chain_that_runs(tmp_path):
    data = submitted(tmp_path, "1_data.log", 5, left=DONE)
    feats = submitted(tmp_path, "2_feats.log", 6, after="5")
    teacher = submitted(tmp_path, "3_teacher.log", 7, after="6")
    told = {feats: Told("RUNNING", "None", "n2", "1:02"), teacher: Told("PENDING", "Dependency", "", "0:00")}
    assert states([data, feats, teacher], told) == [
        ("data", "done", "on n1"),
        ("feats", "running", "1:02 on n2"),
        ("teacher", "waiting", "for feats"),
    ]


def test_what_waits_behind_a_failure_is_not_run(tmp_path):
    data = submitted(tmp_path, "1_data.log", 5, left=FAILED)
    feats = submitted(tmp_path, "2_feats.log", 6, after="5")
    teacher = submitted(tmp_path, "3_teacher.log", 7, after="6")
    for told in ({}, {feats: Told("CANCELLED", "Dependency", "", "0:00")}):  # SLURM forgets
        assert states([data, feats, teacher], told) == [
            ("data", "failed", "status 3 on n1"),
            ("feats", "not run", "data has not ended well"),
            ("teacher", "not run", "feats has not ended well"),
        ]


@pytest.mark.parametrize(
    ("left", "told", "state", "detail"),
    [
        (STOPPED, None, "cancelled", "by scancel, or stopped by SLURM (time limit?)"),
        (STOPPED, Told("TIMEOUT", "TimeLimit", "n3", "1:00"), "failed", "reached its time limit (n3)"),
        (STOPPED, Told("PENDING", "BeginTime", "", "0:00"), "waiting", "BeginTime"),  # requeued
        ("", Told("PENDING", "Resources", "", "0:00"), "waiting", "Resources"),
        ("", Told("COMPLETED", "None", "n3", "0:09"), "done", ""),  # a file system that is slow
        (
            "",
            Told("FAILED", "NonZeroExitCode", "n3", "0:09"),
            "lost",
            "it left no exit status: killed, or its node died",
        ),
        ("", Told("CANCELLED", "None", "n3", "0:09"), "cancelled", "by scancel"),
        ("", Told("NODE_FAIL", "NodeDown", "n3", "0:09"), "failed", "lost its node (n3)"),
        ("", None, "lost", "it left no exit status: killed, or its node died"),
        (DONE, Told("COMPLETING", "None", "n3", "0:09"), "running", "0:09 on n3"),
    ],
)
def test_one_stage(tmp_path, left, told, state, detail):
    folder = submitted(tmp_path, "4_nbest.log", 9, left=left)
    assert states([folder], {folder: told} if told else {}) == [("nbest", state, detail)]


LIVE = [
    "RUNNING",
    "CONFIGURING",
    "COMPLETING",
    "SUSPENDED",
    "RESIZING",
    "REQUEUED",
    "SIGNALING",
    "STAGE_OUT",
    "STOPPED",
]


@pytest.mark.parametrize(
    ("state", "becomes", "detail"),
    [(state, "running", "0:09 on n3") for state in LIVE]
    + [
        ("COMPLETED", "done", ""),
        ("FAILED", "lost", "it left no exit status: killed, or its node died"),
        ("CANCELLED", "cancelled", "by scancel"),
        ("TIMEOUT", "failed", "reached its time limit (n3)"),
        ("DEADLINE", "failed", "reached its deadline (n3)"),
        ("NODE_FAIL", "failed", "lost its node (n3)"),
        ("BOOT_FAIL", "failed", "found no node that boots (n3)"),
        ("OUT_OF_MEMORY", "failed", "needed more memory than it had asked for (n3)"),
        ("PREEMPTED", "failed", "was preempted (n3)"),
    ],
)
def test_each_state_of_slurm_s(tmp_path, state, becomes, detail):
    """Without an exit file; with one that says that all is well SLURM's word counts only while the job is there."""
    folder = submitted(tmp_path, "4_nbest.log", 9)
    assert states([folder], {folder: Told(state, "None", "n3", "0:09")}) == [("nbest", becomes, detail)]
    (folder / "exit.1").write_text(DONE)
    after = ("nbest", "running", detail) if becomes == "running" else ("nbest", "done", "on n1")
    assert states([folder], {folder: Told(state, "None", "n3", "0:09")}) == [after]


@pytest.mark.parametrize(
    ("left", "reason", "detail"),
    [
        ("", "Dependency", "for feats"),
        ("", "Resources", "Resources"),
        (DONE, "Dependency", "Dependency"),  # SLURM has not noticed yet
        (DONE, "Priority", "Priority"),
    ],
)
def test_what_a_stage_waits_for(tmp_path, left, reason, detail):
    feats = submitted(tmp_path, "2_feats.log", 6, left=left)
    teacher = submitted(tmp_path, "3_teacher.log", 7, after="6")
    told = {teacher: Told("PENDING", reason, "", "0:00")}
    if not left:
        told[feats] = Told("RUNNING", "None", "", "0:01")
    assert states([feats, teacher], told)[1] == ("teacher", "waiting", detail)
    assert states([feats, teacher], told)[0][1:] == (("running", "running") if not left else ("done", "on n1"))


def test_a_job_of_a_named_cluster(tmp_path):
    """sbatch --parsable prints its cluster, too."""
    feats = submitted(tmp_path, "2_feats.log", "6;big", left=FAILED)
    teacher = submitted(tmp_path, "3_teacher.log", "7;big", after="6")
    assert [stage.job for stage in follow([feats, teacher], {})] == ["6", "7"]
    assert states([feats, teacher], {})[1] == ("teacher", "not run", "feats has not ended well")


@pytest.mark.parametrize("before", ["failed", "cancelled", "lost", "not run"])
def test_what_stands_behind_what_did_not_end_well(tmp_path, before):
    folders = [submitted(tmp_path, "1_data.log", 4, left=FAILED if before == "not run" else "")]
    left = {"failed": FAILED, "cancelled": STOPPED}.get(before, "")
    folders.append(submitted(tmp_path, "2_feats.log", 6, after="4" if before == "not run" else "", left=left))
    folders.append(submitted(tmp_path, "3_teacher.log", 7, after="6"))
    found = states(folders, {})
    assert found[1][1] == before and found[2] == ("teacher", "not run", "feats has not ended well")


def test_a_cancelled_one_says_by_whom(tmp_path):
    folder = submitted(tmp_path, "4_nbest.log", 9, left=STOPPED)
    (folder / "cancelled").touch()
    assert states([folder], {}) == [("nbest", "cancelled", "by kdasr jobs cancel")]


def test_the_last_submission_counts_and_stages_stand_by_number(tmp_path, monkeypatch):
    monkeypatch.setattr("kdasr.jobs.chain.ask", dict)
    submitted(tmp_path, "10_report.log", 3, left=DONE)
    submitted(tmp_path, "2_feats.log", 1, left=FAILED)
    submitted(tmp_path, "2_feats.log", 2, left=DONE, when="20260102-000000.1")
    found = chain(tmp_path / "exp")
    assert [(stage.number, stage.job, stage.state) for stage in found] == [(2, "2", "done"), (10, "3", "done")]
    assert worth_reading(found).name == "report"
    assert [stage.job for stage in chosen(found, "10")] == [stage.job for stage in chosen(found, "report")] == ["3"]
    with pytest.raises(UserError, match="teacher: was not submitted; there are feats, report"):
        chosen(found, "teacher")


def test_the_failed_stage_is_worth_reading(tmp_path):
    folders = [
        submitted(tmp_path, "1_data.log", 5, left=DONE),
        submitted(tmp_path, "2_feats.log", 6, after="5", left=FAILED),
        submitted(tmp_path, "3_teacher.log", 7, after="6"),
    ]
    assert worth_reading(follow(folders, {})).name == "feats"


def test_which_log_is_worth_reading(tmp_path):
    """What failed, else what is lost, cancelled, running, the last that is done, and the first otherwise."""
    folder = submitted(tmp_path, "1_data.log", 1)
    (one,) = follow([folder], {})
    order = ["failed", "lost", "cancelled", "running", "done", "waiting", "not run"]
    for place, state in enumerate(order[:5]):
        for other in order[place + 1 :]:
            for states_of in ((state, other), (other, state)):
                stages = [dataclasses.replace(one, state=each) for each in states_of]
                assert worth_reading(stages).state == state, states_of
    for state, number in (("failed", 1), ("done", 2), ("waiting", 1), ("running", 1)):
        stages = [dataclasses.replace(one, state=state, number=number) for number in (1, 2)]
        assert worth_reading(stages).number == number


def test_nothing_submitted(tmp_path, capsys):
    assert main(["jobs", "status", str(tmp_path)]) == 1
    assert "no stage was submitted from here; ./run.sh --submit slurm does that" in capsys.readouterr().err
    assert main(["jobs", "status", str(tmp_path), "--idle"]) == 0
    (tmp_path / "jobs/q").mkdir(parents=True)  # left by a submission that SLURM did not take
    assert main(["jobs", "status", str(tmp_path), "--idle"]) == 0
