"""Filterbanks against kaldi-native-fbank, against the definition in double precision, and by hand."""

import re

import kaldi_native_fbank as knf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.data import fbank as module
from kdasr.data.fbank import FLOOR, fbank, mel_weights, num_frames, tables
from kdasr.data.front_ends import front_end
from kdasr.errors import UserError


def oracle(samples, rate, bins=80):
    """Kaldi's own code (kaldi-native-fbank is a port of it): (T, bins)."""
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = rate
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = bins
    options.mel_opts.low_freq = 20
    options.mel_opts.high_freq = 0
    extractor = knf.OnlineFbank(options)
    extractor.accept_waveform(rate, samples.astype(np.float32).tolist())
    extractor.input_finished()
    frames = [extractor.get_frame(t) for t in range(extractor.num_frames_ready)]
    return np.array(frames, dtype=np.float32).reshape(-1, bins)


def definition(samples, rate):
    """The definition step by step in float64, frame by frame, with none of fbank()'s rearrangement."""
    window, shift = rate // 40, rate // 100
    fft = tables(rate).fft
    taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / (window - 1))) ** 0.85
    rows = []
    for start in range(0, len(samples) - window + 1, shift):
        frame = samples[start : start + window].astype(np.float64)
        frame -= frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * taper, fft)[:-1]) ** 2
        rows.append(np.log(np.maximum(power @ mel_weights(rate, fft, 80), FLOOR)))
    return np.array(rows)


def speechlike(samples, rate, seed=0):
    """Noise with an envelope, a falling spectrum, a hum and an offset, on the int16 scale."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    noise = np.convolve(rng.normal(0, 1, samples + 8), np.ones(8) / 8, "valid")[:samples]
    wave = noise * (1 + np.sin(2 * np.pi * 3 * time)) * 4000
    return np.clip(wave + 300 * np.sin(2 * np.pi * 50 * time) + 120, -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("seconds", [0.025, 0.0351, 1.0, 3.217])
def test_agrees_with_kaldi(rate, seconds):
    samples = speechlike(int(rate * seconds), rate)
    ours, theirs = fbank(samples, rate), oracle(samples, rate)
    assert ours.shape == theirs.shape == (num_frames(len(samples), rate), 80)
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < 0.002


@pytest.mark.parametrize("rate", [8000, 16000])
def test_agrees_on_extreme_signals(rate):
    time = np.arange(2 * rate)
    rng = np.random.default_rng(1)
    signals = {
        "silence": np.zeros(2 * rate),
        "offset": np.full(2 * rate, 32767),
        "one bit of noise": rng.integers(-1, 2, 2 * rate),
        "clipped noise": np.clip(rng.normal(0, 60000, 2 * rate), -32768, 32767),
        "full-scale square": np.where(time // 50 % 2, 32767, -32768),
        "one click": np.where(time == rate, 32767, 0),
    }
    for name, signal in signals.items():
        signal = signal.astype(np.int16)
        assert np.abs(fbank(signal, rate) - oracle(signal, rate)).max() < 0.01, name


@pytest.mark.parametrize("bins", [23, 40, 128])
def test_agrees_for_other_numbers_of_bins(bins):
    samples = speechlike(16000, 16000)
    if bins == 128:  # Kaldi leaves a bin without an FFT point at the floor; here that is an error
        with pytest.raises(
            UserError, match=r"16000 Hz: 128 mel bins are too many .* 512 FFT .*; give --bins 126 or fewer"
        ):
            fbank(samples, 16000, bins)
    else:
        assert np.abs(fbank(samples, 16000, bins) - oracle(samples, 16000, bins)).max() < 0.002


@pytest.mark.parametrize("hertz", [50, 440, 1000, 3000, 5000])
def test_pure_tone(hertz):
    # 90 dB lie between a full-scale tone and the far bins, where float32 rounds visibly, Kaldi's (0.066 at 5 kHz) too.
    samples = (30000 * np.sin(2 * np.pi * hertz * np.arange(16000) / 16000) + 2000).astype(np.int16)
    assert np.abs(fbank(samples) - definition(samples, 16000)).max() < 0.05
    assert np.abs(fbank(samples) - oracle(samples, 16000)).max() < 0.1


def test_silence_and_offset_give_the_floor_exactly():
    for level in (0, 1, -32768, 32767):
        features = fbank(np.full(4000, level, dtype=np.int16))
        assert features.shape == (23, 80)
        assert (features == np.log(np.float32(FLOOR))).all()


def test_scale_shifts_by_twice_its_logarithm():
    samples = speechlike(8000, 16000).astype(np.float32)
    small, large = fbank(samples / 32768), fbank(samples)
    shift = (large - small)[small > np.log(FLOOR) + 0.001]  # where the floor does not hold it
    assert shift.size > 3000
    assert np.abs(shift - 2 * np.log(32768)).max() < 2e-3


def test_a_tone_peaks_in_its_bin():
    # 1000 Hz is 999.99 mel; bins are spaced (2840.02 - 31.75) / 81 = 34.67 mel: (999.99 - 31.75) / 34.67 - 1 = 26.9
    tone = (10000 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.int16)
    assert set(fbank(tone).argmax(axis=1)) == {27}


def test_mel_weights_by_hand():
    weights = mel_weights(16000, 512, 80)
    assert weights.shape == (256, 80)
    assert weights[0].max() == 0  # 0 Hz lies below 20 Hz
    # Neighbouring triangles add to 1 between the first and the last centre.
    mel = 1127 * np.log(1 + np.arange(256) * 31.25 / 700)
    low, high = 1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 8000 / 700)
    step = (high - low) / 81
    inner = (mel > low + step) & (mel < high - step)
    assert inner.nonzero()[0][[0, -1]].tolist() == [2, 247]  # 42.5 Hz and 7742 Hz, in steps of 31.25 Hz
    assert np.abs(weights.sum(axis=1)[inner] - 1).max() < 1e-12


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (96000, 598)])
def test_number_of_frames(samples, frames):
    assert num_frames(samples, 16000) == frames
    assert fbank(np.zeros(samples, dtype=np.int16)).shape == (frames, 80)


@examples(60)
@given(samples=st.integers(0, 30000), rate=st.sampled_from([8000, 11025, 16000, 22050]), seed=st.integers(0, 9))
def test_any_length_has_its_frames_and_each_frame_is_its_own(samples, rate, seed):
    signal = speechlike(samples, rate, seed)
    features = fbank(signal, rate)
    window, shift = int(rate * 0.025), int(rate * 0.01)
    assert features.shape == (max(0, (samples - window) // shift + 1), 80)
    assert np.isfinite(features).all()
    for frame in {0, len(features) // 2, len(features) - 1} if len(features) else ():
        alone = fbank(signal[frame * shift : frame * shift + window], rate)
        assert np.abs(alone[0] - features[frame]).max() < 1e-3


def test_block_size_changes_nothing(monkeypatch):
    samples = speechlike(48000, 16000)
    whole = fbank(samples)
    for block in (1, 7, 64, 10000):
        monkeypatch.setattr(module, "BLOCK", block)
        assert np.abs(fbank(samples) - whole).max() < 1e-4


def test_input_is_left_alone():
    samples = speechlike(8000, 16000)
    before = samples.copy()
    fbank(samples)
    floats = samples.astype(np.float32)
    fbank(floats)
    assert (samples == before).all()
    assert (floats == before).all()


def test_too_low_a_rate_is_refused():
    for rate in (1, 40, 100):  # the lower two have nothing above 20 Hz
        with pytest.raises(UserError, match=rf"^{rate} Hz: 80 mel bins are too many .*; use audio of 8000 Hz or more"):
            fbank(np.zeros(4000), rate)
    with pytest.raises(UserError, match=r"^40 Hz: 1 mel bins are too many .*; use audio of 8000 Hz or more"):
        fbank(np.zeros(4000), 40, 1)


@pytest.mark.parametrize("rate", [1000, 4000, 8000, 11025, 16000, 44100])
def test_the_largest_number_of_bins_named_is_possible(rate):
    with pytest.raises(UserError, match=rf"^{rate} Hz: 10000000000 mel bins are too many") as error:
        fbank(np.zeros(rate), rate, 10**10)  # more than memory would hold
    most = int(re.search(r"give --bins (\d+) or fewer", str(error.value))[1])
    for bins in range(1, most + 1):
        assert tables(rate, bins).mel.any(axis=0).all()
    with pytest.raises(UserError, match=f"give --bins {most} or fewer"):
        tables(rate, most + 1)
    assert fbank(speechlike(rate, rate), rate, most).shape == (num_frames(rate, rate), most)


@pytest.mark.parametrize("bins", [0, -1])
def test_no_bins_are_refused(bins):
    with pytest.raises(UserError, match=f"--bins {bins}: expected 1 mel bin or more"):
        front_end("fbank", bins)
