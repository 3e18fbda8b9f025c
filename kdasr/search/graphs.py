"""Search steps as a CUDA graph: recorded once for a grid and replayed, so that no Python runs between two kernels.

A step is some 280 small operations, and on a GPU starting them takes longer than most of them do. A graph starts all
of them at once, but repeats them on the very memory that it was recorded with. So the tensors of a grid stay where they
are: a step writes what it made over what it read, and utterances that take free rows are copied in. The grid keeps its
rows to its end, and caches of prefixes are as long from the start as the longest output (kdasr.search.transformers).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from kdasr.search import tree
from kdasr.search.one_by_one import OneByOne
from kdasr.search.scorers import Scorers
from kdasr.search.transformers import with_room

WARM_UP = 2  # steps before one is recorded, as torch asks for: libraries are loaded, tables of positions moved


def recordable(scorers: Scorers) -> bool:
    """Whether a step can be recorded: no scorer runs in Python, hypothesis by hypothesis."""
    weighted = [w.scorer for w in (*scorers.full, *scorers.partial)]
    single = [part for scorer in weighted for part in getattr(scorer, "scorers", [scorer])]  # of an ensemble all
    return not any(isinstance(scorer, OneByOne) for scorer in single)


class Replay:
    """The steps of a table (kdasr.search.stream), replayed.

    Attributes:
        table: as it is after the last step; its tensors are always the same.
    """

    def __init__(self, table: Any, step: Callable[[Any], Any], width: int) -> None:
        """Record a step; the table is as before.

        Args:
            table: whose tensors are on a GPU.
            step: a table -> the table after one more step, in new tensors; must not wait for the GPU.
            width: tokens of the longest output allowed.
        """
        states = [with_room(state, width + 1) for state in table.states]
        self.table = table._replace(
            **{name: _own(part) for name, part in (("grid", table.grid), ("memories", table.memories))},
            states=_own(states),
        )
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                step(self.table)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._write(step(self.table), ("grid", "states"))

    def step(self) -> None:
        """One more token for each hypothesis."""
        self.graph.replay()

    def take(self, table: Any) -> None:
        """Go on with another table of the same shape, some of whose rows are of other utterances."""
        self._write(table, ("grid", "memories", "states"))
        self.table = self.table._replace(seats=table.seats)

    def _write(self, table: Any, parts: tuple[str, ...]) -> None:
        for part in parts:
            for old, new in zip(tree.leaves(getattr(self.table, part)), tree.leaves(getattr(table, part)), strict=True):
                if old is not new:  # a cache is written in place
                    old.copy_(new)


def _own(branch: Any) -> Any:
    """A tree of tensors that share no memory, with lists as they are."""
    return [_own(one) for one in branch] if isinstance(branch, list) else tree.walk(branch, lambda x: x.clone())
