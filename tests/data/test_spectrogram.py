"""Log spectrograms against scipy's and torch's, against the definition, and by hand."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.data import spectrogram as module
from kdasr.data.spectrogram import num_bins, spectrogram
from kdasr.errors import UserError


def noise(samples, seed=0):
    rng = np.random.default_rng(seed)
    loudness = 1 + np.sin(np.arange(samples) / 700)
    return np.clip(rng.normal(100, 2000, samples) * loudness, -32768, 32767).astype(np.int16)


def by_scipy(samples, rate):
    """scipy's spectrogram, whose 'spectrum' scaling divides by the window's sum: (T, F)."""
    window = int(rate * 0.02)
    hann = scipy.signal.get_window("hann", window)
    _, _, spectrum = scipy.signal.spectrogram(
        samples.astype(np.float64), fs=rate, window=hann, nperseg=window, noverlap=window - int(rate * 0.01),
        detrend=False, scaling="spectrum", mode="complex",
    )  # fmt: skip
    return np.log(np.maximum(np.abs(spectrum.T * hann.sum()) ** 2, 1.0))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 48000])
@pytest.mark.parametrize("seconds", [0.02, 0.0351, 1.0, 2.217])
def test_agrees_with_scipy(rate, seconds):
    samples = noise(int(rate * seconds))
    ours, theirs = spectrogram(samples, rate), by_scipy(samples, rate)
    assert ours.shape == theirs.shape == ((len(samples) - int(rate * 0.02)) // int(rate * 0.01) + 1, num_bins(rate))
    assert ours.dtype == np.float32
    # float32 rounds what a bin holds relative to the loudest one: seen in powers that are a millionth of it
    assert np.abs(np.exp(ours / 2) - np.exp(theirs / 2)).max() < 1e-6 * np.exp(theirs.max() / 2)
    assert np.abs(ours - theirs)[theirs > 8].max() < 2e-3


def test_agrees_with_torch():
    samples = noise(16000)
    spectrum = torch.stft(
        torch.from_numpy(samples.astype(np.float64)), 320, 160, window=torch.hann_window(320, dtype=torch.float64),
        center=False, return_complex=True,
    )  # fmt: skip
    theirs = spectrum.abs().square().clamp(min=1.0).log().t().numpy()  # (T, F)
    ours = spectrogram(samples)
    assert ours.shape == theirs.shape == (99, 161)
    assert np.abs(ours - theirs)[theirs > 8].max() < 2e-3


def test_a_tone_by_hand():
    """cos of amplitude a in the middle of bin k: Hann's window sums to 160, so |X_k| = 80 a and its neighbours 40 a."""
    tone = 1000 * np.cos(2 * np.pi * 1000 * np.arange(1600) / 16000)  # 1000 Hz: bin 20
    features = spectrogram(tone)
    assert features.shape == (9, 161)
    np.testing.assert_allclose(features[:, 20], 2 * np.log(80 * 1000), rtol=1e-5)
    np.testing.assert_allclose(features[:, [19, 21]], 2 * np.log(40 * 1000), rtol=1e-5)
    assert features[:, :18].max() < 5 and features[:, 23:].max() < 5  # e^5 is 1.5e2, beside 6.4e9


def test_an_offset_stays():
    """Nothing is removed: a constant c is 160 c in bin 0 and half of it in bin 1."""
    features = spectrogram(np.full(480, 100, dtype=np.int16))
    np.testing.assert_allclose(features[:, 0], 2 * np.log(16000), rtol=1e-5)
    np.testing.assert_allclose(features[:, 1], 2 * np.log(8000), rtol=1e-5)


def test_silence_is_the_floor_exactly():
    assert (spectrogram(np.zeros(4000, dtype=np.int16)) == 0).all()


def test_rounding_to_int16_lies_above_the_floor():
    """Noise of rounding (variance 1/12) has a mean power of 120 / 12 in every bin, 120 being Hann's sum of squares."""
    rounding = np.random.default_rng(0).uniform(-0.5, 0.5, 160000)
    power = np.exp(spectrogram(rounding).astype(np.float64))
    assert power.mean() == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (319, 0), (320, 1), (479, 1), (480, 2), (96000, 599)])
def test_number_of_frames(samples, frames):
    assert spectrogram(np.zeros(samples, dtype=np.int16)).shape == (frames, 161)


@examples(40)
@given(samples=st.integers(0, 30000), rate=st.sampled_from([8000, 11025, 16000]), seed=st.integers(0, 9))
def test_any_length_has_its_frames_and_each_frame_is_its_own(samples, rate, seed):
    signal = noise(samples, seed)
    features = spectrogram(signal, rate)
    window, shift = int(rate * 0.02), int(rate * 0.01)
    assert len(features) == max(0, (samples - window) // shift + 1)
    for frame in {0, len(features) // 2, len(features) - 1} if len(features) else ():
        alone = spectrogram(signal[frame * shift : frame * shift + window], rate)
        np.testing.assert_array_equal(alone[0], features[frame])


def test_block_size_changes_nothing(monkeypatch):
    samples = noise(48000)
    whole = spectrogram(samples)
    for block in (1, 7, 10000):
        monkeypatch.setattr(module, "BLOCK", block)
        np.testing.assert_array_equal(spectrogram(samples), whole)


def test_input_is_left_alone():
    samples = noise(8000)
    floats = samples.astype(np.float32)
    before = samples.copy()
    np.testing.assert_array_equal(spectrogram(samples), spectrogram(floats))
    assert (samples == before).all() and (floats == before).all()


def test_too_low_a_rate_is_refused():
    with pytest.raises(UserError, match=r"^50 Hz: too low a sampling rate"):
        spectrogram(np.zeros(400), 50)
