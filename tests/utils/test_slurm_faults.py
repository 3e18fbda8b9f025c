"""utils/slurm.py on a real cluster when jobs, nodes and the controller fail.

What takes minutes (a time limit, a node that dies) is begun before the other tests and looked at after them.
"""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from slurm_lab import Begun, body, ended, gone, job_of, until_says, wait_for

# a job with a child of its own, which it does not end itself; its runner is $PPID
FAMILY = "sleep 600 & echo $PPID $$ $! >pids.JOB.tmp; mv pids.JOB.tmp pids.JOB; wait"
# the first attempt never ends, the second one does at once
ONCE = "if [ -e began.JOB ]; then echo second; else echo first; echo $PPID $$ >began.JOB; exec sleep 600; fi"
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("time_limit", "dead_node")]


@pytest.fixture(scope="module")
def dead_node(slurm, tmp_path_factory):
    """A job whose node dies with all that runs there."""
    folder = tmp_path_factory.mktemp("dead_node")
    words = ["--whole-node", "1", "--node", "n4", "JOB=1:1", "x.JOB.log", "bash", "-c", ONCE]
    begun = Begun(slurm, folder, *words)
    processes = [int(word) for word in wait_for(folder / "began.1")]
    job = slurm.slurm("squeue", "-h", "-w", "n4", "-o", "%A").strip()
    (step,) = [file for file in Path("/proc").glob("[0-9]*/cmdline") if f"slurmstepd: [{job}.batch]" in text(file)]
    slurm.stop_daemon("slurmd.n4", signal.SIGKILL)
    for process in [int(step.parent.name), *processes]:
        os.kill(process, signal.SIGKILL)
    yield begun
    begun.process.terminate()
    ended(begun.process)


def text(file):
    try:
        return file.read_text().replace("\0", " ")
    except OSError:
        return ""


def test_a_cancelled_element(slurm, tmp_path):
    process = slurm.start(tmp_path, "JOB=1:3", "x.JOB.log", "bash", "-c", FAMILY)
    pids = wait_for(tmp_path / "pids.1") + wait_for(tmp_path / "pids.2") + wait_for(tmp_path / "pids.3")
    job = job_of(tmp_path)
    slurm.slurm("scancel", f"{job}_2")
    code, _, err = ended(process)
    assert code == 1
    assert f"job {job}_2 was cancelled (scancel" in err and "1 / 3 failed (2 cancelled)" in err
    assert slurm.in_queue(job) == [] and all(gone(pid) for pid in pids)


def test_a_cancelled_command_that_says_all_is_well(slurm, tmp_path):
    # as a pipe does whose first program was killed
    command = "echo $$ >began; trap 'exit 0' TERM; sleep 600 & wait"
    process = slurm.start(tmp_path, "x.log", "bash", "-c", command)
    wait_for(tmp_path / "began")
    slurm.slurm("scancel", job_of(tmp_path))
    code, _, err = ended(process)
    assert code == 1 and "was cancelled (scancel" in err


def test_a_killed_batch_script(slurm, tmp_path):
    process = slurm.start(tmp_path, "JOB=1:2", "x.JOB.log", "bash", "-c", "echo said JOB; " + FAMILY)
    runner, command, _ = wait_for(tmp_path / "pids.2")
    wait_for(tmp_path / "pids.1")
    os.kill(int(runner), signal.SIGKILL)
    code, _, err = ended(process)
    assert code == 1
    assert re.search(
        r"job \d+_2 ended without leaving an exit status \(SLURM: FAILED\): it was killed on its node n\d", err
    )
    assert "said 2" in err and gone(command)


def test_a_killed_command(slurm, tmp_path):
    code, _, err = slurm.run(tmp_path, "x.log", "bash", "-c", "kill -9 $$")
    assert code == 137 and "ended with status 137, killed by signal 9: by someone, or by the system for want of" in err
    assert "# Ended (code 137; signal 9)" in (tmp_path / "x.log").read_text()


def test_a_node_that_is_taken_down_under_a_job_that_may_not_be_requeued(slurm, tmp_path):
    process = slurm.start(tmp_path, "--requeue", "0", "--node", "n3", "x.log", "bash", "-c", FAMILY)
    wait_for(tmp_path / "pids.JOB")
    slurm.slurm("scontrol", "update", "nodename=n3", "state=down", "reason=test")
    code, _, err = ended(process)
    slurm.slurm("scontrol", "update", "nodename=n3", "state=resume")
    assert (
        code == 1
        and "lost its node n3, and SLURM may not requeue it (sbatch --requeue in conf/slurm.conf lets it)" in err
    )
    slurm.until_idle("n3")


def test_requeue_and_preemption(slurm, tmp_path):
    by_hand, preempted, urgent = (tmp_path / name for name in ("by_hand", "preempted", "urgent"))
    for folder in (by_hand, preempted, urgent):
        folder.mkdir()
    two = slurm.start(by_hand, "JOB=1:2", "x.JOB.log", "bash", "-c", f"if [ JOB = 1 ]; then {ONCE}; else echo one; fi")
    words = ["--partition", "spare", "--node", "n2", "--whole-node", "1"]
    spare = slurm.start(preempted, *words, "JOB=1:1", "x.JOB.log", "bash", "-c", ONCE)
    wait_for(by_hand / "began.1")
    slurm.slurm("scontrol", "requeue", f"{job_of(by_hand)}_1")
    wait_for(preempted / "began.1")
    assert slurm.run(urgent, "--node", "n2", "--whole-node", "1", "x.log", "echo", "first")[0] == 0
    for process, folder, why in (
        (two, by_hand, "preempted, its node taken down, or by scontrol requeue"),
        (spare, preempted, "preempted"),
    ):
        code, _, err = ended(process)
        assert code == 0 and re.fullmatch(r"slurm.py: job \d+_1 was requeued by SLURM \((.*)\), and waits .*\n", err)[
            1
        ].startswith(why)
        # what SLURM and both attempts wrote
        assert body(folder / "x.1.log") == ["first", "second"] and "DUE TO" in (folder / "x.1.log").read_text()
        assert not (folder / "q").exists()
    assert body(by_hand / "x.2.log") == ["one"]


def test_a_job_that_waits_for_somebody(slurm, tmp_path):
    process = slurm.start(tmp_path, "x.log", "bash", "-c", FAMILY)
    wait_for(tmp_path / "pids.JOB")
    job = job_of(tmp_path)
    slurm.slurm("scontrol", "requeuehold", job)
    line = until_says(process, "waits, perhaps for ever")
    assert re.fullmatch(rf"slurm.py: job {job} waits, perhaps for ever \(.*held.*\): scontrol show job {job}\n", line)
    process.terminate()
    assert ended(process)[0] == 143 and slurm.in_queue(job) == []


def test_a_folder_that_somebody_removes(slurm, tmp_path):
    process = slurm.start(tmp_path, "x.log", "bash", "-c", FAMILY)
    pids = wait_for(tmp_path / "pids.JOB")
    shutil.rmtree(tmp_path / "q")
    code, _, err = ended(process)
    assert code == 143 and "gone; without it the job's end cannot be known" in err and "cancelled: x.log" in err
    assert all(gone(pid) for pid in pids)


def test_slurmd_stopped_under_a_running_job(slurm, tmp_path):
    command = "echo $$ >began.JOB; until [ -e go.JOB ]; do sleep 0.1; done; echo JOB"
    process = slurm.start(tmp_path, "--node", "n2", "JOB=1:2", "x.JOB.log", "bash", "-c", command)
    for number in (1, 2):
        wait_for(tmp_path / f"began.{number}")
    slurm.stop_daemon("slurmd.n2")
    (tmp_path / "go.1").touch()  # ends while its node's daemon is away
    time.sleep(3)
    slurm.start_daemon("slurmd.n2")
    (tmp_path / "go.2").touch()
    assert ended(process) == (0, "", "")
    assert [body(tmp_path / f"x.{number}.log") for number in (1, 2)] == [["1"], ["2"]]
    slurm.until_idle("n2")


def test_a_time_limit(slurm, time_limit):
    code, _, err = ended(time_limit.process)
    assert code == 1 and re.search(
        r"job \d+_1 reached its time limit; raise --time, or the time in conf/slurm.conf", err
    )
    assert "DUE TO TIME LIMIT" in err  # SLURM's own words in the log, which is shown
    calls = [int(word) for word in (time_limit.folder / "bin/calls").read_text().split()]
    assert calls[-1] - calls[0] > 50
    for first in calls:
        # one more, since a minute's first call was made some time within its second
        assert sum(first <= call < first + 59 for call in calls) <= 6, calls


def test_a_dead_node(slurm, dead_node):
    line = until_says(dead_node.process, "was requeued by SLURM")
    assert "(its node n4 died), and waits to run again" in line
    slurm.start_daemon("slurmd.n4")  # the job may run nowhere else
    assert ended(dead_node.process)[0] == 0
    assert body(dead_node.folder / "x.1.log") == ["first", "second"]


def test_a_controller_that_is_away(slurm, tmp_path):
    command = "echo $$ >began.JOB; until [ -e go.JOB ]; do sleep 0.1; done; exit JOB"
    process = slurm.start(tmp_path, "JOB=5", "x.JOB.log", "bash", "-c", command)
    wait_for(tmp_path / "began.5")
    slurm.stop_daemon("slurmctld")
    try:
        (tmp_path / "go.5").touch()  # an exit file needs no controller
        line = until_says(process, "ended with status 5")
        assert line.startswith(f"slurm.py: job {job_of(tmp_path)}_5 ended with status 5 on n")
    finally:
        slurm.start_daemon("slurmctld")
    assert process.wait(60) == 5
    slurm.until_idle("n2")
