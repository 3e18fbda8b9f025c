"""How processes that train together are started."""

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
    assert process.wait(20) == 143
    from slurm_lab import gone

    assert gone(child)


def test_a_port_is_free():
    import socket

    with socket.socket() as listener:
        listener.bind(("", free_port()))
