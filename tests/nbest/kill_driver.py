"""Kill `kdasr nbest` with -9 at moments spread over its run, run it again, and compare the archives.

    kill_driver.py ROOT KILLS      ROOT/model and ROOT/data -> a JSON object a kill on standard output

The runs are forks of this process, which has imported everything and loaded the model: a run then takes a
fraction of a second. Moments are counted in calls of Python and C functions, so that they are the same however
busy the machine is: half of them spread over the run, a quarter in calls that write, a quarter in those that give
a file its name, before and after each.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from nbest_models import files, nbest  # noqa: E402

WRITES = ("fsync", "replace", "mkstemp", "unlink", "flush", "write", "fdopen", "chmod")


def run(root, out, kill_at=None, told=None):
    """The wait status of a run; it is killed at its `kill_at`-th call, or tells its moments to the file `told`."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    calls, writes = 0, []

    def kill(frame, event, what):
        nonlocal calls
        calls += 1
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def count(frame, event, what):
        nonlocal calls
        calls += 1
        of_text = isinstance(getattr(what, "__self__", None), str)  # its replace, not that of files
        if event.startswith("c_") and what.__name__ in WRITES and not of_text:
            writes.append((calls, what.__name__))

    if kill_at is not None or told is not None:
        sys.setprofile(count if told else kill)
    status = 1
    try:
        status = nbest(root, out)
    finally:
        sys.setprofile(None)
        if told is not None:
            Path(told).write_text(json.dumps([calls, writes]))
        os._exit(status)


def main(root, kills):
    """Print what became of each kill."""
    with contextlib.redirect_stdout(sys.stderr):
        assert nbest(root, root / "loaded") == 0
    assert run(root, root / "whole", told=root / "moments") == 0
    calls, writes = json.loads((root / "moments").read_text())
    whole = files(root / "whole")
    draw = random.Random(0)
    half = kills // 2
    moments = [int(calls * (place + draw.random()) / half) for place in range(half)]
    named = [call for call, name in writes if name == "replace"]
    moments += draw.sample(named, half // 2)
    moments += draw.sample([call for call, _ in writes], kills - half - half // 2)
    for number, moment in enumerate(moments):
        out = root / f"killed{number}"
        status = run(root, out, kill_at=max(1, moment))
        left = sorted(path.name for path in out.glob("*")) if out.exists() else []
        again = run(root, out)
        rest = [path.name for path in out.glob(".*.tmp")]
        print(
            json.dumps(
                {
                    "moment": [moment, calls],
                    "killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL,
                    "shards": sum(name.startswith("nbest.") for name in left),
                    "stats": sum(name.startswith("stats.") for name in left),
                    "files": len(left),
                    "again": again,
                    "equal": files(out) == whole,
                    "report": (out / "report.json").is_file(),
                    "rest": rest,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
