"""ESPnet's trainer, with what kdasr sets around it: in this process, or in several that train one model together.

Together means DistributedDataParallel: each process takes its part of every batch, and the gradients are those of
the whole batch. torchrun starts the processes, one for each GPU (or, without GPUs, --processes of them); on several
nodes SLURM's srun starts torchrun on each. Each process is `python -m kdasr.asr.worker OUT OPTION...`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from kdasr import checkpoints, torch_files
from kdasr.asr.memory import keep_memory
from kdasr.asr.progress import EpochBar
from kdasr.asr.tasks import task_of
from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.workers import end_with_parent


def train(out: str | Path, options: Sequence[str]) -> None:
    """Run the trainer to its end in this process; UserError if ESPnet refuses an option.

    Args:
        out: model directory, which the progress bar is named after.
        options: command line of ESPnet's trainer.
    """
    before = torch.save, torch.load
    torch.save, torch.load = whole(torch.save), ours(torch.load)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    keep_memory()
    torch.set_flush_denormal(True)  # LSTM states decay into denormals, which cost a hundredfold on a CPU
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    first = os.environ.get("RANK", "0") == "0"
    # ESPnet would do this itself, were there no handler yet; but EpochBar's is there, and, once a network was built
    # (to start from, say), one that logging made by itself, silent below warnings.
    root.handlers[:] = []
    logging.basicConfig(
        level=logging.INFO if first else logging.ERROR,
        format="%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s",
    )
    try:
        with EpochBar(str(out)) if first else contextlib.nullcontext():
            task_of(options).main(cmd=list(options))
    except SystemExit as error:
        if error.code not in (0, None):
            raise UserError(f"{out}: ESPnet refused an option; see its message above") from None
    finally:
        torch.save, torch.load = before
        root.handlers[:] = handlers  # all of ESPnet's log lines are out by now, also after an error
        root.setLevel(level)


def train_together(out: str | Path, options: Sequence[str], processes: int, nodes: int, gpus: bool) -> None:
    """Run the trainer in `processes` processes on each of `nodes` nodes; UserError if one of them fails.

    Args:
        out, options: as for `train`; --ngpu and what tells a process its place are added here.
        gpus: whether each process has its own GPU.
    """
    more = ["--ngpu", str(int(gpus)), "--multiprocessing_distributed", "false"]
    more += ["--dist_backend", "nccl" if gpus else "gloo"]
    worker = ["-m", "kdasr.asr.worker", str(out), *options, *more]
    command = launcher(processes, nodes, os.environ, socket.getfqdn(), free_port()) + worker
    # killed (-9), we cannot stop torchrun; the kernel then sends it a signal, and it stops its processes
    process = subprocess.Popen(command, preexec_fn=end_with_parent if sys.platform == "linux" else None)

    def stop(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)  # or torchrun and its processes would go on without us
    try:
        status = process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
        if process.poll() is None:
            process.terminate()
            process.wait()
    if status:
        raise UserError(f"{out}: a training process ended with status {status}; see its message above")


def launcher(processes: int, nodes: int, variables: Mapping[str, str], host: str, port: int) -> list[str]:
    """The words that start `processes` processes on each of `nodes` nodes; UserError outside of a job of so many nodes.

    Args:
        variables: the environment, in which SLURM describes the job.
        host, port: where the processes meet: this machine, the first of the job, and a port that is free on it.
    """
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}", f"--nnodes={nodes}"]
    if nodes == 1:
        return [*command, "--standalone"]
    given = variables.get("SLURM_JOB_NUM_NODES", "1")
    if given != str(nodes):
        raise UserError(
            f"--nodes {nodes}: this is a job of {given} node(s); start it through SLURM, as with "
            f"slurm.py --num_nodes {nodes} --gpu G LOG kdasr train --nodes {nodes} --ngpu G ..."
        )
    job = variables.get("SLURM_JOB_ID", "0")
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    if "SLURM_CPUS_PER_TASK" in variables:  # which srun does not take over by itself
        srun.append(f"--cpus-per-task={variables['SLURM_CPUS_PER_TASK']}")
    return [*srun, *command, "--rdzv_backend=c10d", f"--rdzv_endpoint={host}:{port}", f"--rdzv_id={job}"]


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def whole(save: Callable[..., None]) -> Callable[..., None]:
    """A torch.save that puts its file in place when it is complete, and keeps its checksum.

    ESPnet's trainer overwrites checkpoint.pth in place: killed in that moment, it could not resume.
    """

    def save_whole(value: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        if not isinstance(path, (str, os.PathLike)):
            save(value, path, *args, **kwargs)
            return
        with atomic_write(path, "wb") as stream:
            try:
                save(value, stream, *args, **kwargs)
                stream.flush()
            except (RuntimeError, OSError) as error:  # torch's own word for a write that failed names no reason
                raise UserError(f"{path}: cannot be written ({error}); free some room and run again") from None
            checkpoints.note(path, stream.name)

    return save_whole


def ours(load: Callable[..., Any]) -> Callable[..., Any]:
    """A torch.load for ESPnet's trainer: files are compared with their checksums, and run nothing.

    This holds for the checkpoint that a training continues from, the epochs that are averaged, and --init_param.
    """

    def load_ours(path: Any, map_location: Any = "cpu", **kwargs: Any) -> Any:
        if not isinstance(path, (str, os.PathLike)):
            return load(path, map_location=map_location, **kwargs)
        checkpoints.check_noted(path)
        return torch_files.load(path, device=map_location)

    return load_ours


if __name__ == "__main__":
    end_with_parent()  # or a process would go on when torchrun is killed
    try:
        train(sys.argv[1], sys.argv[2:])
    except UserError as error:
        sys.exit(f"kdasr train: {error}")
