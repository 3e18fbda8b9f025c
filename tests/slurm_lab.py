"""A real SLURM cluster on this machine for the tests, brought up once for all of them."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import needs
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tools/slurm_test_cluster.sh"
SLURM_PY = ROOT / "utils/slurm.py"

COUNTING = '#!/bin/sh\ndate +%s >>"${0%/*}/calls"\nexec {program} "$@"\n'
# options of a site's own, beside the usual ones
CONF = """\
command sbatch
option time=* --time $0
option mem=* --mem $0
option num_threads=* --cpus-per-task $0
default gpu=0
option gpu=0
option gpu=* --partition gpu --gres=gpu:$0
option partition=* --partition $0
option node=* --nodelist $0
option whole_node=1 --exclusive
option requeue=0 --no-requeue
option num_nodes=* --nodes $0 --ntasks-per-node 1
"""


class Lab:
    """A cluster, and slurm.py with it."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.environment = {**os.environ, "KDASR_SLURM_LAB": folder, "SLURM_CONF": f"{folder}/slurm.conf"}

    def script(self, *words):
        done = subprocess.run([SCRIPT, *words], env=self.environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, cwd, *words, program=SLURM_PY, **environment):
        """Start slurm.py with CONF and go on."""
        if not (Path(cwd) / "conf/slurm.conf").exists():
            (Path(cwd) / "conf").mkdir(exist_ok=True)
            (Path(cwd) / "conf/slurm.conf").write_text(CONF)
        return subprocess.Popen(
            [program, *map(str, words)], cwd=cwd, env={**self.environment, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
        )  # fmt: skip

    def run(self, cwd, *words, **options):
        """Run slurm.py; its status, stdout and stderr."""
        return ended(self.start(cwd, *words, **options))

    def slurm(self, *words):
        """What one of SLURM's commands says."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=600)
        return done.stdout + done.stderr

    def in_queue(self, job):
        """The states of what is left of a job."""
        return [word for word in self.slurm("squeue", "-h", "-r", "-j", job, "-o", "%T").split("\n") if word.isupper()]

    def daemon(self, name):
        """The process of a daemon, as slurmd.n2."""
        return int((self.folder / f"run/{name}.pid").read_text())

    def stop_daemon(self, name, number=signal.SIGTERM):
        process = self.daemon(name)
        os.kill(process, number)
        assert gone(process)

    def start_daemon(self, name):
        program, _, node = name.partition(".")
        subprocess.run(
            [needs.program(program), "-f", self.environment["SLURM_CONF"], *(["-N", node] if node else [])], check=True
        )

    def until_idle(self, node):
        for _ in range(1200):
            if self.slurm("sinfo", "-h", "-p", "cpu", "-n", node, "-o", "%t").strip() in ("idle", "mix"):
                return
            time.sleep(0.5)
        raise AssertionError(self.slurm("sinfo", "-N", "-l"))


@pytest.fixture(scope="session")
def slurm():
    """The cluster; tests are skipped where SLURM is not installed."""
    needs.need("slurm")
    folder = tempfile.mkdtemp(prefix="kdasr-slurm-test-")
    lab = Lab(folder)
    try:
        lab.script("start")
        yield lab
    finally:
        lab.script("stop")


class Begun:
    """A slurm.py that runs beside the tests."""

    def __init__(self, slurm, folder, *words, **environment):
        self.folder = Path(folder)
        self.process = slurm.start(folder, *words, **environment)


@pytest.fixture(scope="session")
def time_limit(slurm, tmp_path_factory):
    """A job that goes on beyond its limit of two minutes; calls of squeue are counted.

    Of one minute, fifty seconds are left between the first call, ten seconds after the start, and the last one.
    """
    folder = tmp_path_factory.mktemp("time_limit")
    (folder / "bin").mkdir()
    real = slurm.slurm("sh", "-c", "command -v squeue").strip()
    (folder / "bin/squeue").write_text(COUNTING.replace("{program}", real))
    (folder / "bin/squeue").chmod(0o755)
    words = ["--time", "2", "--node", "n1", "JOB=1:2", "x.JOB.log", "bash", "-c", "[ JOB = 2 ] || sleep 600"]
    begun = Begun(slurm, folder, *words, PATH=f"{folder}/bin:{os.environ['PATH']}")
    yield begun
    begun.process.terminate()
    ended(begun.process)


def ended(process, seconds=600):
    """Status, stdout and stderr of slurm.py when it has ended."""
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def until_says(process, words, seconds=600):
    """The line of stderr in which slurm.py says this."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        return next((line for line in process.stderr if words in line), "")
    finally:
        timer.cancel()


def body(log):
    """What the program itself wrote."""
    return [
        line
        for line in log.read_text(errors="surrogateescape").splitlines()
        if not line.startswith(("#", "slurmstepd"))
    ]


def wait_for(path, seconds=600):
    """The words of a file that a job writes."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if path.exists() and path.read_text().strip():
            return path.read_text().split()
        time.sleep(0.025)
    raise AssertionError(f"{path} was never written")


def job_of(cwd):
    """The number of the job that slurm.py has submitted from this directory."""
    (file,) = Path(cwd).glob("**/q/*/id")
    return file.read_text().strip()


def gone(pid):
    for _ in range(24000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.025)
    return False
