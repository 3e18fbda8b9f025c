"""Seconds of a training over all its runs, killed ones included."""

import os
import signal
import subprocess
import sys
import time

import pytest

from kdasr.asr import clock
from kdasr.errors import UserError
from kdasr.files import read_json, write_json

KILLED = """
import sys, time
from pathlib import Path
from kdasr.asr import clock
clock.EVERY = 0.05
with clock.Clock(Path(sys.argv[1])):
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    print("begun", flush=True)
    time.sleep(600)
"""


def killed(out, wall, cpu):
    """A run that works, and is killed when its file tells of so many seconds."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, out], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    while (there := read_json(out / clock.FILE))["wall"] < wall or there["cpu"] < cpu:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_killed_runs_count(tmp_path):
    began = time.time()
    killed(tmp_path, 0.4, 0.04)
    first = read_json(tmp_path / clock.FILE)
    assert first["running"] and 0.4 <= first["wall"] < time.time() - began and first["interrupted"] == 0
    assert 0.04 <= first["cpu"] < first["wall"] + 0.1
    killed(tmp_path, first["wall"] + 0.4, first["cpu"] + 0.04)
    second = read_json(tmp_path / clock.FILE)
    assert second["interrupted"] == 1 and second["wall"] >= first["wall"] + 0.4 and second["cpu"] >= first["cpu"] + 0.04
    with clock.Clock(tmp_path) as now:
        time.sleep(0.1)
    spent = now.spent()
    assert spent.interrupted == 2 and spent.wall > second["wall"] + 0.1 and spent.cpu >= second["cpu"]
    last = read_json(tmp_path / clock.FILE)
    assert not last["running"] and last["interrupted"] == 2
    with clock.Clock(tmp_path) as now:  # a run that ended by itself was not interrupted
        pass
    assert now.spent().interrupted == 2


def test_an_exception_is_no_kill(tmp_path):
    with pytest.raises(KeyboardInterrupt), clock.Clock(tmp_path):
        raise KeyboardInterrupt
    with clock.Clock(tmp_path) as now:
        pass
    assert now.spent().interrupted == 0


def test_of_older_versions_and_damaged(tmp_path):
    write_json(tmp_path / clock.FILE, {"wall": 10.0, "cpu": 7.0})
    with clock.Clock(tmp_path) as now:
        pass
    assert now.spent().wall == pytest.approx(10 + time.time() - now.began, abs=0.1)
    assert now.spent().cpu == pytest.approx(7 + clock.cpu_seconds() - now.cpu, abs=0.1)
    write_json(tmp_path / clock.FILE, {"wall": "long"})
    with pytest.raises(UserError, match=r"seconds\.json: holds no seconds of a training"):
        clock.Clock(tmp_path)


def test_seconds_are_those_since_it_began(tmp_path):
    """And those of runs before; of CPU time, what the process had used by then is not the training's."""
    write_json(tmp_path / clock.FILE, {"wall": 5000.0, "cpu": 3000.0, "interrupted": 2, "running": True})
    before = clock.cpu_seconds()
    now = clock.Clock(tmp_path)
    assert now.before == clock.Spent(5000.0, 3000.0, 3, False)
    assert before <= now.cpu <= clock.cpu_seconds()
    now.began -= 1000
    now.cpu -= 400
    spent = now.spent()
    assert spent.wall == pytest.approx(6000, abs=100) and spent.cpu == pytest.approx(3400, abs=100)
    assert not spent.running and now.spent(running=True).running
    with now:
        there = read_json(tmp_path / clock.FILE)
        assert there["running"] and there["interrupted"] == 3 and there["wall"] == pytest.approx(6000, abs=100)
    assert read_json(tmp_path / clock.FILE)["running"] is False and not now.thread.is_alive()


def test_cpu_seconds_of_children_and_of_the_system_count():
    """Those of a child that has ended: what the kernel says of it, user and system."""
    before, known = clock.cpu_seconds(), os.times()
    code = "import os\nwhile os.times().system < 0.05 or os.times().user < 0.05: os.stat('/')"
    subprocess.run([sys.executable, "-c", code], check=True)
    children = os.times().children_user - known.children_user, os.times().children_system - known.children_system
    assert min(children) >= 0.0499  # differences of hundredths
    assert clock.cpu_seconds() - before >= sum(children) - 0.02
    assert clock.cpu_seconds() == pytest.approx(sum(os.times()[:4]), abs=0.05)


def test_what_is_lost_of_a_killed_run_are_seconds():
    assert 1 <= clock.EVERY <= 10


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), UserError("the disk is full")])
def test_a_full_disk_does_not_end_the_training_by_way_of_its_clock(tmp_path, monkeypatch, error):
    def full(*_):
        raise error

    monkeypatch.setattr(clock, "write_json", full)
    with clock.Clock(tmp_path) as now:
        pass
    assert now.spent().wall >= 0 and not (tmp_path / clock.FILE).exists()
