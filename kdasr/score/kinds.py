"""What kinds of errors a decoding makes, and which of them another decoding of the same set does not make.

Each word error of an alignment is of one kind:

| kind | the error is |
|---|---|
| loop | an inserted word in a repetition: one to four words that the hypothesis has twice in a row |
| early end | a deleted word with nothing but deleted words behind it |
| late end | an inserted word, no loop, with nothing but inserted words behind it |
| blank | in a stretch of errors whose reference and hypothesis are the same letters: words that were joined or cut |
| near | a substituted word that is one letter off (a letter changed, left out, or put in) |
| far | another substituted word |
| deletion, insertion | any other word that was left out, or put in |

An error is made by one decoding alone where the other has the word of the reference right, or, of inserted words, fewer
in the same place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from kdasr.errors import UserError
from kdasr.score.align import Step, normal
from kdasr.score.kaldi import operations_of, read_utterances

KINDS = ("loop", "early end", "late end", "blank", "near", "far", "deletion", "insertion")
LONGEST = 4  # words of a repetition


class Error(NamedTuple):
    """One word error."""

    kind: str
    place: int  # of its word in the reference; of an inserted word, of the word that it stands before
    inserted: bool
    hyp: str  # what was said; "" of a deleted word


@dataclass
class Compared:
    """Errors of two decodings of one set, by kind."""

    words: int  # of the references
    both: tuple[Counter[str], Counter[str]]  # all errors of the first, and of the second
    alone: tuple[Counter[str], Counter[str]]  # those that the other does not make
    sentences: tuple[int, int]  # with more errors than in the other
    firsts: tuple[Counter[str], Counter[str]]  # kinds of the first error of these sentences, in order of the words


def kinds_of(steps: Sequence[Step]) -> list[Error]:
    """The errors of an alignment, in its order."""
    operations = [operation for operation, _, _ in steps]
    blank = _blanks(steps)
    loops = _loops([normal(hyp) for _, _, hyp in steps if hyp])
    found: list[Error] = []
    place = said = 0  # words of the reference, and of the hypothesis, before this step
    for number, (operation, ref, hyp) in enumerate(steps):
        behind = set(operations[number:])
        if operation == "I" and said in loops:
            kind = "loop"
        elif number in blank:
            kind = "blank"
        elif operation == "S":
            kind = "near" if _one_letter_off(normal(ref).decode(), normal(hyp).decode()) else "far"
        elif operation == "D":
            kind = "early end" if behind == {"D"} else "deletion"
        else:
            kind = "late end" if behind == {"I"} else "insertion"
        if operation != "C":
            found.append(Error(kind, place, operation == "I", hyp))
        place += operation != "I"
        said += bool(hyp)
    return found


def compare(first: Mapping[str, Sequence[Step]], second: Mapping[str, Sequence[Step]]) -> Compared:
    """Two decodings' errors.

    Args:
        first, second: alignments by utterance, of the same utterances.
    """
    both: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    alone: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    firsts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    sentences, words = [0, 0], 0
    for name in first:
        sides = [kinds_of(one[name]) for one in (first, second)]
        words += sum(operation != "I" for operation, _, _ in first[name])
        for side in (0, 1):
            mine, other = sides[side], sides[1 - side]
            both[side].update(error.kind for error in mine)
            alone[side].update(error.kind for error in _alone(mine, other))
            if len(mine) > len(other):
                sentences[side] += 1
                firsts[side][mine[0].kind] += 1
    return Compared(words, both, alone, (sentences[0], sentences[1]), firsts)


def read_steps(directory: str | Path) -> dict[str, list[Step]]:
    """The alignments of a directory of `kdasr score`, by utterance.

    Raises:
        UserError: no score there, or a damaged one.
    """
    path = Path(directory) / "per_utt"
    if not path.is_file():
        raise UserError(f"{directory}: holds no finished score (per_utt); run kdasr score --dir {directory} first")
    found = {}
    for where, name, rows in read_utterances(path):
        operations = operations_of(where, name, rows)
        if not len(operations) == len(rows.get("ref", [])) == len(rows.get("hyp", [])):
            raise UserError(f"{where}: {name}: its lines are of different lengths; score the set again (stage score)")
        gaps = zip(operations, rows["ref"], rows["hyp"], strict=True)
        found[name] = [(one, "" if one == "I" else ref, "" if one == "D" else hyp) for one, ref, hyp in gaps]
    return found


def table(compared: Compared, names: tuple[str, str]) -> str:
    """A comparison as a Markdown table, errors in percent of the words of the references."""

    def rate(number: int) -> str:
        return f"{100 * number / max(1, compared.words):.2f}"

    head = ["kind", *names, *(f"{name} alone" for name in names)]
    head += [f"first error where {name} is worse" for name in names]
    lines = [head, ["---", *["---:"] * 6]]
    for kind in KINDS:
        counts = (*compared.both, *compared.alone)
        lines.append([kind, *(rate(one[kind]) for one in counts), *(str(one[kind]) for one in compared.firsts)])
    sums = [rate(one.total()) for one in (*compared.both, *compared.alone)]
    lines.append(["all", *sums, *map(str, compared.sentences)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _alone(mine: Sequence[Error], other: Sequence[Error]) -> list[Error]:
    """Errors of one decoding that the other does not make."""
    wrong = {error.place for error in other if not error.inserted}
    spare = Counter(error.place for error in other if error.inserted)
    found = []
    for error in mine:
        if error.inserted:
            spare[error.place] -= 1
            if spare[error.place] < 0:
                found.append(error)
        elif error.place not in wrong:
            found.append(error)
    return found


def _loops(said: Sequence[bytes]) -> set[int]:
    """Places of the words of a hypothesis that are in a repetition."""
    found: set[int] = set()
    for size in range(1, LONGEST + 1):
        for start in range(len(said) - 2 * size + 1):
            if said[start : start + size] == said[start + size : start + 2 * size]:
                found |= {*range(start, start + 2 * size)}
    return found


def _blanks(steps: Sequence[Step]) -> set[int]:
    """Places of errors in stretches whose two sides are the same letters."""
    found: set[int] = set()
    for right, group in groupby(range(len(steps)), key=lambda number: steps[number][0] == "C"):
        places = list(group)
        words = [[steps[number][side] for number in places if steps[number][side]] for side in (1, 2)]
        ref, hyp = (b"".join(map(normal, side)) for side in words)
        if not right and ref == hyp:
            found |= {*places}
    return found


def _one_letter_off(ref: str, hyp: str) -> bool:
    """Whether two different words differ by one letter: changed, left out or put in."""
    shorter, longer = sorted((ref, hyp), key=len)
    if len(longer) - len(shorter) > 1:
        return False
    same = next((i for i, (a, b) in enumerate(zip(shorter, longer, strict=False)) if a != b), len(shorter))
    return shorter[same + (len(shorter) == len(longer)) :] == longer[same + 1 :]
