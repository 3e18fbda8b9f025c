"""How processes that train together are started, and what is set around ESPnet's trainer."""

import subprocess
import sys

import pytest

from kdasr.asr.worker import free_port, launcher, train_together
from kdasr.errors import UserError

JOB = {"SLURM_JOB_ID": "77", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "4"}


def test_one_node_needs_no_slurm():
    assert launcher(4, 1, {}, "here", 1234) == [
        *[sys.executable, "-m", "torch.distributed.run"],
        *["--nproc_per_node=4", "--nnodes=1", "--standalone"],
    ]


def test_nodes_are_srun_s():
    words = launcher(4, 2, JOB, "here", 1234)
    assert words[:5] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    assert words[5:7] == ["--cpus-per-task=4", sys.executable]
    assert words[-3:] == ["--rdzv_backend=c10d", "--rdzv_endpoint=here:1234", "--rdzv_id=77"]


@pytest.mark.parametrize("variables", [{}, JOB])
def test_a_job_of_other_nodes_is_refused(variables):
    given = variables.get("SLURM_JOB_NUM_NODES", "1")
    with pytest.raises(UserError, match=rf"--nodes 3: this is a job of {given} node\(s\); start it through SLURM"):
        launcher(1, 3, variables, "here", 1234)


def test_a_process_that_fails_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("kdasr.asr.worker.launcher", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(UserError, match="a training process ended with status 3"):
        train_together(tmp_path, [], 2, 1, gpus=False)


def test_told_to_stop_it_stops_its_processes(tmp_path):
    code = """
import sys
from kdasr.asr import worker
worker.launcher = lambda *_: [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
worker.train_together("out", [], 2, 1, gpus=False)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    child = int(process.stdout.readline())
    process.terminate()
    assert process.wait(600) == 143
    from slurm_lab import gone

    assert gone(child)


def test_a_port_is_free():
    import socket

    with socket.socket() as listener:
        listener.bind(("", free_port()))


@pytest.mark.parametrize("given", ["1", "2", "4"])
def test_a_job_has_to_have_exactly_the_nodes(given):
    with pytest.raises(UserError, match=rf"this is a job of {given} node\(s\)"):
        launcher(1, 3, JOB | {"SLURM_JOB_NUM_NODES": given}, "here", 1234)
    words = launcher(2, 3, {"SLURM_JOB_NUM_NODES": "3"}, "here", 1234)
    assert not any(word.startswith("--cpus-per-task") for word in words) and words[-1] == "--rdzv_id=0"
    assert words[5:10] == [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--nnodes=3"]


@pytest.mark.parametrize(("gpus", "more"), [(True, ["1", "nccl"]), (False, ["0", "gloo"])])
def test_what_each_process_is_told(tmp_path, monkeypatch, gpus, more):
    """A GPU each, or none, and how they speak to each other; the options of the training before that."""
    code = "import sys, pathlib; pathlib.Path('told').write_text(' '.join(sys.argv[1:]))"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kdasr.asr.worker.launcher", lambda *_: [sys.executable, "-c", code])
    train_together("exp/m", ["--seed", "3"], 4, 2, gpus)
    assert (tmp_path / "told").read_text().split() == [
        *["-m", "kdasr.asr.worker", "exp/m", "--seed", "3", "--ngpu", more[0]],
        *["--multiprocessing_distributed", "false", "--dist_backend", more[1]],
    ]


ALLOCATE = """
import resource
from kdasr.asr.memory import keep_memory
%s
for number in range(12):
    if number == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [bytearray(b"x") * (8 << 20) for _ in range(6)]
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_memory_is_not_asked_for_again():
    """Ten times 48 MiB, in pages of 4 KiB."""
    anew, kept = (
        int(subprocess.run([sys.executable, "-c", ALLOCATE % call], capture_output=True, text=True, check=True).stdout)
        for call in ("", "assert keep_memory()")
    )
    assert anew > 10000 and kept < 1000
