"""Shards by this process or by several: all of them made once, hours summed, and what went wrong is told."""

import functools
import os
import signal
from pathlib import Path

import pytest

from kdasr.errors import UserError
from kdasr.workers import run_shards


def make(out, shard, rows, progress=None):
    """Note who made a shard; a row is an hour, or else its process is to be killed."""
    if "kill" in rows:
        os.kill(os.getpid(), signal.SIGKILL)
    with open(Path(out) / str(shard), "a") as file:
        file.write(f"{os.getpid()} {signal.getsignal(signal.SIGINT) == signal.SIG_IGN}\n")
    for hours in rows:
        if progress is not None:
            progress(hours)
    return sum(rows)


WORK = [(3, [1.0, 2.0]), (0, [4.0]), (7, [8.0, 16.0, 32.0])]


@pytest.mark.parametrize(("nj", "work"), [(1, WORK), (5, WORK[:1]), (1, WORK[:1])])
def test_one_process_is_this_one(tmp_path, nj, work):
    called = []

    def noted(shard, rows, progress):
        called.append(shard)
        return make(tmp_path, shard, rows, progress)

    assert run_shards(noted, work, nj, "x") == sum(sum(rows) for _, rows in work)
    assert called == [shard for shard, _ in work]
    deaf = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # as it is where this runs in the background
    assert all((tmp_path / str(shard)).read_text() == f"{os.getpid()} {deaf}\n" for shard in called)


def test_no_work_is_no_hours(tmp_path):
    assert run_shards(functools.partial(make, tmp_path), [], 2, "x") == 0.0


def test_several_processes_make_each_shard_once(tmp_path):
    assert run_shards(functools.partial(make, str(tmp_path)), WORK, 2, "x") == 63.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "3", "7"]
    said = [(tmp_path / name).read_text().splitlines() for name in "037"]
    assert [len(lines) for lines in said] == [1, 1, 1]
    pids, deaf = zip(*(lines[0].split() for lines in said), strict=True)
    assert str(os.getpid()) not in pids and len(set(pids)) <= 2
    assert set(deaf) == {"True"}  # an interrupt lets them finish their shard


def test_a_worker_that_is_killed_is_told_and_what_was_made_is_kept(tmp_path):
    with pytest.raises(UserError, match="a worker process was killed"):
        run_shards(functools.partial(make, str(tmp_path)), [(0, [1.0]), (1, ["kill"])], 2, "x")
    assert not (tmp_path / "1").exists()
