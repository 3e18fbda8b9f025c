"""Trainings in processes of their own: killed and resumed, and two that share a batch.

    training_driver.py ROOT     ROOT/kills.json: what became of each kill (models in ROOT/whole, ROOT/killedN)
                                ROOT/single.pth, ROOT/rank0.pth, ROOT/rank1.pth: weights after two steps

The processes are forks of this one, which has imported everything.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

import torch  # noqa: E402
from tiny_training import batch_of, build, epoch, rows, train, write_place  # noqa: E402

from kdasr.prune.mask import hold, prunable  # noqa: E402

# When to kill: after the n-th file of this name is in place, or in the n-th optimiser step (of five an epoch).
KILLS = {
    "in epoch 2": ("step", 8),
    "after epoch 1's checkpoint, before its weights": ("checkpoint.pth", 1),
    "after epoch 2's weights, before the links": ("2epoch.pth", 1),
    "after the last checkpoint": ("checkpoint.pth", 3),
    "after the average": ("valid.acc.ave_3best.pth", 1),
}


def child(work):
    """Run work() in a fork; its wait status."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    status = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        status = work() or 0
    finally:
        os._exit(status)


def killed_at(what, number):
    """Make this process kill itself at that moment."""
    seen = 0

    def count(name):
        nonlocal seen
        seen += name == what
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    replace, step = os.replace, torch.optim.Adam.zero_grad

    def replaced(source, target):
        replace(source, target)
        count(Path(target).name)

    def stepped(self, *args, **kwargs):
        count("step")
        step(self, *args, **kwargs)

    os.replace, torch.optim.Adam.zero_grad = replaced, stepped


def resume(root):
    """Train whole; then killed at each moment, and again."""
    write_place(root, num_iters_per_epoch=5, keep_nbest_models=3)  # so that every epoch counts
    assert child(lambda: train(root, root / "whole")) == 0
    told = []
    for place, (moment, (what, number)) in enumerate(KILLS.items()):
        out = root / f"killed{place}"

        def killed(out=out, what=what, number=number):
            killed_at(what, number)
            return train(root, out)

        status = child(killed)
        left = sorted(path.name for path in out.glob("*.pth"))
        again = child(lambda out=out: train(root, out))
        died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        told.append({"moment": moment, "out": str(out), "killed": died, "left": left, "again": again})
    (root / "kills.json").write_text(json.dumps(told))


def ddp(root):
    """Two processes with two and three utterances of a batch of five, and one with all of them; two steps each.

    Half of the weights are pruned, and held at zero.
    """
    steps = [batch_of(5, seed=3), batch_of(5, seed=4)]
    model = build()
    torch.save({name: torch.rand_like(one) < 0.5 for name, one in prunable(model).items()}, root / "mask.pth")
    hold(model, root / "mask.pth")
    epoch(model, steps)
    torch.save(model.state_dict(), root / "single.pth")
    pids = []
    for rank in range(2):
        pids.append(os.fork())
        if not pids[-1]:
            status = 1
            try:
                one_of_two(root, rank, [rows(batch, *((0, 2), (2, 5))[rank]) for batch in steps])
                status = 0
            finally:
                os._exit(status)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]


def one_of_two(root, rank, batches):
    """A worker: its part of each batch, in DistributedDataParallel as ESPnet sets it up.

    The process ends with its group: after destroy_process_group, torch (2.13) would free it with the wrapped model, and
    wait, holding Python's lock, for a thread that may need that lock to free a tensor.
    """
    torch.distributed.init_process_group("gloo", init_method=f"file://{root}/store", rank=rank, world_size=2)
    model = build()
    hold(model, root / "mask.pth")
    whole = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=False)
    epoch(model, batches, whole)
    torch.save(model.state_dict(), root / f"rank{rank}.pth")


if __name__ == "__main__":
    torch.set_num_threads(1)
    # what takes seconds to import, before the forks
    import torch._dynamo

    import kdasr.asr.task  # noqa: F401

    root = Path(sys.argv[1])
    resume(root)
    if torch.distributed.is_available() and torch.distributed.is_gloo_available():
        ddp(root)
