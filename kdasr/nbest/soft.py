"""Soft targets of an N-best archive: the decoder's most probable tokens at each step of each hypothesis.

| axis | meaning |
|---|---|
| U | utterances of a shard |
| H | hypotheses of a shard, in the order of its records |
| R | rows of a shard: tokens of all hypotheses, and <eos> of those that end in it |
| J | soft targets a row, most probable first |
| n | rows of one hypothesis |

Beside `nbest.S.jsonl` stands `soft.S.npz`, written before it, so that where a shard is, they are:

    ids          (R, J) token ids, of the smallest integer type that holds them
    logp         (R, J) float16, natural logarithms of the decoder's probabilities, before weights and CTC
    utterances   (U + 1,) utterance u has hypotheses utterances[u] to utterances[u + 1]
    hypotheses   (H + 1,) hypothesis h has rows hypotheses[h] to hypotheses[h + 1]

Row i of a hypothesis is what the decoder gave after its first i tokens. float16 holds a logarithm to one part in
2000: a probability of 0.9 to 0.005 %, one of 1e-4 to 0.5 % of itself, far less than what another seed of the teacher
changes. With J = 10, five hypotheses and characters that is 1.5 MB an hour of audio on AN4 (7 tokens a second; 4.1
MB before compression, which finds the beginnings that hypotheses share), and about 3 MB on read newspaper text;
float32 would take two to three times as much for digits that no loss sees.

In memory a record's hypothesis has them as "soft": (ids (n, J), logp (n, J) float32).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kdasr.arrays import UNREADABLE
from kdasr.errors import UserError
from kdasr.files import atomic_write

if TYPE_CHECKING:
    import numpy as np

LOWEST = -65504.0  # the lowest number of float16


class Soft(NamedTuple):
    """Soft targets of a shard."""

    ids: np.ndarray  # (R, J)
    logp: np.ndarray  # (R, J)
    utterances: np.ndarray  # (U + 1,)
    hypotheses: np.ndarray  # (H + 1,)

    def counts(self) -> list[list[int]]:
        """Rows of each hypothesis of each record."""
        return [
            [d - c for c, d in pairwise(self.hypotheses[a : b + 1].tolist())]
            for a, b in pairwise(self.utterances.tolist())
        ]

    def of(self, utterance: int, hypothesis: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (n, J) and log probabilities (n, J), float32, of a hypothesis of the shard's u-th record."""
        h = self.utterances[utterance] + hypothesis
        rows = slice(self.hypotheses[h], self.hypotheses[h + 1])
        return self.ids[rows], self.logp[rows].astype("float32")


def soft_path(directory: str | Path, shard: int) -> Path:
    """Where a shard's soft targets stand."""
    return Path(directory) / f"soft.{shard}.npz"


def rows_of(hypothesis: Mapping[str, Any]) -> int:
    """How many rows of soft targets a record's hypothesis has: its tokens, and <eos> if it ended so."""
    return len(hypothesis["tokens"]) + (hypothesis["ended"] == "eos")


def pack(records: Sequence[Mapping[str, Any]], width: int) -> Soft:
    """Soft targets of records, J = `width`; hypotheses without tokens and without "soft" have no rows."""
    import numpy as np

    hyps = [hyp for record in records for hyp in record["hyps"]]
    here = [hyp["soft"] for hyp in hyps if "soft" in hyp]
    ids = np.concatenate([np.zeros((0, width), np.int64), *(pair[0] for pair in here)])  # (R, J)
    logp = np.concatenate([np.zeros((0, width), np.float32), *(pair[1] for pair in here)])  # (R, J)
    counts = [len(hyp["soft"][0]) if "soft" in hyp else 0 for hyp in hyps]
    return Soft(
        ids.astype(np.min_scalar_type(int(ids.max(initial=0)))),
        logp.clip(LOWEST).astype(np.float16),
        np.cumsum([0, *(len(record["hyps"]) for record in records)]),
        np.cumsum([0, *counts]),
    )


def write_soft(directory: str | Path, shard: int, records: Sequence[Mapping[str, Any]], width: int) -> None:
    """Write a shard's soft targets, whole or not at all."""
    import numpy as np

    with atomic_write(soft_path(directory, shard), "wb") as stream:
        np.savez_compressed(stream, **pack(records, width)._asdict())


def read_soft(directory: str | Path, shard: int) -> Soft:
    """A shard's soft targets; UserError if they are not there or not whole."""
    import numpy as np

    path = soft_path(directory, shard)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Soft(*(arrays[field] for field in Soft._fields))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run kdasr nbest again, which makes this shard only") from None
    except UNREADABLE as error:
        raise UserError(
            f"{path}: is cut short or was changed ({type(error).__name__}); remove it and run kdasr nbest again"
        ) from None


def check_soft(directory: str | Path, shard: int, soft: Soft, records: Sequence[Mapping[str, Any]], width: int) -> None:
    """UserError unless these are soft targets of these records: a row for each token, most probable first."""
    import numpy as np

    path = soft_path(directory, shard)

    def fault(what: str) -> UserError:
        return UserError(f"{path}: {what}; remove it and run kdasr nbest again")

    rows = len(soft.ids) if soft.ids.ndim == 2 else -1
    if not (soft.ids.shape == soft.logp.shape == (rows, width) and np.issubdtype(soft.ids.dtype, np.integer)):
        raise fault(f"ids {soft.ids.shape} and log probabilities {soft.logp.shape}, expected {width} in each row")
    expected = [[rows_of(hyp) for hyp in record["hyps"]] for record in records]
    found = soft.counts()
    if found != expected or soft.hypotheses[0] != 0 or soft.hypotheses[-1] != rows:
        pairs = zip_longest(records, found, expected)
        other = next((record["id"] for record, a, b in pairs if record and a != b), "the shard")
        raise fault(f"{other} has other hypotheses or tokens here than in nbest.{shard}.jsonl")
    falling = (np.diff(soft.logp.astype(np.float32), axis=1) <= 0).all() and (soft.logp <= 1e-3).all()
    if not falling:
        raise fault("holds numbers that are no log probabilities, most probable first")
