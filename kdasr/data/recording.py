"""A voice in a room: espeak-ng's speech with silence, reverberation and noise, as the synthetic demo corpus has it.

| axis | meaning                                                     |
|------|-------------------------------------------------------------|
| n    | samples at espeak-ng's rate (22050 Hz)                      |
| m    | samples at RATE (16000 Hz)                                  |
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len
from scipy.signal import fftconvolve, resample_poly

from kdasr.data.voices import RATE, Espeak, Settings, Speaker


def render(espeak: Espeak, text: str, burst: str, speaker: Speaker, settings: Settings, key: list[int]) -> np.ndarray:
    """Speak one utterance, and record it in a noisy room.

    Args:
        espeak: the synthesiser.
        text: what to say.
        burst: "before", "after" or "over" the speech: a noise that the transcript marks; "" is none.
        speaker: who says it.
        settings: how hard to make it.
        key: seed of all chance in this utterance.

    Returns:
        int16 (m,) at RATE.
    """
    rng = np.random.default_rng(key)
    rate = (speaker.rate + rng.uniform(settings.rate_low, settings.rate_high)) / 2
    pitch = float(np.clip(speaker.pitch + rng.uniform(-1, 1) * settings.pitch_spread, 0, 99))
    # A longer tract plays the voice slower and lower, so the voice speaks that much faster and higher.
    voice = espeak.say(text, speaker.voice, rate * speaker.tract, pitch)  # (n,)
    return record(resample(voice, espeak.rate, speaker.tract), burst, settings, rng)


def resample(samples: np.ndarray, rate: int, tract: float = 1.0) -> np.ndarray:
    """Samples int16 (n,) at `rate` Hz as float32 (m,) at RATE, full scale 1, every formant divided by `tract`."""
    up = 320
    down = round(up * rate / tract / RATE)
    return resample_poly(samples.astype(np.float32) / 32768, up, down).astype(np.float32)  # (m,)


def record(speech: np.ndarray, burst: str, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Put speech float (m,) into a room: silence, reverberation, filter, marked noise, noise, gain.

    Returns:
        int16 (m + silence,).
    """
    before, after = (rng.uniform(settings.silence_low, settings.silence_high, 2) * RATE).astype(int)
    noise_length = round(rng.uniform(0.15, 0.35) * RATE)
    before += noise_length * (burst == "before")
    after += noise_length * (burst == "after")
    level = active_power(speech) ** 0.5
    sound = np.pad(trim(speech), (before, after))  # (m,)
    response = room(rng.uniform(settings.reverb_low, settings.reverb_high), settings, rng)
    sound = fftconvolve(sound, response)[: len(sound)]
    sound[1:] += np.float32(rng.uniform(-settings.tilt, settings.tilt)) * sound[:-1]
    if burst:
        start = {"before": 0, "after": len(sound) - noise_length}.get(burst)
        if start is None:
            start = int(rng.integers(before, len(sound) - after - noise_length))
        decay = np.exp(-np.linspace(0, 4, noise_length)) * np.minimum(np.arange(noise_length) / 80, 1)
        loud = level * 10 ** (rng.uniform(settings.burst_low, settings.burst_high) / 20)
        sound[start : start + noise_length] += np.float32(loud) * decay * coloured(noise_length, 1.0, rng)
    noise = coloured(len(sound), rng.uniform(settings.colour_low, settings.colour_high), rng)
    sound = add_noise(sound, noise, rng.uniform(settings.snr_low, settings.snr_high))
    peak = 10 ** (rng.uniform(settings.peak_low, settings.peak_high) / 20)
    return np.rint(sound * (peak * 32767 / np.abs(sound).max())).astype(np.int16)


def trim(speech: np.ndarray) -> np.ndarray:
    """Speech (m,) without the silence at both ends (60 dB below its peak)."""
    loud = np.flatnonzero(np.abs(speech) > np.abs(speech).max() / 1000)
    return speech[loud[0] : loud[-1] + 1]


def active_power(sound: np.ndarray) -> float:
    """Mean square of the 20 ms frames of sound (m,) that are within 30 dB of the loudest."""
    size = RATE // 50
    frames = sound[: len(sound) // size * size].reshape(-1, size)  # (frames, 320)
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    return float(power[power >= power.max() / 1000].mean())


def coloured(count: int, colour: float, rng: np.random.Generator) -> np.ndarray:
    """Noise (count,) of unit power, with the power spectrum 1/f^colour above 50 Hz, flat below."""
    size = next_fast_len(count, real=True)
    bins = size // 2 + 1
    spectrum = rng.standard_normal(2 * bins, dtype=np.float32).view(np.complex64)  # (bins,)
    floor = max(1, round(50 * size / RATE))
    spectrum *= np.maximum(np.arange(bins, dtype=np.float32), floor) ** (-colour / 2)
    noise = irfft(spectrum, size)[:count]
    return noise / np.sqrt(np.mean(np.square(noise)))  # float32 (count,)


def room(seconds: float, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """An impulse response: the direct sound, then noise that is 60 dB down after `seconds`."""
    length = max(2, round(seconds * RATE))
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)  # amplitude: 60 dB over the length
    tail[0] = 0.0
    direct = rng.uniform(settings.direct_low, settings.direct_high)
    tail *= 10 ** (-direct / 20) / np.sqrt(np.sum(np.square(tail)))
    tail[0] = 1.0
    return tail.astype(np.float32)


def add_noise(sound: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Sound (m,) plus noise of unit power (m,), `snr` dB below the active sound."""
    return sound + noise * np.float32(active_power(sound) ** 0.5 * 10 ** (-snr / 20))
