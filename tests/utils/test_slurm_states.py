"""utils/slurm.py and states that a cluster without cgroups, reboots or a slow file system does not show."""

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "utils"))

import jobs
import slurm
import slurm_queue
from jobs import Options


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "id").write_text("17;cluster\n")
    return slurm.Watch(Options("x.JOB.log", ["true"], {}, "JOB", 1, 3), tmp_path, "conf/slurm.conf")


def said(*rows):
    """What squeue prints for (number, state, reason)."""
    values = [{"ArrayTaskID": n, "State": state, "RestartCnt": 0, "Reason": why} for n, state, why in rows]
    for row in values:
        row |= {"PreemptTime": "N/A", "NodeList": "" if row["State"] == "PENDING" else "n1"}
    lines = ["".join(f"{row[name]!s:{width}}" for name, width in slurm_queue.FIELDS.items()) for row in values]
    return slurm_queue.elements("squeue: error: a warning\n" + "\n".join(lines))


def leave(watch, number, code, restarts=0):
    text = json.dumps({"code": code, "host": "n1", "id": f"17_{number}", "restarts": restarts})
    (watch.folder / f"exit.{number}").write_text(text)


@pytest.mark.parametrize(
    "state, words",
    [
        ("OUT_OF_MEMORY", "needed more memory than it had asked for; raise --mem, or the memory in conf/slurm.conf"),
        ("PREEMPTED", "was preempted, and SLURM may not requeue it (sbatch --requeue in conf/slurm.conf lets it)"),
        ("BOOT_FAIL", "found no node that boots"),
        ("DEADLINE", "could not end before its deadline"),
        ("REVOKED", "was revoked"),
    ],
)
def test_each_state_has_its_sentence(watch, state, words):
    watch.hear(said((1, "RUNNING", "None"), (2, state, "None"), (3, "PENDING", "Resources")))
    assert watch.failed == {2: 1} and watch.reasons[0].startswith(f"job 17_2 {words}")


def test_states_in_which_a_job_goes_on(watch, capsys):
    watch.hear(said((1, "COMPLETING", "None"), (2, "CONFIGURING", "None"), (3, "PENDING", "Priority")))
    watch.hear(said((1, "SUSPENDED", "None"), (2, "REQUEUED", "None"), (3, "A_NEW_ONE", "Priority")))
    watch.look()
    assert not watch.failed and capsys.readouterr().err == ""


def test_a_command_that_was_killed_for_its_memory(watch):
    leave(watch, 2, 137)
    watch.look()
    watch.open[2].left_at -= 2
    assert not watch.failed and watch.open[2].open_question()
    watch.hear(said((1, "RUNNING", "None"), (2, "OUT_OF_MEMORY", "None"), (3, "RUNNING", "None")))
    assert watch.failed == {2: 1} and "needed more memory" in watch.reasons[0]


def test_a_killed_command_when_slurm_does_not_answer(watch):
    leave(watch, 3, 137)
    watch.look()
    watch.look()
    assert not watch.failed
    watch.open[3].left_at -= 21
    watch.look()
    assert watch.failed == {3: 137} and "ended with status 137, killed by signal 9" in watch.reasons[0]


@pytest.mark.parametrize("state, seconds", [("COMPLETED", 15), ("FAILED", 2), ("", 15)])
def test_an_exit_file_may_come_late(watch, state, seconds):
    rows = [(1, "RUNNING", "None"), (3, "RUNNING", "None")]
    watch.hear(said(*rows, *([(2, state, "None")] if state else [])))
    watch.open[2].state_at -= seconds - 0.5
    watch.look()
    assert not watch.failed
    (watch.folder / "exit.2").write_text("")  # NFS: a file without its text
    watch.look()
    assert not watch.failed and 2 in watch.open
    leave(watch, 2, 0)
    watch.look()
    assert not watch.failed and 2 not in watch.open


@pytest.mark.parametrize(
    "state, seconds, words",
    [
        ("COMPLETED", 15, "ended without leaving an exit status (SLURM: COMPLETED)"),
        ("FAILED", 2, "ended without leaving an exit status (SLURM: FAILED): it was killed on its node n1"),
        ("", 15, "is gone: SLURM does not know it any more"),
    ],
)
def test_an_exit_file_that_does_not_come(watch, state, seconds, words):
    watch.hear(said((1, "RUNNING", "None"), (3, "RUNNING", "None"), *([(2, state, "None")] if state else [])))
    watch.open[2].state_at -= seconds + 0.1
    watch.look()
    assert watch.failed == {2: 1} and watch.reasons[0].startswith(f"job 17_2 {words}")


def test_a_job_that_slurm_shows_again_is_not_lost(watch):
    watch.hear({})
    watch.hear(said(*((number, "RUNNING", "None") for number in (1, 2, 3))))
    for job in watch.open.values():
        job.state_at -= 100
    watch.look()
    assert not watch.failed
    watch.hear({})  # lost again: its time begins anew
    watch.look()
    assert not watch.failed


def test_an_exit_file_of_an_attempt_before_the_requeue(watch, capsys):
    leave(watch, 1, None)
    watch.look()
    answer = said((1, "PENDING", "BeginTime"), (2, "RUNNING", "None"), (3, "RUNNING", "None"))
    watch.hear({**answer, "1": answer["1"]._replace(restarts=1)})
    watch.look()
    assert watch.open[1].left is None and not watch.failed and watch.requeued
    assert "job 17_1 was requeued by SLURM" in capsys.readouterr().err
    leave(watch, 1, 0, restarts=1)
    watch.look()
    assert 1 not in watch.open


def test_a_first_restart_is_told_and_why(watch, capsys):
    """Once; a job that was preempted says so; what it had left before counts no more."""
    rows = said((1, "PENDING", "None"), (2, "PENDING", "None"), (3, "RUNNING", "None"))
    rows["1"] = rows["1"]._replace(restarts=1, preempted=True)
    rows["2"] = rows["2"]._replace(restarts=1)
    watch.open[2].node = "n7"
    for _ in range(2):
        watch.hear(rows)
    assert capsys.readouterr().err.splitlines() == [
        f"{jobs.program()}: job 17_1 was requeued by SLURM (preempted), and waits to run again",
        f"{jobs.program()}: job 17_2 was requeued by SLURM (its node n7 died), and waits to run again",
    ]
    leave(watch, 1, None, restarts=0)  # of the attempt before
    watch.look()
    assert watch.open[1].left is None


@pytest.mark.parametrize("reason", ["JobHeldUser", "Dependency", "QOSNotAllowed", "ReqNodeNotAvail, May be reserved"])
def test_a_job_that_may_wait_for_ever_is_named_once(watch, capsys, reason):
    rows = said((1, "PENDING", reason), (2, "PENDING", "Priority"), (3, "RUNNING", "None"))
    watch.hear(rows)
    watch.hear(rows)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and f"job 17_1 waits, perhaps for ever ({reason}): scontrol show job 17" in err


def test_what_squeue_prints_is_read_by_its_columns():
    """Each field to its full width, and nothing taken for a preemption that is none."""
    values = {"ArrayTaskID": "123456789012", "State": "OUT_OF_MEMORY", "RestartCnt": "12345678", "Reason": "x" * 40}
    for preempted, time_, node in ((True, "2026-01-01T00:00:00", "n" * 64), (False, "N/A", ""), (False, "", "n1")):
        row = values | {"PreemptTime": time_, "NodeList": node}
        line = "".join(f"{row[name]:{width}}" for name, width in slurm_queue.FIELDS.items())
        (found,) = slurm_queue.elements(line).items()
        assert found == ("123456789012", ("OUT_OF_MEMORY", 12345678, "x" * 40, preempted, node))


def asked(tmp_path, monkeypatch, script):
    """The answer to one question, which this script gives."""
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    queue = slurm_queue.Queue("17", tmp_path / "")
    queue.answer_file = tmp_path / "answer"
    queue.asked[-1] -= 60
    return queue


def answer(queue):
    queue.asked[-1] -= 60
    queue.ask(soon=False)
    queue.process.wait()
    return queue.answer()


def test_what_an_answer_of_squeue_means(tmp_path, monkeypatch):
    queue = asked(tmp_path, monkeypatch, "echo 'error: Unable to contact slurm controller'; exit 1")
    assert answer(queue) is None and queue.complaint == "error: Unable to contact slurm controller"
    asked(tmp_path, monkeypatch, "echo 'slurm_load_jobs error: Invalid job id specified'; exit 1")
    assert answer(queue) == {} and queue.complaint == ""  # it knows that there is no such job
    asked(tmp_path, monkeypatch, "exit 3")
    assert answer(queue) is None and queue.complaint == "squeue: status 3"
    asked(tmp_path, monkeypatch, "exit 0")
    assert answer(queue) == {} and queue.complaint == ""


@pytest.mark.parametrize("soon, seconds", [(False, 10), (True, 1)])
def test_how_soon_a_question_is_asked(tmp_path, monkeypatch, soon, seconds):
    queue = asked(tmp_path, monkeypatch, "exit 0")
    queue.asked[-1] = slurm_queue.time.monotonic() - seconds + 0.7
    queue.ask(soon=soon)
    assert queue.process is None
    queue.asked[-1] -= 0.8
    queue.ask(soon=soon)
    assert queue.process is not None
    queue.close()


def test_at_most_six_questions_a_minute(tmp_path, monkeypatch):
    clock, asked = [1000.0], []
    monkeypatch.setattr(slurm_queue.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(slurm_queue, "environment", lambda: {"PATH": "/usr/bin:/bin"})
    queue = slurm_queue.Queue("17", tmp_path)
    monkeypatch.setattr(slurm_queue.subprocess, "Popen", lambda *_a, **_k: asked.append(clock[0]))  # ends at once
    for step in range(3000):  # five minutes; somebody is in a hurry half of the time
        clock[0] += 0.1
        queue.ask(soon=step % 400 < 200)
    assert max(sum(first <= moment < first + 60 for moment in asked) for first in asked) == 6 and len(asked) >= 28
