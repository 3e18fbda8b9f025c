"""A stream of encoded utterances through the grid: a finished utterance leaves its row, a waiting one takes it.

| axis | meaning |
|---|---|
| B | rows of the grid |
| S | encoder frames, padded |
| E | encoder output |
| M | models (several in an ensemble) |

    waiting   u7 u6 u5 u4 ->  row 0 | u0 . . . . . done -> N-best of u0, u4 takes row 0
                              row 1 | u1 . . .            (at its step 0, beside u1's 11)
                              row 2 | u2 . . . . . . .

Rows are checked at every step on a CPU, at every eighth on a GPU, which has to be waited for. Once no
utterance waits, a grid of which a quarter is finished is cut down to the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdasr.search import grid as beam
from kdasr.search import tree
from kdasr.search.graphs import Replay
from kdasr.search.grid import Found, Grid
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import Scorers
from kdasr.search.watch import Watch

LOOK_CPU, LOOK_GPU = 1, 8  # steps between two checks of which utterances are done
SHARE = 0.25  # of the rows that are finished before rows are filled or dropped: both copy what stays


class Utterance(NamedTuple):
    """An encoded utterance on its way to the grid."""

    number: int
    hs: tuple[Tensor, ...]  # (S, E) of each model, at least one frame


class Table(NamedTuple):
    """A grid, what its scorers keep, and the utterance of each row."""

    grid: Grid
    memories: list[Any]
    states: list[Any]
    seats: list[Utterance | None]  # None: its N-best was read off


def search(hs: Tensor, hlens: Tensor, scorers: Scorers, options: SearchOptions) -> list[Found]:
    """N-best lists of a batch of encoded utterances, in order.

    Args:
        hs: encoder output (B, S, E), padded with anything.
        hlens: its lengths (B,) in frames, each at least 1.
        scorers: what scores, with weights.
        options: beam, limits and weights.
    """
    rows = [Utterance(b, (hs[b, :length],)) for b, length in enumerate(hlens.tolist())]
    found = dict(stream(rows, scorers, options, slots=len(rows)))
    return [found[b] for b in range(len(rows))]


@torch.no_grad()
def stream(
    utterances: Iterable[Utterance],
    scorers: Scorers,
    options: SearchOptions,
    slots: int,
    refill: bool = True,
    watch: Watch | None = None,
    graphs: bool = False,
) -> Iterator[tuple[int, Found]]:
    """The number of each utterance and what was found for it, as they finish.

    Args:
        utterances: longest first, or nearly: one that is longer than the first of its grid waits for the next grid.
        scorers: what scores, with weights.
        options: beam, limits and weights.
        slots: rows of the grid, at most. This and the order change no result.
        refill: whether waiting utterances take the rows of finished ones, or all wait for the next grid.
        watch: takes the time and counts rows.
        graphs: whether steps are replayed as a CUDA graph (kdasr.search.graphs), on a GPU; changes no result.

    As ESPnet does, an utterance none of whose hypotheses ended is searched again with minlenratio less 0.1,
    as long as that is 0.1 or more; its list may be empty.
    """
    watch = watch or Watch()
    waiting = Waiting(utterances)
    while crew := waiting.take(slots):
        room = [max(len(one.hs[m]) for one in crew) for m in range(len(crew[0].hs))]  # M times S
        width = max(options.limits(len(one.hs[0]))[0] for one in crew)
        table = seat(crew, room, width, scorers, options)
        replay = graphs and Replay(table, lambda now: step(now, scorers, options, Watch()), width)
        look = LOOK_GPU if table.grid.total.is_cuda else LOOK_CPU
        while table.seats:
            working = sum(one is not None for one in table.seats)
            if replay:
                with watch.clock("search"):
                    for _ in range(look):
                        replay.step()
                table = replay.table
            else:
                for _ in range(look):
                    table = step(table, scorers, options, watch)
            watch.count(look, look * len(table.seats), look * working)
            stops = table.grid.stop.tolist()
            done = [row for row, one in enumerate(table.seats) if one is not None and stops[row] >= 0]
            yield from _leave(table, done, scorers, options)
            free = [row for row, one in enumerate(table.seats) if one is None]
            if len(free) < max(1, SHARE * len(table.seats)):
                continue
            if refill and (new := waiting.take(len(free), room, width, options)):
                table = _fill(table, free[: len(new)], seat(new, room, width, scorers, options), scorers)
                if replay:
                    replay.take(table)
            elif not replay or len(free) == len(table.seats):  # a graph's rows stay as many as they are
                table = _keep(table, [row for row, one in enumerate(table.seats) if one is not None], scorers)


def step(table: Table, scorers: Scorers, options: SearchOptions, watch: Watch) -> Table:
    """The table with one more token for each hypothesis."""
    grid, states = beam.extend(table.grid, table.states, table.memories, scorers, options, watch)
    return table._replace(grid=beam.end(grid, scorers, options), states=states)


class Waiting:
    """Utterances that wait, in their order."""

    def __init__(self, utterances: Iterable[Utterance]) -> None:
        self.rest = iter(utterances)
        self.first: Utterance | None = next(self.rest, None)

    def take(
        self, most: int, room: list[int] | None = None, width: int = 0, options: SearchOptions | None = None
    ) -> list[Utterance]:
        """Up to `most` of them; with `room` (S of each model) and `width` (tokens) only as long as they fit in."""
        taken: list[Utterance] = []
        while self.first is not None and len(taken) < most:
            if room is not None and options is not None:
                lengths = [len(hs) for hs in self.first.hs]
                if any(n > t for n, t in zip(lengths, room, strict=True)) or options.limits(lengths[0])[0] > width:
                    break
            taken.append(self.first)
            self.first = next(self.rest, None)
        return taken


def seat(crew: list[Utterance], room: list[int], width: int, scorers: Scorers, options: SearchOptions) -> Table:
    """A table for these utterances, their encoder outputs padded to `room` frames, with `width` tokens at most."""
    device = crew[0].hs[0].device
    batches = []  # M times (hs (B, S, E), hlens (B,))
    for m, frames in enumerate(room):
        hs = crew[0].hs[m].new_zeros(len(crew), frames, crew[0].hs[m].shape[1])  # (B, S, E)
        for row, one in zip(hs, crew, strict=True):
            row[: len(one.hs[m])] = one.hs[m]
        batches.append((hs, torch.tensor([len(one.hs[m]) for one in crew], device=device)))
    limits = torch.tensor([options.limits(len(one.hs[0])) for one in crew], device=device)  # (B, 2)
    everyone = [*scorers.full, *scorers.partial]
    # A scorer of one model gets that model's encoder output; one of all (an ensemble) the list.
    memories = [
        w.scorer.remember(*batches[w.model]) if w.model is not None else w.scorer.remember(batches) for w in everyone
    ]
    states = [w.scorer.start(memory, options.beam) for w, memory in zip(everyone, memories, strict=True)]
    for token in scorers.before[:-1]:  # of a prompt; the last one is read at the first step
        read = torch.full((len(crew), options.beam), token, device=device)  # (B, K)
        for i, weighted in enumerate(scorers.full):
            _, states[i] = weighted.scorer.step(read, states[i], memories[i])
    return Table(beam.start(limits, width, scorers, options), memories, states, list(crew))


def _leave(table: Table, done: list[int], scorers: Scorers, options: SearchOptions) -> Iterator[tuple[int, Found]]:
    """Read off what was found for the rows that are done; their rows become free."""
    if not done:
        return
    rows = torch.tensor(done, device=table.grid.total.device)  # (B',)
    for row, found in zip(done, beam.read_off(table.grid, rows, scorers, options), strict=True):
        one = table.seats[row]
        table.seats[row] = None
        if not found.hyps and options.minlenratio >= 0.1:
            shorter = replace(options, minlenratio=max(0.0, options.minlenratio - 0.1))
            [(_, found)] = stream([one], scorers, shorter, 1)
        yield one.number, found


def _fill(table: Table, rows: list[int], new: Table, scorers: Scorers) -> Table:
    """The table with new utterances in some rows."""
    index = torch.tensor(rows, device=table.grid.total.device)  # (B',)
    everyone = [w.scorer for w in (*scorers.full, *scorers.partial)]
    seats = list(table.seats)
    for row, one in zip(rows, new.seats, strict=True):
        seats[row] = one
    return Table(
        tree.put(table.grid, index, new.grid),
        [_move("put", s, a, index, b) for s, a, b in zip(everyone, table.memories, new.memories, strict=True)],
        [_move("put", s, a, index, b) for s, a, b in zip(everyone, table.states, new.states, strict=True)],
        seats,
    )


def _keep(table: Table, rows: list[int], scorers: Scorers) -> Table:
    """The table with these rows alone."""
    if not rows:
        return table._replace(seats=[])
    index = torch.tensor(rows, device=table.grid.total.device)  # (B',)
    everyone = [w.scorer for w in (*scorers.full, *scorers.partial)]
    return Table(
        tree.keep(table.grid, index),
        [_move("keep", scorer, memory, index) for scorer, memory in zip(everyone, table.memories, strict=True)],
        [_move("keep", scorer, state, index) for scorer, state in zip(everyone, table.states, strict=True)],
        [table.seats[row] for row in rows],
    )


def _move(how: str, scorer: Any, *what: Any) -> Any:
    """Memory or state moved by the scorer's own `keep` or `put`, if it has one, or as a tree of tensors."""
    return getattr(scorer, how, getattr(tree, how))(*what)
