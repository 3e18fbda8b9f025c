"""Where a search's time goes, and how full its grid is; on a GPU measured without waiting for it."""

from __future__ import annotations

import contextlib
import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch


class Watch:
    """Seconds by part of the search, and counts of steps and rows.

    Attributes:
        seconds: by part ("encoder", "decoder", "ctc", ...); add up with `totals`, which waits for a GPU once.
        steps: of grids.
        rows: of grids, summed over steps: what was computed.
        alive: of these, rows of utterances that were not finished.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.on_gpu = device.startswith("cuda")
        self.seconds: dict[str, float] = defaultdict(float)
        self.steps = self.rows = self.alive = 0
        self._events: list[tuple[str, Any, Any]] = []

    @contextlib.contextmanager
    def clock(self, part: str) -> Iterator[None]:
        """Measure the time of a block."""
        if not self.on_gpu:
            begun = time.perf_counter()
            yield
            self.seconds[part] += time.perf_counter() - begun
            return
        begin, finish = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        yield
        finish.record()
        self._events.append((part, begin, finish))
        if len(self._events) > 5000:
            self.totals()

    def count(self, steps: int, rows: int, alive: int) -> None:
        """Some steps of a grid of so many rows, of which so many were not finished (both summed over the steps)."""
        self.steps, self.rows, self.alive = self.steps + steps, self.rows + rows, self.alive + alive

    def totals(self) -> dict[str, float]:
        """Seconds by part so far."""
        if self._events:
            self._events[-1][2].synchronize()
            for part, begin, finish in self._events:
                self.seconds[part] += begin.elapsed_time(finish) / 1000
            self._events.clear()
        return dict(self.seconds)

    def peak_bytes(self) -> int:
        """The most memory that this process has held so far: on its GPU, or resident."""
        if self.on_gpu:
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
