"""Beam search of one utterance, in numpy, with the semantics of kdasr.search.grid: joint, attention or CTC alone.

At each step the K best extensions of all hypotheses are chosen. Those that end in <eos> leave the beam, so that fewer
go on, and K are chosen again from these. kdasr.search.grid has the reasons and sources.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from kdasr.runtime.ctc import Ctc
from kdasr.search.options import SearchOptions

DEAD = -float("inf")
END_STEPS = 3  # M of Watanabe et al. 2017, equation 50: so many lengths in a row
END_MARGIN = -10.0  # D_end
PRE_BEAM = 1.5  # candidates of a hypothesis for CTC, as a multiple of the beam
FEW = 200  # values that are sorted whole; of more, the largest are picked first

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
    """The hypotheses that go on."""

    last: np.ndarray  # (K,) last tokens
    total: np.ndarray  # (K,) float64
    parts: np.ndarray  # (K, P) float64: each scorer's sums


class Link(NamedTuple):
    """What a step added to the hypotheses of the step before: to be followed back from one that ended."""

    parents: np.ndarray  # (K,) rows of the step before
    tokens: np.ndarray  # (K,)
    gains: np.ndarray  # (K,)


def search(sound: Sound, vocabulary: Vocabulary, options: SearchOptions) -> list[Hypothesis]:
    """The N-best, best first; an utterance none of whose hypotheses ended is searched again with shorter ones."""
    found = Search(sound, vocabulary, options).run()
    while not found and options.minlenratio >= 0.1:
        options = replace(options, minlenratio=max(0.0, options.minlenratio - 0.1))
        found = Search(sound, vocabulary, options).run()
    return found


class Search:
    """The search of one utterance."""

    def __init__(self, sound: Sound, vocabulary: Vocabulary, options: SearchOptions) -> None:
        self.vocabulary, self.options = vocabulary, options
        self.longest, self.shortest = options.limits(sound.frames)
        weight = options.ctc_weight
        self.step = sound.step if weight < 1.0 else None
        self.ctc = None
        if weight > 0.0 and sound.logp is not None:
            self.ctc = Ctc(sound.logp, vocabulary.blank, vocabulary.sos, vocabulary.eos)
        scorers = {"decoder": self.step is not None, "ctc": self.ctc is not None, "length_bonus": options.penalty != 0}
        self.names = [name for name, used in scorers.items() if used]
        self.beam = Beam(np.full(1, vocabulary.sos), np.zeros(1), np.zeros((1, len(self.names))))
        self.states = sound.states if self.step is not None else []
        self.ctc_state = self.ctc.start() if self.ctc else None
        self.links: list[Link] = []

    def run(self) -> list[Hypothesis]:
        """All steps."""
        pool: list[tuple[float, Hypothesis]] = []  # key to order by
        best, recent = DEAD, [DEAD] * (END_STEPS + 2)  # best ended score: of all; of this step, the one before, ...
        for length in range(self.longest):  # tokens that the hypotheses in the beam have
            self.extend()
            natural = self.beam.last == self.vocabulary.eos  # (K,)
            last = length + 1 == self.longest
            score = DEAD
            if last or natural.any():
                ending = natural | last  # (K,)
                if self.shortest <= length:  # what ends before is dropped
                    score = float(self.beam.total[ending].max(initial=DEAD))
                    best = max(best, score)
                    pool += [self.ended(k, bool(natural[k]), last) for k in np.nonzero(ending)[0].tolist()]
                    # Stable: at equal scores what ended first comes first, as in ESPnet's sort.
                    pool = sorted(pool, key=lambda pair: -pair[0])[: self.options.nbest]
                self.keep(np.nonzero(~ending)[0])
            recent = [score, *recent[:-1]]
            # ESPnet compares hypotheses of length step, step - 1, step - 2 with <sos> and <eos>: two steps ago and
            # before.
            detected = all(one > DEAD and one - best < END_MARGIN for one in recent[2:])
            if not len(self.beam.total) or (detected and self.options.maxlenratio == 0):
                break
        return [hyp for _, hyp in pool]

    def extend(self) -> None:
        """One more token for each hypothesis: the K best extensions, and their states."""
        beam, options = self.beam, self.options
        logp = candidates = excluded = partial = None
        gain: np.ndarray
        if self.step is not None:
            logp, self.states = self.step(beam.last, self.states)  # (K, V)
            gain = (1.0 - options.ctc_weight) * logp  # (K, V) float32
        if self.ctc is not None and self.ctc_state is not None:
            if logp is not None:
                candidates, excluded = self.candidates(gain)
                if candidates is not None:
                    gain = gain[np.arange(len(gain))[:, None], candidates]  # (K, X)
            partial = self.ctc.score(self.ctc_state, candidates)  # (K, X) float64
            weighted = options.ctc_weight * partial
            gain = weighted if logp is None else gain + weighted
        totals = beam.total[:, None] + gain  # (K, X) float64
        if options.penalty != 0:
            totals += options.penalty
        if excluded is not None:
            totals[excluded, -1] = DEAD
        flat = totals.ravel()
        chosen = largest(flat, options.beam)  # (K,) best first
        total = flat[chosen]  # (K,)
        if total[-1] == DEAD:
            chosen, total = chosen[total > DEAD], total[total > DEAD]
        parents, places = np.divmod(chosen, totals.shape[1])  # (K,) both
        tokens = places if candidates is None else candidates[parents, places]  # (K,)

        parts = beam.parts[parents]  # (K, P)
        gains = None
        if logp is not None:
            gains = logp[parents, tokens]  # (K,)
            parts[:, 0] += gains
            self.states = [state[parents] for state in self.states]
        if partial is not None and self.ctc is not None and self.ctc_state is not None:
            gained = partial[parents, places]  # (K,)
            parts[:, 0 if logp is None else 1] += gained
            gains = gained if gains is None else gains
            self.ctc_state = self.ctc.advance(self.ctc_state, parents, tokens, gained)
        if options.penalty != 0:
            parts[:, -1] += 1.0
        self.beam = Beam(tokens, total, parts)
        self.links.append(Link(parents, tokens, np.asarray(gains)))

    def candidates(self, gain: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The tokens (K, X) that CTC sees, by the decoder's scores (K, V); None for all.

        Where ESPnet scores <eos> in any case, it is the last candidate; where it was among the others already, the
        second answer (K,) is true, and the doublet is not to be chosen.
        """
        size = int(PRE_BEAM * self.options.beam)
        if size == 0 or size >= self.vocabulary.size:
            return None, None
        there = None
        if gain.shape[1] > FEW:
            there = np.argpartition(gain, -size, 1)[:, -size:]  # (K, X) in no order
            gain = gain[np.arange(len(gain))[:, None], there]
        candidates = (-gain).argsort(1, kind="stable")[:, :size]  # (K, X)
        if there is not None:
            candidates = there[np.arange(len(gain))[:, None], candidates]
        if not self.vocabulary.eos_always:
            return candidates, None
        excluded = (candidates == self.vocabulary.eos).any(1)  # (K,)
        with_end = np.full((len(candidates), size + 1), self.vocabulary.eos)  # (K, X)
        with_end[:, :-1] = candidates
        return with_end, excluded

    def keep(self, going: np.ndarray) -> None:
        """Leave only these hypotheses in the beam."""
        self.beam = Beam(*(part[going] for part in self.beam))
        self.states = [state[going] for state in self.states]
        if self.ctc is not None and self.ctc_state is not None:
            self.ctc_state = self.ctc.keep(self.ctc_state, going)
        link = self.links[-1]
        self.links[-1] = Link(*(part[going] for part in link))

    def ended(self, k: int, natural: bool, last: bool) -> tuple[float, Hypothesis]:
        """Hypothesis k of the beam as an ended one, and what it is ordered by."""
        total, row = float(self.beam.total[k]), k
        tokens, gains = [], []
        for link in reversed(self.links):
            tokens.append(int(link.tokens[row]))
            gains.append(float(link.gains[row]))
            row = int(link.parents[row])
        # At the last step ESPnet appends <eos> to all, to what ends in <eos> too, and counts it.
        key = total / (len(tokens) + last) if self.options.normalize_length else total
        first = 1 if natural else 0  # they are in reverse, <eos> first
        scores = dict(zip(self.names, self.beam.parts[k].tolist(), strict=True))
        spelt = tuple(tokens[first:][::-1]), total, scores, tuple(gains[first:][::-1])
        return key, Hypothesis(*spelt, "eos" if natural else "maxlen")


def largest(totals: np.ndarray, count: int) -> np.ndarray:
    """Indices of the largest values, at most `count`, best first; of two that are equal the first."""
    if len(totals) > FEW:
        least = np.partition(totals, -count)[-count]
        there = np.nonzero(totals >= least)[0]
        return there[(-totals[there]).argsort(kind="stable")[:count]]
    return (-totals).argsort(kind="stable")[:count]
