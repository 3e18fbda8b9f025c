"""Audio for a recogniser: files, or samples in memory, mixed to one channel and converted to the model's rate."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from kdasr.data.audio import read_audio, say_once
from kdasr.errors import UserError


def read(path: str | os.PathLike[str], rate: int) -> np.ndarray:
    """A file's samples, int16 (n,), at `rate` Hz.

    Raises:
        UserError: no audio, damaged, or without a sample.
    """
    samples, found = read_audio(path, mix=True)  # (n,)
    if not len(samples):
        raise UserError(f"{os.fspath(path)}: holds no samples; record it again")
    return resampled(samples, found, rate, os.fspath(path))


def given(samples: Any, found: int | None, rate: int) -> np.ndarray:
    """Samples in memory as int16 (n,) at `rate` Hz.

    Args:
        samples: (n,) or (n, channels), int16, or floats of which 1 is full scale.
        found: their rate, Hz.
        rate: of the model.

    Raises:
        UserError: no rate, another type or shape, or values that are not numbers.
    """
    array = np.asarray(samples)
    if found is None or found < 1:
        raise UserError(f"rate {found}: samples in memory need their rate in Hz; give rate=16000, or what it is")
    if array.ndim not in (1, 2) or not len(array):
        raise UserError(f"samples of shape {array.shape}: expected (n,), or (n, channels), and n above 0")
    if array.dtype != np.int16 and array.dtype.kind != "f":
        raise UserError(f"samples of type {array.dtype}: expected int16, or floats from -1 to 1")
    if not np.isfinite(array).all():
        raise UserError("samples hold values that are not numbers; check where they come from")
    scaled = array.astype(np.float64) * (32768.0 if array.dtype.kind == "f" else 1.0)
    if array.ndim == 2:
        scaled = scaled.mean(1)  # (n,)
    whole = np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)  # (n,)
    return resampled(whole, found, rate, "samples in memory")


def resampled(samples: np.ndarray, found: int, rate: int, name: str) -> np.ndarray:
    """Samples, int16 (n,), of `found` Hz at `rate` Hz; that they were converted is said once for each rate."""
    if found == rate:
        return samples
    try:
        import soxr  # here: most audio has the model's rate, and need not wait for it
    except ModuleNotFoundError:
        raise UserError(
            f"{name}: has {found} Hz, the model takes {rate}, and soxr, which converts it, is not installed; "
            "pip install './kdasr[runtime]', where ./kdasr is a clone of its repository"
        ) from None
    say_once(f"rate {found}", f"{name}: {found} Hz, converted to the model's {rate} Hz, and so all audio of that rate")
    return soxr.resample(samples, found, rate)
