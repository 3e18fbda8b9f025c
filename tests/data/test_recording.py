"""The room in which the synthetic demo corpus is heard: each of its parts by itself."""

from dataclasses import replace

import numpy as np
import pytest

from kdasr.data.recording import active_power, add_noise, coloured, record, resample, room, trim
from kdasr.data.voices import RATE, Settings


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return np.rint(16384 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


def test_resampling_keeps_a_tone_and_a_longer_tract_lowers_it():
    for tract, expected in ((1.0, 1000.0), (1.05, 1000 / 1.05)):
        out = resample(tone(1000, 22050), 22050, tract)
        assert len(out) == pytest.approx(RATE * tract, rel=0.002)
        spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)), 1 << 16))
        assert spectrum.argmax() * RATE / (1 << 16) == pytest.approx(expected, rel=0.002)
        assert np.abs(out[1000:-1000]).max() == pytest.approx(0.5, abs=0.01)


def test_active_power_passes_silence_over():
    speech = np.concatenate([np.zeros(RATE), 0.5 * np.ones(RATE), np.zeros(RATE)])
    assert active_power(speech) == pytest.approx(0.25)
    assert len(trim(speech)) == RATE


@pytest.mark.parametrize("snr", [0.0, 15.0, 30.0])
def test_the_noise_is_snr_below_the_active_speech(snr):
    rng = np.random.default_rng(0)
    speech = np.concatenate([np.zeros(RATE), rng.standard_normal(2 * RATE) * 0.1])
    noise = coloured(len(speech), 1.0, rng)
    added = add_noise(speech, noise, snr) - speech
    assert 10 * np.log10(active_power(speech) / np.mean(added**2)) == pytest.approx(snr, abs=0.1)


@pytest.mark.parametrize("colour", [0.0, 1.0, 2.0])
def test_coloured_noise_falls_as_its_colour_says(colour):
    noise = coloured(64 * RATE, colour, np.random.default_rng(1))
    assert np.mean(noise**2) == pytest.approx(1.0, rel=1e-3)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    low, high = (power[(hertz > f * 0.9) & (hertz < f * 1.1)].mean() for f in (400, 4000))
    assert np.log10(low / high) == pytest.approx(colour, abs=0.1)


def test_a_room_decays_by_sixty_decibels():
    response = room(0.2, replace(Settings(), direct_low=12.0, direct_high=12.0), np.random.default_rng(2))
    assert len(response) == 0.2 * RATE
    assert 10 * np.log10(1 / np.sum(response[1:].astype(float) ** 2)) == pytest.approx(12.0, abs=1e-3)
    first, last = np.mean(response[1:161] ** 2), np.mean(response[-160:] ** 2)
    assert 10 * np.log10(first / last) == pytest.approx(57.0, abs=2.0)  # 60 dB less the halves of both ends


def test_recording_adds_the_silence_the_burst_and_the_gain():
    quiet = replace(
        Settings(),
        **{f"snr_{end}": 60.0 for end in ("low", "high")},
        **{f"silence_{end}": 0.5 for end in ("low", "high")},
        **{f"peak_{end}": -6.0 for end in ("low", "high")},
    )
    speech = tone(300, RATE).astype(np.float32) / 32768
    plain, before, over = (record(speech, b, quiet, np.random.default_rng(3)) for b in ("", "before", "over"))
    assert plain.dtype == np.int16 and len(plain) == pytest.approx(2 * RATE, abs=8)
    assert np.abs(plain).max() == pytest.approx(32767 * 10 ** (-6 / 20), abs=1)
    assert len(over) == len(plain) and 0.15 <= (len(before) - len(plain)) / RATE <= 0.35
    head = slice(0, int(0.15 * RATE))
    assert np.mean(before[head].astype(float) ** 2) > 100 * np.mean(plain[head].astype(float) ** 2)
    assert not np.array_equal(over, plain)
