"""Beam search of one utterance, in numpy, with the semantics of kdasr.search.grid: joint, attention or CTC alone.

At each step the K best extensions of all hypotheses are chosen. Those that end in <eos> leave the beam, so that fewer
go on, and K are chosen again from these. kdasr.search.grid has the reasons and sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from kdasr.runtime.ctc import Ctc, CtcState
from kdasr.search.options import SearchOptions

DEAD = -float("inf")
END_STEPS = 3  # M of Watanabe et al. 2017, equation 50: so many lengths in a row
END_MARGIN = -10.0  # D_end
PRE_BEAM = 1.5  # candidates of a hypothesis for CTC, as a multiple of the beam

States = list[np.ndarray]  # (K, ...) each
Step = Callable[[np.ndarray, States], tuple[np.ndarray, States]]  # tokens (K,), states -> logp (K, V), states


class Sound(NamedTuple):
    """An encoded utterance, as a search needs it."""

    frames: int  # S
    logp: np.ndarray | None  # (S, V) log probabilities of CTC
    step: Step | None  # of the attention decoder
    states: States  # of one hypothesis before <sos>


class Vocabulary(NamedTuple):
    """What a search must know of the tokens."""

    size: int  # V
    blank: int
    sos: int
    eos: int
    eos_always: bool  # whether CTC scores <eos> even where the decoder's best tokens leave it out, as ESPnet's does


@dataclass(frozen=True)
class Hypothesis:
    """An ended hypothesis.

    Attributes:
        tokens: its ids, without <sos> and <eos>.
        score: the weighted sum by which it was found.
        scores: the sums of each scorer, without weights.
        gains: log probability of each token by the decoder, or by CTC where there is none; <eos> is not among them.
        ended: "eos", or "maxlen" when the limit of tokens cut it off.
    """

    tokens: tuple[int, ...]
    score: float
    scores: dict[str, float]
    gains: tuple[float, ...]
    ended: str


class Beam(NamedTuple):
    """The hypotheses that go on; every array's first axis is K."""

    tokens: np.ndarray  # (K, L + 1) <sos> first
    gains: np.ndarray  # (K, L) float64
    total: np.ndarray  # (K,) float64
    parts: np.ndarray  # (K, P) float64


def search(sound: Sound, vocabulary: Vocabulary, options: SearchOptions) -> list[Hypothesis]:
    """The N-best, best first; an utterance none of whose hypotheses ended is searched again with shorter ones."""
    found = _search(sound, vocabulary, options)
    while not found and options.minlenratio >= 0.1:
        options = replace(options, minlenratio=max(0.0, options.minlenratio - 0.1))
        found = _search(sound, vocabulary, options)
    return found


def _search(sound: Sound, vocabulary: Vocabulary, options: SearchOptions) -> list[Hypothesis]:
    longest, shortest = options.limits(sound.frames)
    weight = options.ctc_weight
    step = sound.step if weight < 1.0 else None
    ctc = None
    if weight > 0.0 and sound.logp is not None:
        ctc = Ctc(sound.logp, vocabulary.blank, vocabulary.sos, vocabulary.eos)
    names = ["decoder"] * (step is not None) + ["ctc"] * (ctc is not None) + ["length_bonus"] * (options.penalty != 0)
    states, ctc_state = sound.states, ctc.start() if ctc else None
    beam = Beam(np.full((1, 1), vocabulary.sos), np.zeros((1, 0)), np.zeros(1), np.zeros((1, len(names))))
    pool: list[tuple[float, Hypothesis]] = []  # key to order by
    best, recent = DEAD, [DEAD] * (END_STEPS + 2)  # best ended score: of all, and of this step, the one before, ...
    for length in range(longest):  # tokens that the hypotheses in the beam have
        beam, states, ctc_state = _extend(beam, states, ctc_state, step, ctc, vocabulary, options)
        natural = beam.tokens[:, -1] == vocabulary.eos  # (K,)
        last = length + 1 == longest
        ending = natural | last  # (K,)
        score = DEAD
        if ending.any():
            if shortest <= length:  # what ends before is dropped
                score = float(beam.total[ending].max())
                best = max(best, score)
                pool += [_ended(beam, k, bool(natural[k]), last, names, options) for k in np.nonzero(ending)[0]]
                # Stable: at equal scores what ended first comes first, as in ESPnet's sort.
                pool = sorted(pool, key=lambda pair: -pair[0])[: options.nbest]
            going = np.nonzero(~ending)[0]
            beam = Beam(*(part[going] for part in beam))
            states = [state[going] for state in states] if step is not None else states
            ctc_state = CtcState(*(part[going] for part in ctc_state)) if ctc_state is not None else None
        recent = [score, *recent[:-1]]
        # ESPnet compares hypotheses of length step, step - 1, step - 2 with <sos> and <eos>: two steps ago and before.
        detected = all(one > DEAD and one - best < END_MARGIN for one in recent[2:])
        if not len(beam.total) or (detected and options.maxlenratio == 0):
            break
    return [hyp for _, hyp in pool]


def _extend(
    beam: Beam,
    states: States,
    ctc_state: CtcState | None,
    step: Step | None,
    ctc: Ctc | None,
    vocabulary: Vocabulary,
    options: SearchOptions,
) -> tuple[Beam, States, CtcState | None]:
    """One more token for each hypothesis: the K best extensions, and their states."""
    gain = candidates = excluded = logp = None
    if step is not None:
        logp, states = step(beam.tokens[:, -1], states)  # (K, V)
        gain = (1.0 - options.ctc_weight) * logp  # (K, V) float32
        if ctc is not None:
            candidates, excluded = _candidates(gain, vocabulary, options.beam)
            gain = gain if candidates is None else np.take_along_axis(gain, candidates, 1)  # (K, X)
    partial = None
    if ctc is not None and ctc_state is not None:
        partial = ctc.score(ctc_state, candidates)  # (K, X) float64
        weighted = options.ctc_weight * partial
        gain = weighted if gain is None else gain + weighted
    assert gain is not None
    totals = beam.total[:, None] + gain.astype(np.float64) + options.penalty  # (K, X)
    if excluded is not None:
        totals[excluded, -1] = DEAD
    chosen = _best(totals.ravel(), options.beam)  # (K,) best first
    total = totals.ravel()[chosen]  # (K,)
    chosen, total = chosen[total > DEAD], total[total > DEAD]
    parents, places = np.divmod(chosen, totals.shape[1])  # (K,) both
    tokens = places if candidates is None else candidates[parents, places]  # (K,)

    parts = beam.parts[parents]  # (K, P)
    column = 0
    token_gains = None
    if logp is not None:
        token_gains = logp[parents, tokens].astype(np.float64)  # (K,)
        parts[:, 0] += token_gains
        states = [state[parents] for state in states]
        column = 1
    if partial is not None and ctc is not None and ctc_state is not None:
        gained = partial[parents, places]  # (K,)
        parts[:, column] += gained
        token_gains = gained if token_gains is None else token_gains
        ctc_state = ctc.advance(CtcState(*(part[parents] for part in ctc_state)), tokens, gained)
    if options.penalty != 0:
        parts[:, -1] += 1.0
    prefixes = np.concatenate((beam.tokens[parents], tokens[:, None]), 1)  # (K, L + 1)
    gains = np.concatenate((beam.gains[parents], np.asarray(token_gains)[:, None]), 1)  # (K, L)
    return Beam(prefixes, gains, total, parts), states, ctc_state


def _candidates(gain: np.ndarray, vocabulary: Vocabulary, beam: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The tokens (K, X) that CTC sees, by the decoder's scores (K, V); None for all.

    Where ESPnet scores <eos> in any case, it is the last candidate; where it was among the others already, the second
    answer (K,) is true, and the doublet is not to be chosen.
    """
    size = int(PRE_BEAM * beam)
    if size == 0 or size >= vocabulary.size:
        return None, None
    candidates = np.argpartition(gain, -size, 1)[:, -size:]  # (K, X) in no order
    order = np.argsort(-np.take_along_axis(gain, candidates, 1), axis=1, kind="stable")
    candidates = np.take_along_axis(candidates, order, 1)  # (K, X)
    if not vocabulary.eos_always:
        return candidates, None
    there = (candidates == vocabulary.eos).any(1)  # (K,)
    end = np.full_like(candidates[:, :1], vocabulary.eos)  # (K, 1)
    return np.concatenate((candidates, end), 1), there


def _best(totals: np.ndarray, beam: int) -> np.ndarray:
    """Indices of the largest, at most `beam`, best first; of two that are equal the first."""
    if len(totals) > 4 * beam:
        least = np.partition(totals, -beam)[-beam]
        there = np.nonzero(totals >= least)[0]
        return there[np.argsort(-totals[there], kind="stable")[:beam]]
    return np.argsort(-totals, kind="stable")[:beam]


def _ended(
    beam: Beam, k: int, natural: bool, last: bool, names: list[str], options: SearchOptions
) -> tuple[float, Hypothesis]:
    """Hypothesis k of the beam as an ended one, and what it is ordered by."""
    tokens, gains, total = beam.tokens[k, 1:], beam.gains[k], float(beam.total[k])
    # At the last step ESPnet appends <eos> to all, to what ends in <eos> too, and counts it.
    key = total / (len(tokens) + last) if options.normalize_length else total
    tokens, gains = (tokens[:-1], gains[:-1]) if natural else (tokens, gains)
    scores = dict(zip(names, beam.parts[k].tolist(), strict=True))
    ended = "eos" if natural else "maxlen"
    return key, Hypothesis(tuple(tokens.tolist()), total, scores, tuple(gains.tolist()), ended)
