"""However a recipe or its run.py dies: nothing is left, and no process of the old run writes beside the new one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm_lab import gone
from stand_in import UTILS, kd

pytestmark = [
    pytest.mark.kill,
    pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's"),
]
MARK = "KDASR_TEST_MARK"
# Stage 1 as local/data.sh is: bash, which starts programs, which start others. One has a session of its own, one has
# lost its parent, one, if STUBBORN, takes no notice of SIGTERM. They write until the end.
DATA = r"""#!/usr/bin/env bash
set -euo pipefail
if [ -e quick ]; then
    echo "${EPOCHREALTIME/[.,]/}" >begun
    mkdir -p data/{train,dev,test}
    for x in train dev test; do for name in wav.scp text utt2spk; do echo "u $x" >data/$x/$name; done; done
    exit
fi
write() { while :; do echo "$BASHPID ${EPOCHREALTIME/[.,]/}" >>written; sleep 0.02; done; }
export -f write
setsid bash -c write &
(bash -c write & exit 0)
bash -c "${STUBBORN:+trap '' TERM;} write" &
bash -c "echo \$PPID >data.pid; write"
"""
DEATHS = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def marked(mark):
    """The processes with this mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def command(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def stat(pid):
    """Parent, process group and session; zeros for a process that has ended meanwhile."""
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1:4]]
    return [0, 0, 0]


def parent(pid):
    return stat(pid)[0]


@pytest.fixture
def mark(request):
    """What tells this test's processes from others; where the test fails, they are ended here."""
    value = f"{os.getpid()} {request.node.name}"
    yield value
    while left := marked(value):
        send(left, signal.SIGKILL)


def send(victims, number):
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, number)


def started(words, cwd, mark, ready, **environment):
    """Start a program in a session of its own, and wait until it has written so many lines to `written`."""
    process = subprocess.Popen(
        words, cwd=cwd, env={**os.environ, **environment, MARK: mark}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, preexec_fn=default_signals,
    )  # fmt: skip
    for _ in range(24000):
        written = (cwd / "written").read_text().splitlines() if (cwd / "written").exists() else []
        if len({line.split()[0] for line in written}) == ready and (cwd / "data.pid").exists():
            return process
        time.sleep(0.025)
    raise AssertionError("its processes never began to write")


def default_signals():
    """Whoever called the tests with nohup, or in the background."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def victims(who, process, mark, cwd):
    """The processes that are killed."""
    job = int((cwd / "data.pid").read_text())
    keeper = parent(job)
    front = parent(keeper)
    if who in ("group", "session"):
        return [pid for pid in marked(mark) if stat(pid)[1 if who == "group" else 2] == process.pid]
    return {
        "shell": [process.pid],
        "run.py": [front],
        "keeper": [keeper],
        "both": [front, keeper],
        "job": [job],
        "job's group": [pid for pid in marked(mark) if stat(pid)[1] == job],
    }[who]


@pytest.mark.parametrize(
    "who, number",
    [(who, number) for who in ("group", "session", "shell", "run.py") for number in DEATHS]
    + [(who, signal.SIGKILL) for who in ("keeper", "job", "job's group")]
    + [(who, signal.SIGTERM) for who in ("keeper", "job")],
)
def test_stage_1_killed_in_the_middle(recipe, who, number, mark):
    (recipe / "local/data.sh").write_text(DATA)
    stubborn = "x" if number == signal.SIGKILL else ""  # which takes the seconds that are left to it
    process = started([UTILS / "kd.sh", "--stop_stage", "1"], recipe, mark, 4, RUN="run.py", STUBBORN=stubborn)
    chosen = victims(who, process, mark, recipe)
    assert chosen
    send(chosen, number)
    status = process.wait(timeout=600)
    assert status != 0
    (recipe / "quick").touch()
    kd(recipe, "--stop_stage", "1", RUN="run.py")  # at once: it waits for what is left of the killed run
    begun = int((recipe / "begun").read_text())
    assert max(int(line.split()[1]) for line in (recipe / "written").read_text().splitlines()) < begun
    assert marked(mark) == []
    assert subprocess.run(["flock", "-n", recipe / "exp/.lock", "true"]).returncode == 0


def test_with_run_py_and_keeper_killed_the_job_holds_the_lock(recipe, mark):
    """Nobody is left to end what the job has started: a new run does not write beside it."""
    (recipe / "local/data.sh").write_text(DATA)
    process = started([UTILS / "kd.sh", "--stop_stage", "1"], recipe, mark, 4, RUN="run.py")
    send([process.pid, *victims("both", process, mark, recipe)], signal.SIGKILL)
    process.wait(timeout=600)
    left = marked(mark)
    assert left
    assert subprocess.run(["flock", "-n", recipe / "exp/.lock", "true"]).returncode == 1
    send(left, signal.SIGKILL)
    assert all(gone(pid) for pid in left)
    while late := marked(mark):  # what they started before they were killed
        send(late, signal.SIGKILL)
    assert subprocess.run(["flock", "-n", recipe / "exp/.lock", "true"]).returncode == 0


@pytest.mark.parametrize("who", ["run.py", "shell"])
def test_kdasr_that_a_stage_calls_itself_ends_with_the_run(recipe, who, mark):
    """Stage 10 reports without a log of run.py's."""
    kd(recipe, "--students", "refs", "--stop_stage", "7")
    words = [UTILS / "kd.sh", "--early_students", "false", "--students", "refs", "--stage", "10"]
    process = subprocess.Popen(
        words, cwd=recipe, env={**os.environ, "SLOW": "report *", MARK: mark}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    while not (found := [pid for pid in marked(mark) if b"bin/kdasr\0report" in command(pid)]):
        assert process.poll() is None
        time.sleep(0.025)
    (job,) = [pid for pid in found if parent(pid) not in found]  # not its fork, which is about to be `sleep`
    os.kill(process.pid if who == "shell" else parent(parent(job)), signal.SIGKILL)
    assert process.wait(timeout=600) != 0
    assert gone(job)
    output, _ = kd(recipe, "--students", "refs", "--stage", "10")
    assert "| the table |" in output and marked(mark) == []


def test_torchrun_hears_of_a_killed_training(tmp_path, mark):
    """As `kdasr train` starts it; in torchrun's place a program that stops its process, of another session."""
    stand_in = "trap 'kill $!; exit' TERM; setsid sleep 60 & echo $$ $! >pids.tmp; mv pids.tmp pids; wait"
    code = f"""
from kdasr.asr import worker
worker.launcher = lambda *_: ["bash", "-c", {stand_in!r}]
worker.train_together("out", [], 2, 1, gpus=False)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, MARK: mark})
    while not (tmp_path / "pids").exists():
        assert process.poll() is None
        time.sleep(0.025)
    process.kill()
    process.wait(600)
    assert all(gone(pid) for pid in (tmp_path / "pids").read_text().split())
