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
    print("begun", flush=True)
    end = time.time() + 60
    while time.time() < end:
        pass
"""


def killed(out, seconds):
    """A run that works for some seconds, and is killed."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, out], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_killed_runs_count(tmp_path):
    killed(tmp_path, 0.6)
    first = read_json(tmp_path / clock.FILE)
    assert first["running"] and 0.4 < first["wall"] < 5 and first["cpu"] > 0 and first["interrupted"] == 0
    killed(tmp_path, 0.6)
    second = read_json(tmp_path / clock.FILE)
    assert second["interrupted"] == 1 and second["wall"] > first["wall"] + 0.4
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
    assert 10 < now.spent().wall < 11 and now.spent().cpu >= 7
    write_json(tmp_path / clock.FILE, {"wall": "long"})
    with pytest.raises(UserError, match=r"seconds\.json: holds no seconds of a training"):
        clock.Clock(tmp_path)
