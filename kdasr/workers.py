"""Shards of work shared by processes of this machine, with a bar over the hours of audio, or what else they read."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from kdasr.announce import Pace
from kdasr.errors import UserError

Row = TypeVar("Row")
Result = TypeVar("Result")
KILLED = "a worker process was killed (out of memory?); run again, perhaps with a smaller --nj"

_LIBC = ctypes.CDLL(None)  # loaded before any fork
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run_shards(
    make: Callable[..., float],
    work: Sequence[tuple[int, Sequence[Row]]],
    nj: int,
    label: str,
    unit: str = "h of audio",
) -> float:
    """Call make(shard, rows) for all of `work` in up to `nj` processes, with a bar over how much of `unit` is done.

    Returns:
        How much that is: the sum of what `make` returns.

    Raises:
        UserError: from a worker, or because one was killed; the shards that are finished stay.
    """
    if not work:
        return 0.0
    total, done, rows_done = sum(len(rows) for _, rows in work), 0.0, 0
    pace = Pace(label, "utterance", total)
    form = "{desc}: {percentage:3.0f}% |{bar}| {n:.2f}/{total:.2f} " + unit + " [{elapsed}<{remaining}]{postfix}"
    with tqdm(desc=label, total=0.0, bar_format=form, mininterval=1.0, disable=total < 20, file=sys.stderr) as bar:

        def advance(more: float, rows: int = 1) -> None:
            nonlocal done, rows_done
            done, rows_done = done + more, rows_done + rows
            bar.total = done / rows_done * total  # the length of the rest is known only after reading it
            bar.update(more)
            pace.done(rows_done)

        if min(nj, len(work)) == 1:
            for shard, rows in work:
                make(shard, rows, progress=advance)
            return done
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(nj, len(work)), mp_context=context, initializer=_start_worker) as pool:
            futures = {pool.submit(make, shard, rows): len(rows) for shard, rows in work}
            try:
                for future in as_completed(futures):
                    advance(future.result(), futures[future])
            except BrokenProcessPool:
                raise UserError(KILLED) from None
            finally:
                pool.shutdown(cancel_futures=True)
    return done


def run_in_order(make: Callable[[Row], Result], items: Sequence[Row], nj: int, label: str) -> list[Result]:
    """What make(item) gives for each of `items`, computed in up to `nj` processes, with a bar over the items.

    Raises:
        UserError: from a worker, or because one was killed.
    """
    with tqdm(desc=label, total=len(items), mininterval=1.0, disable=len(items) < 20, file=sys.stderr) as bar:
        made = []
        if min(nj, len(items)) <= 1:
            for item in items:
                made.append(make(item))
                bar.update()
            return made
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(nj, len(items)), mp_context=context, initializer=_start_worker) as pool:
            try:
                for result in pool.map(make, items):
                    made.append(result)
                    bar.update()
            except BrokenProcessPool:
                raise UserError(KILLED) from None
            finally:
                pool.shutdown(cancel_futures=True)
    return made


def _start_worker() -> None:
    """An interrupt lets a worker finish its shard; the death of the parent, even by kill -9, ends it."""

    def leave_with_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=leave_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Called between fork and exec: the death of its parent, even by kill -9, is SIGTERM to this process."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
