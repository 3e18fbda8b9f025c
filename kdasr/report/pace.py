"""How fast systems decode: seconds of a CPU, or a GPU's by the clock, for what they read, audio or source text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdasr.report.collect import System


@dataclass(frozen=True)
class Pace:
    """How speed is counted and written. A cost is in seconds for one second of audio, or for one source token."""

    amount: str  # in decode.json: how much was read
    title: str  # of a column
    legend: str  # what that is, of a CPU
    on_gpu: str  # the same, of a GPU, in brackets
    per: str  # what bars and pictures tell the seconds for
    per_axis: str
    many: float  # amounts in that
    columns: tuple[str, str]  # of the CSV, by CPU and GPU
    inverse: bool  # columns tell the amount in a second

    def cost(self, system: System, tag: str, on_gpu: bool = False, name: str | None = None) -> float | None:
        """CPU seconds for one amount, or seconds by the clock of what a GPU decoded; None where it is not known.

        Args:
            system: whose.
            tag: of the search.
            on_gpu: which of the two.
            name: a set; over all sets by default.
        """
        runs = [
            one.decode
            for (found, where), one in system.scored.items()
            if found == tag and one.on_gpu == on_gpu and name in (None, where)
        ]
        spent = "wall_seconds" if on_gpu else "cpu_seconds"
        runs = [one for one in runs if one.get(spent) is not None and one.get(self.amount)]
        return sum(one[spent] for one in runs) / sum(one[self.amount] for one in runs) if runs else None

    def value(self, cost: float) -> float:
        """What a column tells of a cost."""
        return (1 / cost if cost else 0.0) if self.inverse else cost

    def figure(self, cost: float, digits: int) -> str:
        """That, written with so many digits behind the point; whole where it is the amount in a second."""
        return f"{self.value(cost):,.0f}" if self.inverse else f"{cost:.{digits}f}"

    def seconds(self, cost: float) -> str:
        """A cost as bars tell it."""
        return f"{self.many * cost:.4f} s"


AUDIO = Pace(
    amount="audio_seconds",
    title="RTF",
    legend="RTF: CPU seconds of decoding / seconds of audio",
    on_gpu="on a GPU: seconds by the clock",
    per="to decode a second of audio",
    per_axis="for a second of audio (RTF)",
    many=1,
    columns=("cpu_rtf", "gpu_rtf"),
    inverse=False,
)
TEXT = Pace(
    amount="source_tokens",
    title="tokens/s",
    legend="tokens/s: source tokens translated in a CPU second",
    on_gpu="on a GPU: in a second by the clock",
    per="to translate 1,000 source tokens",
    per_axis="for 1,000 source tokens",
    many=1000,
    columns=("cpu_tokens_per_second", "gpu_tokens_per_second"),
    inverse=True,
)


def pace_of(every: Sequence[System]) -> Pace:
    """How the speed of these systems is told: by source tokens where a decoding counted some."""
    decoded = (one.decode for system in every for one in system.scored.values())
    return TEXT if any(one.get(TEXT.amount) for one in decoded) else AUDIO
