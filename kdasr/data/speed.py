"""Speed perturbation: audio played faster or slower, its pitch with it."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import scipy.signal


def change_speed(samples: np.ndarray, speed: Fraction) -> np.ndarray:
    """Audio played `speed` times as fast (pitch and tempo, as sox's speed effect): (n,) -> (about n / speed,) int16."""
    if speed == 1:
        return samples
    played = scipy.signal.resample_poly(
        samples.astype(np.float32), speed.denominator, speed.numerator, window=_lowpass(speed)
    )
    return np.clip(np.rint(played), -32768, 32767).astype(np.int16)


@functools.lru_cache(maxsize=8)
def _lowpass(speed: Fraction) -> np.ndarray:
    """A windowed sinc of 64 zero crossings: flat to 0.89 of the lower band's edge, -60 dB from 1.01 of it on.

    scipy's own, of 20, lets a third of what lies just above the edge fold back.
    """
    longest = max(speed.denominator, speed.numerator)
    return scipy.signal.firwin(64 * longest + 1, 0.95 / longest, window=("kaiser", 6.0)).astype(np.float32)
