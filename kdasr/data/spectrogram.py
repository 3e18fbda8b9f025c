"""Log spectrograms: ln |STFT|^2 of 20 ms frames every 10 ms, the front end of Mun'im et al. 2018, section 4.1.

The window is Hann's, periodic as in scipy.signal.spectrogram, and as long as the FFT: 161 bins of 50 Hz at 16 kHz.
Frames are whole, as in fbank.py: nothing is padded, and up to 10 ms behind the last frame are dropped. Neither the
mean nor any frequency is removed. Samples are on the int16 scale, and powers below 1 are taken as 1: rounding to
int16 alone leaves 10 in every bin, so that this holds in digital silence, and float32's own rounding never shows.
scipy.signal.stft and torch.stft are the oracles (tests/data/test_spectrogram.py).

    n samples, T frames, W samples a window, H samples a shift, F bins: W // 2 + 1
"""

from __future__ import annotations

import functools

import numpy as np

from kdasr.data.fbank import BLOCK, SHIFT_SECONDS, num_frames
from kdasr.errors import UserError

WINDOW_SECONDS = 0.02
FLOOR = 1.0


def num_bins(rate: int) -> int:
    """F, for a sampling rate in Hz: 161 for 16000."""
    return int(rate * WINDOW_SECONDS) // 2 + 1


@functools.lru_cache(maxsize=16)
def hann(window: int) -> np.ndarray:
    """(W,) float32: sin^2(pi i / W), whose next value would be the first one again."""
    return (np.sin(np.pi * np.arange(window) / window) ** 2).astype(np.float32)


def spectrogram(samples: np.ndarray, rate: int = 16000) -> np.ndarray:
    """Log power spectrogram.

    Args:
        samples: (n,) int16, or floats on the int16 scale.
        rate: sampling rate, Hz.

    Returns:
        (T, F) float32, 0 and more; T is 0 if there is less than one window.

    Raises:
        UserError: a rate so low that a shift is no sample.
    """
    window, shift = int(rate * WINDOW_SECONDS), int(rate * SHIFT_SECONDS)
    if not shift:
        raise UserError(f"{rate} Hz: too low a sampling rate for frames every 10 ms; use 8000 Hz or more")
    total = num_frames(len(samples), rate, WINDOW_SECONDS)
    features = np.empty((total, num_bins(rate)), dtype=np.float32)  # (T, F)
    if not total:
        return features
    signal = np.asarray(samples[: window + (total - 1) * shift], dtype=np.float32)  # (n',)
    frames = np.lib.stride_tricks.sliding_window_view(signal, window)[::shift]  # (T, W)
    taper = hann(window)  # (W,)
    for start in range(0, total, BLOCK):
        spectrum = np.fft.rfft(frames[start : start + BLOCK] * taper, axis=1)  # (block, F) complex64
        power = features[start : start + BLOCK]  # (block, F)
        np.square(spectrum.real, out=power)
        power += np.square(spectrum.imag)
        np.maximum(power, FLOOR, out=power)
        np.log(power, out=power)
    return features
