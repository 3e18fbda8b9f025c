"""Beam search over a grid of utterances x hypotheses, with the semantics of ESPnet's BeamSearch.

| axis | meaning |
|---|---|
| B | utterances in the grid; those that are finished leave it |
| K | hypotheses an utterance (the beam) |
| S | candidate next tokens a hypothesis |
| V | tokens |
| L | tokens of the longest output allowed |
| P | scorers |

Everything is a tensor that is moved by index; no object stands for a hypothesis until the N-best is
read off at the end. At each step an utterance's K best extensions are chosen; those that end in <eos>
leave the beam for the list of ended hypotheses, so that fewer than K go on, and K are chosen again
from these. A slot without a hypothesis has the total -inf, and nothing ever chooses its extensions.
An utterance stops when its own limit of tokens is reached (what is in the beam then counts as ended),
when its beam is empty, or by end detection. Nothing an utterance does depends on the others.

Sources: Watanabe et al. 2017 (end detection: equation 50), espnet.nets.beam_search (pre-beam, limits).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdasr.search import tree
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import Scorers

DEAD = -float("inf")
END_STEPS = 3  # M of equation 50: so many lengths in a row
END_MARGIN = -10.0  # D_end: whose best hypothesis is so much worse than the best of all
STOPS = ("end detected", "beam empty", "maxlen")


@dataclass(frozen=True)
class Hypothesis:
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

    hyps: list[Hypothesis]
    stop: str
    steps: int


class Grid(NamedTuple):
    """The search's own tensors."""

    utterance: Tensor  # (B,) number in the batch
    longest: Tensor  # (B,) tokens
    shortest: Tensor  # (B,) tokens
    tokens: Tensor  # (B, K, L + 1) prefixes, <sos> first
    total: Tensor  # (B, K) float64: weighted scores, DEAD for an empty slot
    parts: Tensor  # (B, K, P) float64: each scorer's sums
    best: Tensor  # (B,) float64: best ended score
    recent: Tensor  # (B, END_STEPS + 2) float64: best score among those ended at this step, the one before, ...
    done: Tensor  # (B,) bool


class Ended(NamedTuple):
    """Hypotheses that ended at some step."""

    utterance: Tensor  # (n,)
    tokens: Tensor  # (n, L + 1)
    length: Tensor  # (n,) tokens without <sos> and <eos>
    total: Tensor  # (n,)
    parts: Tensor  # (n, P)
    forced: Tensor  # (n,) ended by the limit
    steps: Tensor  # (n,) what ESPnet divides by to normalise


@torch.no_grad()
def search(hs: Tensor, hlens: Tensor, scorers: Scorers, options: SearchOptions) -> list[Found]:
    """N-best lists for a batch of encoded utterances.

    Args:
        hs: encoder output (B, T, E), padded with anything.
        hlens: its lengths (B,) in frames, each at least 1.
        scorers: what scores, with weights.
        options: beam, limits and weights.

    Returns:
        one result an utterance, in order. As ESPnet does, an utterance none of whose hypotheses ended is
        searched again with minlenratio less 0.1, as long as that is 0.1 or more; its list may be empty.
    """
    found = _search(hs, hlens, scorers, options)
    empty = [number for number, result in enumerate(found) if not result.hyps]
    if empty and options.minlenratio >= 0.1:
        rows = torch.tensor(empty, device=hs.device)  # (B',)
        shorter = replace(options, minlenratio=max(0.0, options.minlenratio - 0.1))
        for number, result in zip(empty, search(hs[rows], hlens[rows], scorers, shorter), strict=True):
            found[number] = result
    return found


def _search(hs: Tensor, hlens: Tensor, scorers: Scorers, options: SearchOptions) -> list[Found]:
    everyone = [*scorers.full, *scorers.partial]
    grid = _start(hs, hlens, scorers, options, len(everyone))
    memories = [w.scorer.remember(hs, hlens) for w in everyone]
    states = [w.scorer.start(memory, options.beam) for w, memory in zip(everyone, memories, strict=True)]
    ended: list[Ended] = []
    stops = torch.full((len(hlens), 2), len(STOPS) - 1, device=hs.device)  # (B, 2) reason, steps
    for step in range(int(grid.longest.max())):
        grid, states, forced = _extend(step, grid, states, memories, scorers, options)
        grid, new, reasons = _end(step, grid, forced, scorers, options)
        ended.extend(new)
        stops[grid.utterance] = torch.where(
            grid.done.unsqueeze(1), stops[grid.utterance], torch.stack((reasons, torch.full_like(reasons, step + 1)), 1)
        )
        done = grid.done | (reasons >= 0)  # (B,)
        grid = grid._replace(done=done, total=grid.total.masked_fill(done.unsqueeze(1), DEAD))
        left = int((~done).sum())
        if left == 0:
            break
        # Dropping rows copies all that stays: worth it once a quarter of the rows is finished.
        if left <= 0.75 * len(done):
            rows = (~done).nonzero().squeeze(1)  # (B',)
            grid = tree.keep(grid, rows)
            memories = [_keep(w.scorer, m, rows) for w, m in zip(everyone, memories, strict=True)]
            states = [_keep(w.scorer, s, rows) for w, s in zip(everyone, states, strict=True)]
    return _collect(ended, stops, [w.name for w in everyone], options)


def _start(hs: Tensor, hlens: Tensor, scorers: Scorers, options: SearchOptions, parts: int) -> Grid:
    """A grid in which each utterance has one hypothesis, the empty one."""
    batch, device = len(hlens), hs.device
    limits = torch.tensor([options.limits(int(n)) for n in hlens.tolist()], device=device)  # (B, 2)
    tokens = torch.full((batch, options.beam, int(limits[:, 0].max()) + 1), scorers.sos, device=device)  # (B, K, L + 1)
    total = torch.full((batch, options.beam), DEAD, dtype=torch.float64, device=device)  # (B, K)
    total[:, 0] = 0.0
    return Grid(
        utterance=torch.arange(batch, device=device),
        longest=limits[:, 0],
        shortest=limits[:, 1],
        tokens=tokens,
        total=total,
        parts=total.new_zeros(batch, options.beam, parts + (options.penalty != 0)),
        best=total.new_full((batch,), DEAD),
        recent=total.new_full((batch, END_STEPS + 2), DEAD),
        done=torch.zeros(batch, dtype=torch.bool, device=device),
    )


def _extend(
    step: int, grid: Grid, states: list[Any], memories: list[Any], scorers: Scorers, options: SearchOptions
) -> tuple[Grid, list[Any], Tensor]:
    """One more token for each hypothesis: the K best extensions, as a new grid, and their states."""
    beam = grid.total.shape[1]
    last = grid.tokens[:, :, step]  # (B, K)
    full = len(scorers.full)
    states = list(states)
    scored = []  # (B, K, V) each
    gain = None  # (B, K, V)
    for i, weighted in enumerate(scorers.full):
        logp, states[i] = weighted.scorer.step(last, states[i], memories[i])
        scored.append(logp)
        gain = weighted.weight * logp if gain is None else gain + weighted.weight * logp
    candidates, excluded = _candidates(gain, scorers, beam)  # (B, K, S) or None for all, (B, K) or None
    if gain is None:
        gain = torch.zeros((), dtype=torch.float64, device=last.device)
    elif candidates is not None:
        gain = gain.gather(2, candidates)  # (B, K, S)
    partial = []  # (B, K, S) each
    for i, weighted in enumerate(scorers.partial, full):
        partial.append(weighted.scorer.score(states[i], memories[i], candidates))
        gain = gain + weighted.weight * partial[-1]  # (B, K, S) float64
    totals = grid.total.unsqueeze(2) + gain.double() + options.penalty  # (B, K, S)
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
        state = tree.reorder(states[i], parents)
        states[i] = scorers.partial[i - full].scorer.advance(state, memories[i], tokens, gained)
        parts[:, :, i] += gained
    if options.penalty != 0:
        parts[:, :, -1] += 1.0
    prefixes = tree.reorder(grid.tokens, parents)  # (B, K, L + 1)
    prefixes[:, :, step + 1] = tokens
    return grid._replace(tokens=prefixes, total=total, parts=parts), states, grid.longest == step + 1


def _candidates(gain: Tensor | None, scorers: Scorers, beam: int) -> tuple[Tensor | None, Tensor | None]:
    """The tokens (B, K, S) that partial scorers see, by the full scores (B, K, V); None for all.

    Where ESPnet scores <eos> in any case, it is the last candidate; where it was among the others
    already, the second answer (B, K) is true, and the doublet is not to be chosen.
    """
    size = int(scorers.pre_beam * beam)
    if gain is None or not scorers.partial or size == 0 or size >= scorers.vocab:
        return None, None
    candidates = gain.topk(size, dim=2)[1]  # (B, K, S)
    if not scorers.eos_always:
        return candidates, None
    there = (candidates == scorers.eos).any(2)  # (B, K)
    end = torch.full_like(candidates[:, :, :1], scorers.eos)  # (B, K, 1)
    return torch.cat((candidates, end), 2), there


def _end(
    step: int, grid: Grid, last_step: Tensor, scorers: Scorers, options: SearchOptions
) -> tuple[Grid, list[Ended], Tensor]:
    """Take hypotheses that ended out of the beam; and why each utterance stops here (B,), -1 if it does not."""
    natural = grid.tokens[:, :, step + 1] == scorers.eos  # (B, K)
    alive = grid.total > DEAD  # (B, K)
    ending = alive & (natural | last_step.unsqueeze(1))  # (B, K)
    # What ends before the shortest length allowed is dropped, as ESPnet drops it.
    counted = ending & (grid.shortest <= step).unsqueeze(1)  # (B, K)
    scores = grid.total.masked_fill(~counted, DEAD).amax(1)  # (B,)
    best = torch.maximum(grid.best, scores)  # (B,)
    recent = torch.cat((scores.unsqueeze(1), grid.recent[:, :-1]), 1)  # (B, END_STEPS + 2)
    new = []
    rows = counted.nonzero()  # (n, 2)
    if len(rows):
        b, k = rows.unbind(1)  # (n,), (n,)
        forced = ~natural[b, k]  # (n,)
        # At the last step ESPnet appends <eos> to all, to what ends in <eos> too, and counts it.
        steps = step + 1 + last_step[b].long()  # (n,)
        length = step + forced.long()  # (n,)
        new.append(
            Ended(grid.utterance[b], grid.tokens[b, k], length, grid.total[b, k], grid.parts[b, k], forced, steps)
        )
    total = grid.total.masked_fill(ending, DEAD)  # (B, K)
    # ESPnet compares hypotheses of length step, step - 1, step - 2 with <sos> and <eos>: two steps ago and before.
    compared = recent[:, 2:]  # (B, END_STEPS)
    detected = ((compared > DEAD) & (compared - best.unsqueeze(1) < END_MARGIN)).all(1)  # (B,)
    if options.maxlenratio != 0:
        detected = torch.zeros_like(detected)
    reasons = torch.full_like(grid.longest, -1)  # (B,)
    reasons = reasons.masked_fill((total == DEAD).all(1), 1).masked_fill(last_step, 2).masked_fill(detected, 0)
    return grid._replace(total=total, best=best, recent=recent), new, reasons


def _keep(scorer: Any, moved: Any, rows: Tensor) -> Any:
    """Memory or state of some utterances: a full scorer's own way, a partial scorer's tensors by index."""
    return getattr(scorer, "keep", tree.keep)(moved, rows)


def _collect(ended: list[Ended], stops: Tensor, names: list[str], options: SearchOptions) -> list[Found]:
    """Sort what ended by utterance and score, and read the N best off."""
    found = [Found([], STOPS[reason], steps) for reason, steps in stops.tolist()]
    if not ended:
        return found
    every = Ended(*(torch.cat(tensors) for tensors in zip(*ended, strict=True)))
    key = every.total / every.steps if options.normalize_length else every.total  # (n,)
    # Stable: at equal scores what ended first comes first, as in ESPnet's sort.
    order = key.sort(descending=True, stable=True)[1]  # (n,)
    order = order[every.utterance[order].sort(stable=True)[1]]  # (n,) by utterance, then score
    owner = every.utterance[order]  # (n,)
    first = torch.searchsorted(owner, owner)  # (n,) where the utterance's list begins
    order = order[torch.arange(len(order), device=order.device) - first < options.nbest]
    best = tree.keep(every, order)
    names = [*names, "length_bonus"] if options.penalty != 0 else names
    columns = (best.utterance, best.length, best.total, best.parts, best.forced, best.tokens)
    for utterance, length, total, parts, forced, tokens in zip(*(c.tolist() for c in columns), strict=True):
        scores = dict(zip(names, parts, strict=True))
        hyp = Hypothesis(tokens[1 : length + 1], total, scores, "maxlen" if forced else "eos")
        found[utterance].hyps.append(hyp)
    return found
