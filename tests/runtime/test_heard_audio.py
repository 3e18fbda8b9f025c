"""Audio for a recogniser: files and samples, mixed to one channel and converted to the model's rate."""

import sys

import numpy as np
import pytest
import soundfile
import soxr
from bundles import speech

from kdasr.data import audio as files
from kdasr.errors import UserError
from kdasr.runtime import audio

RATE = 16000


@pytest.fixture(autouse=True)
def _said_nothing(monkeypatch):
    monkeypatch.setattr(files, "_said", set())


def test_a_file_of_the_models_rate_is_as_it_is(tmp_path, capsys):
    wave = speech(0.3)
    for name in ("a.wav", "a.flac"):
        soundfile.write(tmp_path / name, wave, RATE, subtype="PCM_16")
        np.testing.assert_array_equal(audio.read(tmp_path / name, RATE), wave)
    assert capsys.readouterr() == ("", "")


def test_stereo_of_44100_hz_is_converted_and_said_once(tmp_path, capsys):
    time = np.arange(44100) / 44100
    left, right = np.sin(2 * np.pi * 440 * time), np.sin(2 * np.pi * 1000 * time)
    sides = (8000 * np.stack([left, right], 1)).astype(np.int16)
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, sides, 44100, subtype="PCM_16")
    one = audio.read(tmp_path / "a.wav", RATE)
    audio.read(tmp_path / "b.wav", RATE)
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines() == [
        f"{tmp_path}/a.wav: 2 channels, of which the mean is taken, and so of all such files",
        f"{tmp_path}/a.wav: 44100 Hz, converted to the model's 16000 Hz, and so all audio of that rate",
    ]
    assert one.dtype == np.int16 and len(one) == RATE
    spectrum = np.abs(np.fft.rfft(one)) / len(one) * 2  # a bin is one Hz
    loudest = np.argsort(-spectrum)[:2]
    assert sorted(loudest.tolist()) == [440, 1000]
    np.testing.assert_allclose(spectrum[loudest], 4000, rtol=0.02)
    assert np.delete(spectrum, [440, 1000]).max() < 40


def test_samples_in_memory(capsys):
    wave = speech(0.2)
    floats, apart = wave / 32768, np.int16(7)
    sides = (np.stack([wave, wave], 1), np.stack([wave - apart, wave + apart], 1))
    for given in (wave, floats, floats.astype(np.float32), floats.tolist(), *sides):
        np.testing.assert_array_equal(audio.given(given, RATE, RATE), wave)
    assert audio.given(np.array([2.0, -2.0, 1.0]), RATE, RATE).tolist() == [32767, -32768, 32767]  # not wrapped
    assert audio.given(np.array([0.75, -0.75]), RATE, RATE).tolist() == [24576, -24576]
    converted = audio.given(wave, 8000, RATE)
    np.testing.assert_array_equal(converted, soxr.resample(wave, 8000, RATE))
    assert len(converted) == 2 * len(wave)
    said = "samples in memory: 8000 Hz, converted to the model's 16000 Hz, and so all audio of that rate\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("samples, rate, said", [
    (np.zeros(5), None, "rate None: samples in memory need their rate"),
    (np.zeros(5), 0, "rate 0"),
    (np.zeros(0), RATE, r"samples of shape \(0,\)"),
    (np.zeros((2, 2, 2)), RATE, r"samples of shape \(2, 2, 2\)"),
    (np.float64(3.0), RATE, r"samples of shape \(\)"),
    (np.zeros(5, np.int32), RATE, "samples of type int32: expected int16, or floats from -1 to 1"),
    (np.array(["a"]), RATE, "samples of type <U1"),
    (np.array([0.0, np.nan]), RATE, "hold values that are not numbers"),
    (np.array([0.0, np.inf]), RATE, "hold values that are not numbers"),
])  # fmt: skip
def test_samples_that_are_none(samples, rate, said):
    with pytest.raises(UserError, match=said):
        audio.given(samples, rate, RATE)


def test_files_that_are_none(tmp_path):
    (tmp_path / "text.wav").write_text("I am no audio, whatever my name says. " * 9)
    (tmp_path / "empty.wav").write_text("")
    soundfile.write(tmp_path / "zero.wav", np.zeros(0, np.int16), RATE)
    (tmp_path / "d.wav").mkdir()
    cases = {"text.wav": "is not audio", "empty.wav": "", "zero.wav": "holds no samples", "no.wav": "no such file"}
    for name, said in cases.items():
        with pytest.raises(UserError, match=f"{name}: .*{said}") as error:
            audio.read(tmp_path / name, RATE)
        assert "\n" not in str(error.value) and ";" in str(error.value)


def test_without_soxr_other_rates_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soxr", None)
    soundfile.write(tmp_path / "a.wav", speech(0.1), RATE)
    assert len(audio.read(tmp_path / "a.wav", RATE)) == RATE // 10
    with pytest.raises(UserError, match=r"a.wav: has 16000 Hz, the model takes 8000, and soxr, .* pip install"):
        audio.read(tmp_path / "a.wav", 8000)
