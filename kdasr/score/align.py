"""Alignment of words as sclite does it, for thousands of utterances at once.

Axes: B utterances of a batch, N reference words, M hypothesis words (or characters).

sclite minimises 4 a substitution, 3 an insertion, 3 a deletion (NIST SCTK, `wwd_WORD`); among paths of equal
cost its backtrace, which runs from the end, takes match or substitution first, then insertion, then deletion.
With these costs the number of errors can be larger than the Levenshtein distance.

A path with C matches and S substitutions costs 3 (N + M) - 6 C - 2 S, since each takes a word of both sides. So the
cheapest path is the one of the greatest gain 3 C + S, and gaps cost nothing: fewer additions, and smaller numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np

Step = tuple[str, str, str]  # operation, reference word, hypothesis word
SUBSTITUTION, INSERTION, DELETION = 4, 3, 3  # costs
DELETE, INSERT, SUBSTITUTE, MATCH = 1, 2, 3, 4  # moves into a cell; 0 is none, at the start
LETTERS = np.frombuffer(b"\0DISC", dtype=np.uint8)  # of the moves
CELLS = 1 << 25  # bytes of one batch's table of moves


@dataclass
class Counts:
    """Words by outcome, and sentences, of a set of utterances; `+` adds two sets."""

    cor: int = 0
    sub: int = 0
    del_: int = 0
    ins: int = 0
    sentences: int = 0
    wrong_sentences: int = 0

    @property
    def words(self) -> int:
        """Words of the reference."""
        return self.cor + self.sub + self.del_

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.sub + self.del_ + self.ins

    @property
    def wer(self) -> float:
        """Errors per hundred reference words, in percent; 0 where there is no reference word."""
        return 100.0 * self.errors / self.words if self.words else 0.0

    @property
    def ser(self) -> float:
        """Sentences with an error, in percent."""
        return 100.0 * self.wrong_sentences / self.sentences if self.sentences else 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.cor + other.cor,
            self.sub + other.sub,
            self.del_ + other.del_,
            self.ins + other.ins,
            self.sentences + other.sentences,
            self.wrong_sentences + other.wrong_sentences,
        )


class Aligned(NamedTuple):
    """One utterance: its id, words (or characters), and string of operations (C, S, D, I).

    A word is "" beside an optional word that was left out, which counts as correct (kdasr.score.network).
    """

    id: str
    ref: tuple[str, ...]
    hyp: tuple[str, ...]
    operations: str
    notes: tuple[str, ...] = ()  # lines under the id in .pra: labels, file and channel of an stm's segment


def count(operations: str) -> Counts:
    """Counts of one utterance from its string of operations (C, S, D, I)."""
    return tally([operations])


def tally(operations: Sequence[str]) -> Counts:
    """Counts of some utterances together."""
    together = "".join(operations)
    cor, sub, del_, ins = (together.count(letter) for letter in "CSDI")
    return Counts(cor, sub, del_, ins, len(operations), sum(1 for one in operations if one.strip("C")))


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of some utterances' or speakers' counts."""
    result = Counts()
    for one in counts:
        result = result + one
    return result


@lru_cache(maxsize=1 << 16)
def normal(word: str, case_sensitive: bool = False) -> bytes:
    """A word as sclite compares it: ASCII letters in lower case (others stay), one final asterisk off."""
    data = word.encode()
    data = data if case_sensitive else data.lower()
    return data[:-1] if len(data) > 1 and data.endswith(b"*") else data


def align(ref: Sequence[str], hyp: Sequence[str], case_sensitive: bool = False) -> list[Step]:
    """Align two word sequences: [(operation, reference word, hypothesis word)].

    The operation is C (correct), S, D (the hypothesis word is empty) or I (the reference word is empty).
    """
    return pair(align_words([ref], [hyp], case_sensitive)[0], ref, hyp)


def pair(operations: str, ref: Sequence[str], hyp: Sequence[str]) -> list[Step]:
    """Join a string of operations with their words; "" is a gap."""
    rows = []
    for words, gap in ((ref, "I"), (hyp, "D")):
        row = list(words)
        place = operations.find(gap)
        while place >= 0:
            row.insert(place, "")
            place = operations.find(gap, place + 1)
        rows.append(row)
    return list(zip(operations, *rows, strict=True))


def align_words(
    refs: Sequence[Sequence[str]], hyps: Sequence[Sequence[str]], case_sensitive: bool = False
) -> list[str]:
    """Align utterance i of `refs` with utterance i of `hyps`, words compared as sclite does: their operations.

    The same as `align_all` of the words' `normal` form, and faster.
    """
    ids, _ = numbered([*refs, *hyps], case_sensitive)
    return _align_numbers(ids, np.array([[len(words) for words in side] for side in (refs, hyps)], dtype=np.int64))


def numbered(texts: Iterable[Sequence[str]], case_sensitive: bool = False) -> tuple[np.ndarray, list[bytes]]:
    """All words of some texts in a row as numbers, and the meaning of each number: the `normal` form of a word."""
    flat = list(chain.from_iterable(texts))
    joined = "".join(flat)
    if len(joined) == len(flat) and "" not in flat:  # all of them characters, which are numbers already
        codes = np.frombuffer(joined.encode("utf-32-le"), dtype=np.uint32)
        known = np.flatnonzero(np.bincount(codes))
        places = np.zeros(1 + max(known, default=0), dtype=np.int32)
        places[known] = np.arange(len(known))
        words, ids = list(map(chr, known)), places[codes]
    else:
        words = list(dict.fromkeys(flat))
        number = {word: place for place, word in enumerate(words)}
        ids = np.fromiter(map(number.__getitem__, flat), dtype=np.int32, count=len(flat))
    forms: dict[bytes, int] = {}
    merged = [forms.setdefault(normal(word, case_sensitive), len(forms)) for word in words]
    return np.array(merged, dtype=np.int32)[ids], list(forms)


def align_all(refs: Sequence[Sequence[Hashable]], hyps: Sequence[Sequence[Hashable]]) -> list[str]:
    """Align utterance i of `refs` with utterance i of `hyps`: a string of C, S, D, I for each.

    Words are compared with ==; give them through `normal` for sclite's comparison.
    """
    ids: dict[Hashable, int] = {}
    flat = [ids.setdefault(word, len(ids)) for words in chain(refs, hyps) for word in words]
    lengths = np.array([[len(words) for words in side] for side in (refs, hyps)], dtype=np.int64)
    return _align_numbers(np.array(flat, dtype=np.int32), lengths)


def _align_numbers(flat: np.ndarray, lengths: np.ndarray) -> list[str]:
    """Align texts given as one row of words, references first; `lengths` (2, utterances) are the sides' words."""
    flat = flat.astype(np.min_scalar_type(int(flat.max(initial=0)) + 2))  # small numbers are compared faster
    starts = (np.cumsum(lengths) - lengths.reshape(-1)).reshape(lengths.shape)
    # Utterances of like length share a batch, so that little of the table is padding.
    order = np.lexsort((lengths[0], lengths.sum(axis=0)))
    sorted_lengths = lengths.T[order].tolist()
    result = [""] * len(order)
    start = 0
    while start < len(order):
        (rows, columns), stop = sorted_lengths[start], start + 1
        while stop < len(order):
            rows, columns = max(rows, sorted_lengths[stop][0]), max(columns, sorted_lengths[stop][1])
            if (rows + columns + 1) * (rows + 1) * (stop - start + 1) > CELLS:
                break
            stop += 1
        batch = order[start:stop]
        for place, operations in zip(batch, _align_batch(flat, starts[:, batch], lengths[:, batch]), strict=True):
            result[place] = operations
        start = stop
    return result


def _align_batch(flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> list[str]:
    size = lengths.shape[1]
    largest = flat.max(initial=0)  # fillers beyond it equal no word, and not each other
    moves = _moves(*(_pad(flat, starts[side], lengths[side], largest + 1 + side) for side in (0, 1)))

    # All utterances walk back together; one that has arrived at the start stays there, where the move is 0.
    places, diagonal = moves.reshape(-1), moves[0].size
    back = np.array([0, diagonal + size, diagonal, 2 * diagonal + size, 2 * diagonal + size])  # of each move
    cell = lengths.sum(axis=0) * diagonal + lengths[0] * size + np.arange(size)  # (B,)
    steps = np.zeros((len(moves), size), dtype=np.uint8)
    taken = 0
    while (step := places[cell]).any():
        steps[taken] = step
        cell -= back[step]
        taken += 1
    backwards = LETTERS[steps[:taken][::-1].T].tobytes()  # (B, taken) letters: zeros first where a walk was shorter
    return [backwards[k * taken : (k + 1) * taken].lstrip(b"\0").decode("ascii") for k in range(size)]


def _pad(flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray, filler: int) -> np.ndarray:
    """Words of B texts side by side, (longest, B)."""
    rows = np.arange(lengths.max())[:, None]
    padded = flat[np.minimum(starts + rows, len(flat) - 1)]
    padded[rows >= lengths] = filler
    return padded


def _moves(ref: np.ndarray, hyp: np.ndarray) -> np.ndarray:
    """The last move of the best path to each pair of prefixes, from ref (N, B) and hyp (M, B).

    Returns:
        (N+M+1, N+1, B): [d, i] is for i words of the reference and d - i of the hypothesis. Cells of a diagonal d
        do not depend on each other, so that it is computed for all i and all utterances at once.
    """
    (rows, size), columns = ref.shape, len(hyp)
    reverse = hyp[::-1]
    moves = np.empty((rows + columns + 1, rows + 1, size), dtype=np.uint8)
    moves[:, 0] = INSERT
    moves[np.arange(rows + 1), np.arange(rows + 1)] = DELETE
    moves[0, 0] = 0
    # Gains of the diagonals d, d - 1 and d - 2, by d modulo 3; 0 on the borders, where one side is empty.
    gains = np.zeros((3, rows + 1, size), dtype=np.int16 if 3 * min(rows, columns) < 1 << 15 else np.int32)
    room = np.empty((rows, size), dtype=gains.dtype), *np.empty((2, rows, size), dtype=np.uint8)
    for d in range(2, rows + columns + 1):
        first, last = max(1, d - columns), min(rows, d - 1)  # i
        inner, before = slice(first, last + 1), slice(first - 1, last)
        best, above, left = gains[d % 3, inner], gains[(d - 1) % 3, before], gains[(d - 1) % 3, inner]
        through, diagonal, other = (space[: last + 1 - first] for space in room)
        # All into places that are there already, since most of the time goes into memory.
        np.equal(ref[before], reverse[columns - d + first : columns - d + last + 1], out=diagonal, casting="unsafe")
        np.multiply(diagonal, 2, out=through)
        through += 1  # 1 for a substitution, 3 for a match
        through += gains[(d - 2) % 3, before]
        np.maximum(above, left, out=best)
        np.maximum(best, through, out=best)
        diagonal += SUBSTITUTE  # MATCH where the words are the same
        np.equal(best, through, out=other, casting="unsafe")
        diagonal *= other
        np.equal(best, left, out=other, casting="unsafe")
        other += DELETE  # INSERT where that is as good
        np.maximum(diagonal, other, out=moves[d, inner])
        if d <= rows:
            gains[d % 3, d] = 0
        gains[d % 3, 0] = 0
    return moves
