"""Log-mel filterbanks as Kaldi computes them (compute-fbank-feats), in numpy.

Kaldi's defaults, except that the dither is 0 (the same audio gives the same features) and that there are
80 bins: 25 ms frames every 10 ms, only whole frames (snip_edges), the frame's mean removed, pre-emphasis
0.97, povey window, power spectrum of the next power of two, triangular filters on the mel scale from 20 Hz
to half the sampling rate, natural logarithm floored at float32's epsilon. Samples are on the int16 scale.
kaldi-native-fbank is the oracle (tests/data/test_fbank.py): both agree to 0.01 everywhere.

    n samples, T frames, W samples a window, H samples a shift, N points of the FFT, F mel bins
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from kdasr.errors import UserError

BINS = 80
WINDOW_SECONDS = 0.025
SHIFT_SECONDS = 0.01
PREEMPHASIS = 97  # hundredths, see fbank()
LOW_HZ = 20.0
FLOOR = float(np.finfo(np.float32).eps)

# Frames worked on together: their buffers (512 kB) stay in a core's cache, which is worth a third of the time.
BLOCK = 128


@dataclass(frozen=True)
class Tables:
    """What depends on the sampling rate alone."""

    window: int  # W, samples
    shift: int  # H, samples
    fft: int  # N, points
    taper: np.ndarray  # (W,) povey window over 100, float32
    mel: np.ndarray  # (N/2, F) weights, float32


@functools.lru_cache(maxsize=16)
def tables(rate: int, bins: int = BINS) -> Tables:
    """Window and mel weights for a sampling rate in Hz.

    Raises:
        UserError: the rate leaves a mel bin without any FFT point (as 80 bins at 4 kHz would, and 128 at 16 kHz).
    """
    window, shift = int(rate * WINDOW_SECONDS), int(rate * SHIFT_SECONDS)  # Kaldi cuts off as well
    fft = 1 << (max(window, 2) - 1).bit_length()
    taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / max(window - 1, 1))) ** 0.85  # (W,)
    # a point is in two triangles at most
    mel = mel_weights(rate, fft, bins) if bins <= fft and rate > 2 * LOW_HZ else None  # (N/2, F)
    if mel is None or not mel.any(axis=0).all():
        most = most_bins(rate, fft)
        remedy = f"give --bins {most} or fewer" if most else "use audio of 8000 Hz or more"
        raise UserError(
            f"{rate} Hz: {bins} mel bins are too many for frames of {1000 * WINDOW_SECONDS:g} ms, of whose {fft} FFT "
            f"points some bins would have none; {remedy}"
        )
    return Tables(window, shift, fft, (taper / 100).astype(np.float32), mel.astype(np.float32))


def most_bins(rate: int, fft: int) -> int:
    """The largest number of mel bins that leaves none of them, nor of any smaller number, without an FFT point."""
    if rate <= 2 * LOW_HZ:
        return 0
    counts = range(1, fft + 1)
    return next((bins - 1 for bins in counts if not mel_weights(rate, fft, bins).any(axis=0).all()), fft)


def mel_weights(rate: int, fft: int, bins: int) -> np.ndarray:
    """Kaldi's triangles (mel-computations.cc): (N/2, F) weights of the power spectrum, float64.

    They are triangles in mel, not in Hz, and none reaches the point at half the sampling rate.
    """
    edges = np.linspace(_mel(LOW_HZ), _mel(rate / 2), bins + 2)  # (F+2,)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]  # (F,) each
    points = _mel(np.arange(fft // 2) * rate / fft)[:, None]  # (N/2, 1)
    rise = (points - left) / (centre - left)  # (N/2, F)
    fall = (right - points) / (right - centre)  # (N/2, F)
    return np.maximum(0.0, np.minimum(rise, fall))  # (N/2, F)


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    return 1127.0 * np.log1p(np.asarray(hertz, dtype=np.float64) / 700.0)


def num_frames(samples: int, rate: int, window_seconds: float = WINDOW_SECONDS) -> int:
    """How many frames `samples` samples give: 1 + (n - W) // H, or 0 if there is less than one window."""
    window, shift = int(rate * window_seconds), int(rate * SHIFT_SECONDS)
    return 0 if samples < window else 1 + (samples - window) // shift


def fbank(samples: np.ndarray, rate: int = 16000, bins: int = BINS) -> np.ndarray:
    """Log-mel filterbank features.

    Args:
        samples: (n,) int16, or floats on the int16 scale (unit scale would shift every value by -20.79).
        rate: sampling rate, Hz.
        bins: mel bins.

    Returns:
        (T, bins) float32; T is 0 if there is less than one window.
    """
    table = tables(rate, bins)
    window, shift, total = table.window, table.shift, num_frames(len(samples), rate)
    features = np.empty((total, bins), dtype=np.float32)  # (T, F)
    if not total:
        return features
    signal = np.asarray(samples[: window + (total - 1) * shift], dtype=np.float32)  # (n',)
    # Removing a frame's mean m and then pre-emphasising gives x[t] - 0.97 x[t-1] - 0.03 m, so that the
    # part that varies is computed once for the signal and not once a frame. Times 100 it stays an integer
    # below 2^24, exact in float32: a constant signal gives exact zeros. The first sample of a frame would
    # be another case, but the povey window is 0 there.
    emphasised = 100 * signal  # (n',)
    emphasised[1:] -= PREEMPHASIS * signal[:-1]
    offset = (100 - PREEMPHASIS) * _frame_means(signal, window, shift, total)  # (T,)
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, window)[::shift]  # (T, W)
    size = min(BLOCK, total)
    padded = np.zeros((size, table.fft), dtype=np.float32)  # (block, N), zero after W
    room = np.empty((size, table.fft // 2 + 1), dtype=np.complex64)  # (block, N/2 + 1)
    for start in range(0, total, size):
        stop = min(start + size, total)
        block = padded[: stop - start]  # (block, N)
        np.subtract(frames[start:stop], offset[start:stop, None], out=block[:, :window])
        block[:, :window] *= table.taper
        spectrum = np.fft.rfft(block, axis=1, out=room[: stop - start])[:, :-1]  # (block, N/2) complex64
        power = np.square(spectrum.real)  # (block, N/2)
        power += np.square(spectrum.imag)
        np.matmul(power, table.mel, out=features[start:stop])
    np.maximum(features, FLOOR, out=features)
    return np.log(features, out=features)


def _frame_means(signal: np.ndarray, window: int, shift: int, total: int) -> np.ndarray:
    """(T,) the means of a signal's frames, from sums over the steps that windows and shifts share."""
    step = math.gcd(window, shift)
    sums = signal[: len(signal) // step * step].reshape(-1, step).sum(axis=1)  # (n'/step,)
    if window // step > 64:  # odd rates (11025 Hz, 22050 Hz) share no useful step
        running = np.concatenate([[0.0], np.cumsum(sums, dtype=np.float64)])
        first = np.arange(total) * (shift // step)
        return ((running[first + window // step] - running[first]) / window).astype(np.float32)
    parts = np.lib.stride_tricks.sliding_window_view(sums, window // step)[:: shift // step]  # (T, W/step)
    return parts.sum(axis=1) / np.float32(window)
