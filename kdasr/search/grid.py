"""Beam search over a grid of utterances x hypotheses, with the semantics of ESPnet's BeamSearch: one step.

| axis | meaning |
|---|---|
| B | rows of the grid; each holds an utterance, and different rows may be at different steps |
| K | hypotheses an utterance (the beam) |
| X | candidate next tokens a hypothesis |
| V | tokens |
| L | tokens of the longest output allowed |
| P | scorers |
| N | ended hypotheses kept an utterance (the N-best) |

Everything is a tensor that is moved by index; objects for hypotheses are made only when the N-best is
read off at the end. At each step an utterance's K best extensions are chosen; those that end in <eos>
leave the beam for the pool of ended hypotheses, so that fewer than K go on, and K are chosen again
from these. A slot without a hypothesis has the total -inf, and nothing ever chooses its extensions.
An utterance stops when its own limit of tokens is reached (what is in the beam then counts as ended),
when its beam is empty, or by end detection. An utterance never depends on the others. Nothing here
reads a number from the device: kdasr.search.stream checks now and then which utterances are done.

Sources: Watanabe et al. 2017 (end detection: equation 50), espnet.nets.beam_search (pre-beam, limits).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdasr.search import tree
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import Scorers
from kdasr.search.watch import Watch

DEAD = -float("inf")
END_STEPS = 3  # M of equation 50: so many lengths in a row
END_MARGIN = -10.0  # D_end: the best hypothesis of each of these lengths is so much worse than the best of all
STOPS = ("end detected", "beam empty", "maxlen")


@dataclass(frozen=True)
class Ended:
    """An ended hypothesis.

    Attributes:
        tokens: its ids, without <sos> and <eos>.
        score: the weighted sum by which it was found.
        scores: the sums of each scorer, without weights.
        ended: "eos", or "maxlen" when the limit of tokens cut it off.
    """

    tokens: list[int]
    score: float
    scores: dict[str, float]
    ended: str


@dataclass(frozen=True)
class Found:
    """What the search of one utterance gave: the N-best, best first, and why and after how many steps it stopped."""

    hyps: list[Ended]
    stop: str
    steps: int


class Pool(NamedTuple):
    """The best ended hypotheses of each utterance, best first."""

    key: Tensor  # (B, N) float64: what they are ordered by, DEAD for none
    total: Tensor  # (B, N) float64
    parts: Tensor  # (B, N, P) float64
    tokens: Tensor  # (B, N, L + 1)
    length: Tensor  # (B, N) tokens without <sos> and <eos>
    forced: Tensor  # (B, N) ended by the limit


class Grid(NamedTuple):
    """The search's own tensors."""

    longest: Tensor  # (B,) tokens
    shortest: Tensor  # (B,) tokens
    step: Tensor  # (B,) tokens that the hypotheses in the beam have; of a finished utterance, how many it had
    tokens: Tensor  # (B, K, L + 1) prefixes, <sos> (the end of a prompt) first
    total: Tensor  # (B, K) float64: weighted scores, DEAD for an empty slot
    parts: Tensor  # (B, K, P) float64: each scorer's sums
    best: Tensor  # (B,) float64: best ended score
    recent: Tensor  # (B, END_STEPS + 2 + prompt) float64: best score among those ended at this step, one before, ...
    stop: Tensor  # (B,) which of STOPS; -1 as long as it goes on
    pool: Pool


def start(limits: Tensor, width: int, scorers: Scorers, options: SearchOptions) -> Grid:
    """A grid in which each utterance has one hypothesis, the empty one.

    Args:
        limits: (B, 2) the longest and the shortest output of each utterance, tokens.
        width: L of the tensors, at least the longest output of all.
        scorers, options: of the search.
    """
    batch, device = len(limits), limits.device
    beam, nbest = options.beam, options.nbest
    parts = len(scorers.full) + len(scorers.partial) + (options.penalty != 0)
    total = torch.full((batch, beam), DEAD, dtype=torch.float64, device=device)  # (B, K)
    total[:, 0] = 0.0
    pool = total.new_full((batch, nbest), DEAD)  # (B, N)

    def prefixes(hypotheses: int) -> Tensor:
        return torch.full((batch, hypotheses, width + 1), scorers.before[-1], device=device)  # (B, K or N, L + 1)

    return Grid(
        longest=limits[:, 0],
        shortest=limits[:, 1],
        step=torch.zeros_like(limits[:, 0]),
        tokens=prefixes(beam),
        total=total,
        parts=total.new_zeros(batch, beam, parts),
        best=total.new_full((batch,), DEAD),
        recent=total.new_full((batch, END_STEPS + 2 + len(scorers.prompt)), DEAD),
        stop=torch.full_like(limits[:, 0], -1),
        pool=Pool(
            key=pool,
            total=pool,
            parts=pool.new_zeros(batch, nbest, parts),
            tokens=prefixes(nbest),
            length=torch.zeros_like(pool, dtype=torch.int64),
            forced=torch.zeros_like(pool, dtype=torch.bool),
        ),
    )


def extend(
    grid: Grid, states: list[Any], memories: list[Any], scorers: Scorers, options: SearchOptions, watch: Watch
) -> tuple[Grid, list[Any]]:
    """One more token for each hypothesis: the K best extensions, as a new grid, and their states."""
    beam = grid.total.shape[1]
    at = grid.step[:, None, None].expand(-1, beam, 1)  # (B, K, 1)
    last = grid.tokens.gather(2, at).squeeze(2)  # (B, K)
    full = len(scorers.full)
    states = list(states)
    scored = []  # (B, K, V) each
    gain = None  # (B, K, V)
    for i, weighted in enumerate(scorers.full):
        with watch.clock(weighted.name):
            logp, states[i] = weighted.scorer.step(last, states[i], memories[i])
        scored.append(logp)
        gain = weighted.weight * logp if gain is None else gain + weighted.weight * logp
    candidates, excluded = _candidates(gain, scorers, beam)  # (B, K, X) or None for all, (B, K) or None
    if gain is None:
        gain = torch.zeros((), dtype=torch.float64, device=last.device)
    elif candidates is not None:
        gain = gain.gather(2, candidates)  # (B, K, X)
    # Where CTC reads a window only: the frame (B, K) that the decoder attends to.
    centre = [scorers.full[0].scorer.centre(states[0])] if options.ctc_window else []
    partial = []  # (B, K, X) each
    for i, weighted in enumerate(scorers.partial, full):
        with watch.clock(weighted.name):
            partial.append(weighted.scorer.score(states[i], memories[i], candidates, *centre))
        gain = gain + weighted.weight * partial[-1]  # (B, K, X) float64
    totals = grid.total.unsqueeze(2) + gain.double() + options.penalty  # (B, K, X)
    if excluded is not None:
        totals[:, :, -1].masked_fill_(excluded, DEAD)
    total, chosen = totals.flatten(1).topk(beam, dim=1)  # (B, K), (B, K) best first
    parents = chosen.div(totals.shape[2], rounding_mode="floor")  # (B, K)
    places = chosen - parents * totals.shape[2]  # (B, K) among the candidates
    tokens = places if candidates is None else candidates.flatten(1).gather(1, chosen)  # (B, K)

    parts = tree.reorder(grid.parts, parents)  # (B, K, P)
    place = parents * scorers.vocab + tokens  # (B, K)
    for i, logp in enumerate(scored):
        states[i] = scorers.full[i].scorer.reorder(states[i], parents)
        parts[:, :, i] += logp.flatten(1).gather(1, place)
    for i, scores in enumerate(partial, full):
        gained = scores.flatten(1).gather(1, chosen)  # (B, K)
        with watch.clock(scorers.partial[i - full].name):
            state = tree.reorder(states[i], parents)
            moved = [frame.gather(1, parents) for frame in centre]  # (B, K)
            states[i] = scorers.partial[i - full].scorer.advance(state, memories[i], tokens, gained, *moved)
        parts[:, :, i] += gained
    if options.penalty != 0:
        parts[:, :, -1] += 1.0
    prefixes = tree.reorder(grid.tokens, parents)  # (B, K, L + 1)
    # A finished utterance keeps its row, which is computed on until the next check, and changes nothing.
    after = (at + 1).clamp(max=grid.tokens.shape[2] - 1)  # (B, K, 1)
    prefixes.scatter_(2, after, tokens.unsqueeze(2))
    return grid._replace(tokens=prefixes, total=total, parts=parts), states


def _candidates(gain: Tensor | None, scorers: Scorers, beam: int) -> tuple[Tensor | None, Tensor | None]:
    """The tokens (B, K, X) that partial scorers see, by the full scores (B, K, V); None for all.

    Where ESPnet scores <eos> in any case, it is the last candidate; where it was among the others
    already, the second answer (B, K) is true, and the doublet is not to be chosen.
    """
    size = int(scorers.pre_beam * beam)
    if gain is None or not scorers.partial or size == 0 or size >= scorers.vocab:
        return None, None
    candidates = gain.topk(size, dim=2)[1]  # (B, K, X)
    if not scorers.eos_always:
        return candidates, None
    there = (candidates == scorers.eos).any(2)  # (B, K)
    end = torch.full_like(candidates[:, :, :1], scorers.eos)  # (B, K, 1)
    return torch.cat((candidates, end), 2), there


def end(grid: Grid, scorers: Scorers, options: SearchOptions) -> Grid:
    """Move hypotheses that ended from the beam to the pool, and say of each utterance whether it stops, and why."""
    going = grid.stop < 0  # (B,)
    beam = grid.total.shape[1]
    after = (grid.step + 1).clamp(max=grid.tokens.shape[2] - 1)[:, None, None].expand(-1, beam, 1)  # (B, K, 1)
    natural = grid.tokens.gather(2, after).squeeze(2) == scorers.eos  # (B, K)
    last_step = grid.longest == grid.step + 1  # (B,)
    ending = (grid.total > DEAD) & (natural | last_step.unsqueeze(1))  # (B, K)
    # What ends before the shortest length allowed is dropped, as ESPnet drops it.
    counted = ending & (going & (grid.shortest <= grid.step)).unsqueeze(1)  # (B, K)
    scores = grid.total.masked_fill(~counted, DEAD).amax(1)  # (B,)
    best = torch.maximum(grid.best, scores)  # (B,)
    recent = torch.cat((scores.unsqueeze(1), grid.recent[:, :-1]), 1)  # (B, END_STEPS + 2 + prompt)
    pool = grid.pool
    if scores.is_cuda or bool(counted.any()):  # a test on a GPU would cost more than the work
        pool = _pooled(grid, counted, natural, last_step, scorers, options)
    total = grid.total.masked_fill(ending, DEAD)  # (B, K)
    # ESPnet compares hypotheses of length step, step - 1, step - 2 with <sos>, a prompt and <eos>: without a prompt
    # those of two steps ago and before.
    compared = recent[:, -END_STEPS:]  # (B, END_STEPS)
    detected = ((compared > DEAD) & (compared - best.unsqueeze(1) < END_MARGIN)).all(1)  # (B,)
    if options.maxlenratio != 0:
        detected = torch.zeros_like(detected)
    stop = torch.full_like(grid.stop, -1)  # (B,)
    stop = stop.masked_fill((total == DEAD).all(1), 1).masked_fill(last_step, 2).masked_fill(detected, 0)
    stop = torch.where(going, stop, grid.stop)  # (B,)
    total = total.masked_fill((stop >= 0).unsqueeze(1), DEAD)  # (B, K)
    step = grid.step + going.long()  # (B,)
    return grid._replace(step=step, total=total, best=best, recent=recent, stop=stop, pool=pool)


def _pooled(
    grid: Grid, counted: Tensor, natural: Tensor, last_step: Tensor, scorers: Scorers, options: SearchOptions
) -> Pool:
    """The pool with the `counted` (B, K) hypotheses in it, the best N of all."""
    forced = ~natural  # (B, K)
    # At the last step ESPnet appends <eos> to all, to what ends in <eos> too, and counts it; and it counts a prompt.
    steps = (grid.step + 1 + last_step.long() + len(scorers.prompt)).unsqueeze(1)  # (B, 1)
    key = grid.total / steps if options.normalize_length else grid.total  # (B, K)
    key = key.masked_fill(~counted, DEAD)  # (B, K)
    length = grid.step.unsqueeze(1) + forced.long()  # (B, K)
    new = Pool(key, grid.total, grid.parts, grid.tokens, length, forced)
    both = tree.join(grid.pool, new)  # (B, N + K, ...)
    # Stable: at equal scores what ended first comes first, as in ESPnet's sort.
    order = both.key.sort(dim=1, descending=True, stable=True)[1][:, : options.nbest]  # (B, N)
    return tree.pick(both, order)


def read_off(grid: Grid, rows: Tensor, scorers: Scorers, options: SearchOptions) -> list[Found]:
    """What was found for the utterances in these rows (B',)."""
    names = [weighted.name for weighted in (*scorers.full, *scorers.partial)]
    names += ["length_bonus"] if options.penalty != 0 else []
    kept = tree.keep((grid.stop, grid.step, *grid.pool), rows)
    # All in one tensor, float64 holding integers exactly: a GPU is waited for once.
    together = torch.cat([part.reshape(len(rows), -1).double() for part in kept], 1).cpu()
    pieces = together.split([part[0].numel() for part in kept], 1)
    stops, steps, *columns = [
        piece.to(part.dtype).view(part.shape).tolist() for piece, part in zip(pieces, kept, strict=True)
    ]
    found = []
    for b, stop in enumerate(stops):
        hyps = []
        for key, total, parts, tokens, length, forced in zip(*(c[b] for c in columns), strict=True):
            if key == DEAD:
                break
            scores = dict(zip(names, parts, strict=True))
            ended = "maxlen" if forced else "eos"
            hyps.append(Ended(tokens[1 : length + 1], total, scores, ended))
        found.append(Found(hyps, STOPS[stop], steps[b]))
    return found
