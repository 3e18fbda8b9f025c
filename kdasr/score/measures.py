"""What scores are called, what they count in, and which way is better: asked by whatever compares or shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One kind of score of a decoded set."""

    key: str  # in score.json, where `type` says it, too
    name: str  # as tables say it
    higher_is_better: bool

    @property
    def directory(self) -> str:
        """Where `kdasr score` puts it, beside the decoded text."""
        return f"score_{self.key}"

    def gain(self, difference: float) -> float:
        """A difference of two scores as an improvement: positive where it is one."""
        return difference if self.higher_is_better else -difference


WER = Measure("wer", "WER", False)
BLEU = Measure("bleu", "BLEU", True)
MEASURES = {one.key: one for one in (WER, BLEU)}
