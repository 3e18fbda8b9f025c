"""What a system made of each utterance, read back from `per_utt`, and packed small for the page.

Packed, an alignment is the words that differ from the reference, in order, each a token after a blank:

    =5      five words right        /word   substituted by word     -   deleted
    +word   inserted                ~word   right, written otherwise (another case, a final asterisk)

Words right at the end are left out: an utterance without errors is "".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kdasr.errors import UserError
from kdasr.report.collect import Scored
from kdasr.score.kaldi import operations_of, read_utterances


@dataclass(frozen=True)
class Alignment:
    """One utterance: reference words, hypothesis words, and the operations (C, S, D, I) between them."""

    ref: tuple[str, ...]
    hyp: tuple[str, ...]
    operations: str

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return len(self.operations) - self.operations.count("C")

    @property
    def packed(self) -> str:
        """As the page holds it."""
        return pack(self)


def read(scored: Scored) -> dict[str, Alignment]:
    """The alignments of a decoded set by utterance; none where its texts are not there, or its score is not whole.

    Raises:
        UserError: lines of per_utt that do not belong together.
    """
    if scored.path is None or not scored.utterances:
        return {}
    path = scored.path / "score_wer" / "per_utt"
    found: dict[str, Alignment] = {}
    for where, name, rows in read_utterances(path):
        lengths = {len(rows.get(one, [])) for one in ("ref", "hyp", "op")}
        if len(lengths) > 1:
            raise UserError(f"{where}: the lines of {name} differ in length; score the set again (stage score)")
        operations = operations_of(where, name, rows) if "op" in rows else ""  # counts may be all that is there
        ref = (word for word, op in zip(rows.get("ref", []), operations, strict=True) if op != "I")
        hyp = (word for word, op in zip(rows.get("hyp", []), operations, strict=True) if op != "D")
        found[name] = Alignment(tuple(ref), tuple(hyp), operations)
    return found


def pack(one: Alignment) -> str:
    """An alignment as the page holds it."""
    tokens: list[str] = []
    right = 0
    refs, hyps = iter(one.ref), iter(one.hyp)
    for op in one.operations:
        ref = next(refs) if op != "I" else ""
        hyp = next(hyps) if op != "D" else ""
        if op == "C" and ref == hyp:
            right += 1
            continue
        if right:
            tokens.append(f"={right}")
            right = 0
        tokens.append({"C": "~", "S": "/", "D": "-", "I": "+"}[op] + hyp)
    return " ".join(tokens)


def most_changed(errors: Sequence[Mapping[str, int]], utterances: Iterable[str]) -> list[str]:
    """Utterances by how far systems are apart on them, then by the most errors of one, then by name.

    Args:
        errors: of each system, by utterance; one that lacks an utterance has no say in it.
        utterances: to put in order.
    """

    def place(name: str) -> tuple[int, int, str]:
        counts = [one[name] for one in errors if name in one] or [0]
        return min(counts) - max(counts), -max(counts), name

    return sorted(utterances, key=place)
