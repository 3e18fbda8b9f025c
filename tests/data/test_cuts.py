"""The audio of utterances: cut, of a channel, resampled, played at a speed; and how often a recording is read."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.signal
import soundfile
from feats_inputs import audio

from kdasr.data.cuts import Recordings, read_cut
from kdasr.data.places import Place
from kdasr.data.speed import change_speed
from kdasr.data.utterances import Reading, Utterance, audio_of
from kdasr.errors import UserError
from kdasr.files import write_table

SAID = "has {found} Hz, the model takes {rate}"


@pytest.fixture
def call(tmp_path):
    """A data directory with a recording of two channels at 8 kHz, two seconds of it."""
    sides = np.stack([audio(2, 1, 8000), audio(2, 2, 8000)], 1)  # (n, 2)
    soundfile.write(tmp_path / "r.wav", sides, 8000, subtype="PCM_16")
    write_table(tmp_path / "wav.scp", {"r": str(tmp_path / "r.wav")})
    return tmp_path, sides


def read(row, rate=8000):
    return read_cut(row, Recordings(), rate, SAID)


def test_segments_of_channels_are_the_cut_audio(call):
    """Kaldi counts the channels of `segments` from 0."""
    data, sides = call
    write_table(data / "segments", {"a": "r 0 0.5 0", "b": "r 0.5 1.25 1", "c": "r 1.5 -1 1"})
    rows = audio_of(data)
    for name, right in (("a", sides[:4000, 0]), ("b", sides[4000:10000, 1]), ("c", sides[12000:, 1])):
        samples = read(rows[name])
        assert samples.dtype == np.int16
        np.testing.assert_array_equal(samples, right)


def test_a_channel_that_is_asked_for(call):
    data, sides = call
    for channel in (1, 2):
        (row,) = audio_of(data, Reading(channel=channel)).values()
        np.testing.assert_array_equal(read(row), sides[:, channel - 1])
    write_table(data / "wav.scp", {"r": f"sox {data}/r.wav -t wav - remix 2 |"})  # what the list says counts
    (row,) = audio_of(data, Reading(channel=1)).values()
    np.testing.assert_array_equal(read(row), sides[:, 1])
    write_table(data / "segments", {"a": "r 0 1 0"})  # the first channel of what the list decodes
    np.testing.assert_array_equal(read(audio_of(data)["a"]), sides[:8000, 1])
    write_table(data / "segments", {"a": "r 0 1 1"})
    with pytest.raises(UserError, match=r"segments: a is of channel 1, but wav\.scp takes one channel of r"):
        audio_of(data)
    with pytest.raises(UserError, match="--channel 0: expected 1 or more"):
        Reading(channel=0)


def test_a_channel_that_is_not_there_or_not_named(call):
    data, _ = call
    (row,) = audio_of(data, Reading(channel=3)).values()
    with pytest.raises(UserError, match=r"utterance r: .*r\.wav: has 2 channel\(s\), and number 3 is asked for"):
        read(row)
    (row,) = audio_of(data).values()
    with pytest.raises(UserError, match=r"utterance r: .*r\.wav: 2 channels, expected 1"):
        read(row)


@pytest.mark.parametrize(("found", "rate"), [(8000, 16000), (44100, 16000), (16000, 8000), (48000, 16000)])
@pytest.mark.parametrize("speed", [Fraction(1), Fraction(9, 10)])
def test_resampled_as_scipy_does(found, rate, speed):
    samples, ratio = audio(0.4, 3, found), speed * Fraction(found, rate)
    up, down = ratio.denominator, ratio.numerator
    longest = max(up, down)
    filtered = scipy.signal.firwin(64 * longest + 1, 0.95 / longest, window=("kaiser", 6.0)).astype(np.float32)
    right = scipy.signal.resample_poly(samples.astype(np.float32), up, down, window=filtered)
    span = (0.1, 0.3)
    row = Utterance("u", "", Place("r.wav"), None, speed, "u", resample=True)
    got = read_cut(row, lambda *_: (samples, found), rate, SAID)
    np.testing.assert_array_equal(got, np.clip(np.rint(right), -32768, 32767))
    cut = samples[round(span[0] * found) : round(span[1] * found)]
    got = read_cut(Utterance("u", "", Place("r.wav"), span, speed, "u", True), lambda *_: (samples, found), rate, SAID)
    np.testing.assert_array_equal(got, change_speed(cut, ratio))  # cut first: neighbours do not sound into it
    assert len(got) == -(-len(cut) * up // down)


@pytest.mark.parametrize(("tone", "there"), [(1000, True), (9000, False)])
def test_a_tone_keeps_its_pitch_and_does_not_fold_back(tone, there):
    seconds = np.arange(44100) / 44100
    samples = np.rint(10000 * np.sin(2 * np.pi * tone * seconds)).astype(np.int16)
    row = Utterance("u", "", Place("r.wav"), None, Fraction(1), "u", resample=True)
    got = read_cut(row, lambda *_: (samples, 44100), 16000, SAID)[1000:-1000]
    right = 10000 * np.sin(2 * np.pi * tone * (np.arange(16000) / 16000)[1000:-1000]) * there
    assert np.abs(got - right).max() < 20


def test_another_rate_is_refused_unless_asked_for(call):
    data, _ = call
    (row,) = audio_of(data, Reading(channel=1)).values()
    for rate in (4000, 16000):
        with pytest.raises(UserError, match=rf"utterance r: .*r\.wav has 8000 Hz, the model takes {rate}$"):
            read(row, rate)
    (row,) = audio_of(data, Reading(resample=True, channel=1)).values()
    assert len(read(row, 16000)) == 32000


def test_speeds_of_a_directory(tmp_path):
    samples = audio(1, 4)
    soundfile.write(tmp_path / "r.wav", samples, 16000, subtype="PCM_16")
    write_table(tmp_path / "wav.scp", {"r": str(tmp_path / "r.wav")})
    write_table(tmp_path / "segments", {"a": "r 0 0.5", "sp0.9-a": "r 0 0.5"})
    write_table(tmp_path / "utt2speed", {"a": "1.0", "sp0.9-a": "0.9"})
    rows = audio_of(tmp_path)
    np.testing.assert_array_equal(read(rows["a"], 16000), samples[:8000])
    np.testing.assert_array_equal(read(rows["sp0.9-a"], 16000), change_speed(samples[:8000], Fraction(9, 10)))
    for table, said in (
        ({"a": "1.0"}, "utt2speed: sp0.9-a is missing"),
        ({"a": "1.0", "sp0.9-a": "slow"}, "utt2speed: sp0.9-a has 'slow'; expected a factor from 0.5 to 2"),
        ({"a": "1.0", "sp0.9-a": "0.9,1.1"}, "utt2speed: sp0.9-a has '0.9,1.1'; expected a factor"),
    ):
        write_table(tmp_path / "utt2speed", table)
        with pytest.raises(UserError, match=said):
            audio_of(tmp_path)


def test_a_recording_is_read_once_for_its_segments():
    asked = []

    def read_audio(place, name):
        asked.append(place.path)
        return np.full(100, len(asked), np.int16), 16000

    recordings = Recordings(kept=250, read=read_audio)
    for path in "aaabaab":
        recordings(Place(path), path)
    assert asked == ["a", "b"]
    recordings(Place("c"), "c")  # a was asked for longest ago, and all three do not fit
    recordings(Place("b"), "b")
    assert asked == ["a", "b", "c"]
    samples, _ = recordings(Place("a"), "a")
    assert asked == ["a", "b", "c", "a"] and samples[0] == 4
    small = Recordings(kept=0, read=read_audio)  # the last one is kept all the same
    for path in "aab":
        small(Place(path), path)
    assert asked[4:] == ["a", "b"]
