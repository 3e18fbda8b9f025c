"""What a score is called, which way is better, and how two systems are compared by it: for all that shows scores.

What each utterance adds to the score of a set are whole numbers, its statistics: errors and reference words of WER;
of BLEU `bleu_samples.Statistics`. The second is the length of the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kdasr.score import bleu_samples, crossed
from kdasr.score.crossed import Linearised
from kdasr.score.intervals import Paired, paired

Statistics = tuple[int, ...]
Runs = Sequence[Sequence[Statistics]]  # of each run (seed) of a system, the same utterances in one order


@dataclass(frozen=True)
class Measure:
    """One kind of score of a decoded set."""

    key: str  # in score.json
    name: str  # as tables say it
    unit: str  # behind a figure
    higher_is_better: bool
    of_errors: bool  # counted in an alignment of words: sclite's tables, CER and the matched-pairs test belong to it
    legend: str  # below a table
    resampled: str  # what the paired bootstrap draws
    known: str  # what others report of the gap
    paired: Callable[[Runs, Runs], Paired]  # second less first
    cost: Callable[[Statistics], float]  # of one utterance by itself: the smaller the better
    linear: Callable[[Runs], Linearised]  # scores of runs, and by how much each utterance moves them

    @property
    def directory(self) -> str:
        """Where `kdasr score` puts it, beside the decoded text."""
        return f"score_{self.key}"

    @property
    def sign(self) -> int:
        """Of a difference that is an improvement."""
        return 1 if self.higher_is_better else -1

    @property
    def better(self) -> str:
        """That sign in words."""
        return "positive" if self.higher_is_better else "negative"

    def gain(self, new: float, old: float) -> float:
        """By how much the new score is better."""
        return new - old if self.higher_is_better else old - new

    def figure(self, score: float) -> str:
        """A score as it is written: 12.34 %, or 27.50."""
        return f"{score:.2f}{self.unit}"

    def told(self, score: float) -> str:
        """A score and what it is: 12.34 % WER."""
        return f"{self.figure(score)} {self.name}"

    def axis(self, where: str) -> str:
        """The title of an axis."""
        return f"{self.name} on {where}" + (f" ({self.unit.strip()})" if self.unit else "")


def _paired_errors(first: Runs, second: Runs) -> Paired:
    """Paired bootstrap of error rates, the errors of each utterance averaged over runs."""
    errors = [[sum(one[0] for one in rows) / len(rows) for rows in zip(*runs, strict=True)] for runs in (first, second)]
    return paired(errors[0], errors[1], [words for _, words in first[0]])


def _linear_errors(runs: Runs) -> Linearised:
    """Error rates of runs, whose utterances are the same, and their linear parts."""
    return crossed.of_errors([[errors for errors, _ in run] for run in runs], [words for _, words in runs[0]])


WER = Measure(
    key="wer",
    name="WER",
    unit=" %",
    higher_is_better=False,
    of_errors=True,
    legend="WER and CER in percent, sclite's alignment",
    resampled="utterances (10,000 resamples, errors averaged over seeds)",
    known=" Mun'im et al. 2018 report 0.48.",
    paired=_paired_errors,
    cost=lambda statistics: statistics[0],
    linear=_linear_errors,
)
BLEU = Measure(
    key="bleu",
    name="BLEU",
    unit="",
    higher_is_better=True,
    of_errors=False,
    legend="BLEU by sacrebleu, higher is better",
    resampled=(
        f"sentences ({bleu_samples.SAMPLES:,} resamples, which are sacrebleu's, and so is p; BLEU averaged over seeds)"
    ),
    known="",
    paired=bleu_samples.paired,
    cost=bleu_samples.cost,
    linear=bleu_samples.linear,
)
