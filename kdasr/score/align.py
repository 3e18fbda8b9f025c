"""Alignment of words as sclite does it, for thousands of utterances at once.

Axes: B utterances of a batch, N reference words, M hypothesis words.

sclite minimises 4 a substitution, 3 an insertion, 3 a deletion (NIST SCTK, `wwd_WORD`); among paths of equal
cost its backtrace, which runs from the end, takes match or substitution first, then insertion, then deletion.
With these costs the number of errors can be larger than the Levenshtein distance.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SUBSTITUTION, INSERTION, DELETION = 4, 3, 3
CELLS = 1 << 21  # of one batch's cost table: 8 MB, about what a core's cache holds


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


def count(operations: str) -> Counts:
    """Counts of one utterance from its string of operations (C, S, D, I)."""
    cor, sub, del_, ins = (operations.count(letter) for letter in "CSDI")
    return Counts(cor, sub, del_, ins, 1, int(sub + del_ + ins > 0))


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


def align(ref: Sequence[str], hyp: Sequence[str], case_sensitive: bool = False) -> list[tuple[str, str, str]]:
    """Align two word sequences: [(operation, reference word, hypothesis word)].

    The operation is C (correct), S, D (the hypothesis word is empty) or I (the reference word is empty).
    """
    keys = [[normal(word, case_sensitive) for word in words] for words in (ref, hyp)]
    return pair(align_all([keys[0]], [keys[1]])[0], ref, hyp)


def pair(operations: str, ref: Sequence[str], hyp: Sequence[str]) -> list[tuple[str, str, str]]:
    """Join a string of operations with the words they speak of; "" stands for a gap."""
    left, right = iter(ref), iter(hyp)
    return [(op, next(left) if op != "I" else "", next(right) if op != "D" else "") for op in operations]


def align_all(refs: Sequence[Sequence[Hashable]], hyps: Sequence[Sequence[Hashable]]) -> list[str]:
    """Align utterance i of `refs` with utterance i of `hyps`: a string of C, S, D, I for each.

    Words are compared with ==; give them through `normal` for sclite's comparison.
    """
    ids: dict[Hashable, int] = {}
    left = [np.array([ids.setdefault(word, len(ids)) for word in words], dtype=np.int32) for words in refs]
    right = [np.array([ids.setdefault(word, len(ids)) for word in words], dtype=np.int32) for words in hyps]
    # Utterances of like length share a batch, so that little of the table is padding.
    order = sorted(range(len(left)), key=lambda k: (len(left[k]) + len(right[k]), len(left[k])))
    result = [""] * len(left)
    start = 0
    while start < len(order):
        longest, stop = (0, 0), start
        while stop < len(order):
            k = order[stop]
            grown = max(longest[0], len(left[k])), max(longest[1], len(right[k]))
            if stop > start and (grown[0] + 1) * (grown[1] + 1) * (stop - start + 1) > CELLS:
                break
            longest, stop = grown, stop + 1
        batch = order[start:stop]
        for k, operations in zip(batch, _align_batch([left[k] for k in batch], [right[k] for k in batch]), strict=True):
            result[k] = operations
        start = stop
    return result


def _align_batch(refs: list[np.ndarray], hyps: list[np.ndarray]) -> list[str]:
    size = len(refs)
    ref_lengths = np.array([len(words) for words in refs])  # (B,)
    hyp_lengths = np.array([len(words) for words in hyps])  # (B,)
    rows, columns = int(ref_lengths.max()), int(hyp_lengths.max())
    ref, hyp = _pad(refs, rows, -1), _pad(hyps, columns, -2)  # (B, N), (B, M); the paddings equal nothing
    costs = _costs(ref, hyp).reshape(-1)  # (N+1) * B * (M+1)

    # All utterances walk back together; one that has arrived at (0, 0) stands still.
    utterance = np.arange(size)
    i, j = ref_lengths.copy(), hyp_lengths.copy()  # (B,), (B,)
    steps = np.zeros((rows + columns, size), dtype=np.uint8)
    taken = 0
    while True:
        some_ref, some_hyp = i > 0, j > 0  # (B,)
        if not (some_ref | some_hyp).any():
            break
        cell = (i * size + utterance) * (columns + 1) + j  # (B,)
        here = costs[cell]
        # Where i or j is 0 the index wraps round to some other cell; the masks discard what is read there.
        same = np.zeros(size, dtype=bool)
        if rows and columns:
            same = ref[utterance, i - 1] == hyp[utterance, j - 1]
        before = costs[np.maximum(cell - size * (columns + 1) - 1, 0)]
        diagonal = some_ref & some_hyp & (here == before + np.where(same, 0, SUBSTITUTION))
        insertion = ~diagonal & some_hyp & (here == costs[cell - 1] + INSERTION)
        deletion = ~diagonal & ~insertion & some_ref
        step = steps[taken]
        step[diagonal & same] = ord("C")
        step[diagonal & ~same] = ord("S")
        step[insertion] = ord("I")
        step[deletion] = ord("D")
        i -= diagonal | deletion
        j -= diagonal | insertion
        taken += 1
    backwards = np.ascontiguousarray(steps[:taken][::-1].T)  # (B, steps): zeros first where a walk was shorter
    return [row.tobytes().lstrip(b"\0").decode("ascii") for row in backwards]


def _costs(ref: np.ndarray, hyp: np.ndarray) -> np.ndarray:
    """Cheapest way from the start to each pair of prefixes: (N+1, B, M+1) from ref (B, N) and hyp (B, M)."""
    size, rows = ref.shape
    ramp = INSERTION * np.arange(hyp.shape[1] + 1, dtype=np.int32)  # (M+1,)
    costs = np.empty((rows + 1, size, hyp.shape[1] + 1), dtype=np.int32)
    costs[0] = ramp
    for row in range(rows):
        best = costs[row] + DELETION  # (B, M+1)
        differ = hyp != ref[:, row : row + 1]  # (B, M)
        np.minimum(best[:, 1:], costs[row][:, :-1] + SUBSTITUTION * differ, out=best[:, 1:])
        # Insertions run along the row: cost[j] = min over k <= j of best[k] + 3 (j - k), a running minimum.
        best -= ramp
        np.minimum.accumulate(best, axis=1, out=costs[row + 1])
        costs[row + 1] += ramp
    return costs


def _pad(sequences: list[np.ndarray], length: int, filler: int) -> np.ndarray:
    padded = np.full((len(sequences), length), filler, dtype=np.int32)  # (B, length)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded
