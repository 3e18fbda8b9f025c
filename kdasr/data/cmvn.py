"""Cepstral (here: filterbank) mean and variance statistics: gathered by shard, added up, applied.

Sums are float64 throughout: over 80 hours a float32 sum of squares has lost the digits that a variance needs.

    T frames, F feature bins
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdasr import arrays
from kdasr.data.matrices import write_ark
from kdasr.errors import UserError
from kdasr.files import atomic_write, write_table

# A bin varies if its variance is more than this share of its mean square: float64's rounding leaves about 1e-13, and
# the smallest step of a feature in an archive (16 bits over its range) makes 1e-10.
SMALLEST = 1e-11


@dataclass(frozen=True)
class Stats:
    """Sums over frames, from which mean and variance follow."""

    count: int  # frames
    sum: np.ndarray  # (F,) float64
    sum_square: np.ndarray  # (F,) float64

    @property
    def mean(self) -> np.ndarray:
        """(F,) float64."""
        return self.sum / self.count

    @property
    def varies(self) -> np.ndarray:
        """(F,) whether a bin changes, by more than rounding: not in a speaker's only frame, or in digital silence."""
        square = self.sum_square / self.count  # (F,)
        return square - self.mean**2 > SMALLEST * square

    @property
    def std(self) -> np.ndarray:
        """(F,) float64, of the population (divided by the count); 1 for a bin that never changes.

        Division by a rounding error would give numbers of any size, and spoil the statistics of all.
        """
        variance = self.sum_square / self.count - self.mean**2  # (F,)
        return np.sqrt(np.where(self.varies, variance, 1.0))


def accumulate(features: np.ndarray) -> Stats:
    """The statistics of one utterance's features (T, F)."""
    exact = features.astype(np.float64)  # (T, F)
    return Stats(len(exact), exact.sum(axis=0), np.einsum("td,td->d", exact, exact))


def merge(parts: Iterable[Stats]) -> Stats:
    """Add statistics up, in the order given (the same order gives the same bits).

    Raises:
        UserError: no parts, or no frames in them.
    """
    parts = list(parts)
    count = sum(part.count for part in parts)
    if not count:
        raise UserError("no frames to take mean and variance of; the set is empty")
    return Stats(count, sum(part.sum for part in parts), sum(part.sum_square for part in parts))


def apply(features: np.ndarray, stats: Stats) -> np.ndarray:
    """Features (T, F) with mean 0 and variance 1 under `stats` (0 where they never change), float32."""
    return np.where(stats.varies, (features - stats.mean) / stats.std, 0.0).astype(np.float32)  # (T, F)


def write_npz(path: str | Path, stats: Stats) -> None:
    """Write ESPnet2's feats_stats.npz: what `normalize: global_mvn` takes as `stats_file`."""
    with atomic_write(path, "wb") as stream:
        stream.write(packed(stats))


def packed(stats: Stats) -> bytes:
    """The bytes of a feats_stats.npz."""
    stream = io.BytesIO()
    np.savez(stream, count=stats.count, sum=stats.sum, sum_square=stats.sum_square)
    return stream.getvalue()


def read_npz(path: str | Path) -> Stats:
    """Read a feats_stats.npz, ours or ESPnet's.

    Raises:
        UserError: no such file, or not of that form.
    """
    names, remedy = ("count", "sum", "sum_square"), "make the statistics again (kdasr feats)"
    stored = arrays.read_npz(path, names, remedy)
    try:
        stats = Stats(*(kind(stored[name]) for kind, name in zip((int, _sums, _sums), names, strict=True)))
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: holds no count, sum and sum_square; {remedy}") from None
    whole = stats.count > 0 and stats.sum.ndim == 1 and stats.sum.shape == stats.sum_square.shape
    if not whole or not np.isfinite([stats.sum, stats.sum_square]).all():
        raise UserError(f"{path}: its count and sums are no statistics of features; {remedy}")
    return stats


def _sums(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64)


def to_kaldi(stats: Stats) -> np.ndarray:
    """Kaldi's matrix (2, F+1), float64: sums and count, sums of squares and 0."""
    return np.vstack([np.append(stats.sum, stats.count), np.append(stats.sum_square, 0.0)])  # (2, F+1)


def from_kaldi(matrix: Any) -> Stats:
    """The statistics in a Kaldi matrix (2, F+1)."""
    matrix = np.asarray(matrix, dtype=np.float64)  # (2, F+1)
    if matrix.ndim != 2 or len(matrix) != 2:
        raise UserError(f"CMVN statistics of shape {matrix.shape}; expected Kaldi's (2, D+1)")
    return Stats(round(matrix[0, -1]), matrix[0, :-1], matrix[1, :-1])


def write_kaldi(ark: Path, scp: Path, stats: dict[str, Stats]) -> None:
    """Write cmvn.ark and cmvn.scp (absolute paths), keyed by speaker, sorted as LC_ALL=C does."""
    with write_ark(ark) as written:
        for speaker in sorted(stats, key=str.encode):
            written.add(speaker, to_kaldi(stats[speaker]))
    write_table(scp, written.places)
