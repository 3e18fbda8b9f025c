"""What a system made of each sentence, read back from per_sentence.jsonl, for the page."""

from __future__ import annotations

from dataclasses import dataclass

from kdasr.report.collect import Scored
from kdasr.score import bleu
from kdasr.score.measures import BLEU


@dataclass(frozen=True)
class Translation:
    """One sentence: its source ("" where it was not given to the score), the words of its reference, a translation."""

    src: str
    ref: tuple[str, ...]
    packed: str  # as the page holds it: as it is


def read(scored: Scored) -> dict[str, Translation]:
    """The translations of a decoded set by sentence; none where its texts are not there, or its score is not whole.

    Raises:
        UserError: a damaged line of per_sentence.jsonl.
    """
    if scored.path is None or not scored.bleu:
        return {}
    rows = bleu.read_rows(scored.path / BLEU.directory / bleu.SENTENCES)
    return {
        name: Translation(row.get("src", ""), tuple(row["ref"].split(" ")), row["hyp"]) for name, row in rows.items()
    }
