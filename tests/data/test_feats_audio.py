"""Where the audio is stands beside features: one list of utterances for models of either kind."""

from fractions import Fraction

import kaldiio
import numpy as np
import pytest
import soundfile
from feats_inputs import STEP, audio, corpus, kdasr_feats

from kdasr.data import cuts
from kdasr.data.fbank import fbank
from kdasr.data.speed import change_speed
from kdasr.data.subset import write_listed
from kdasr.data.utterances import AS_IT_IS, Reading, audio_of, parse_speeds, plan
from kdasr.errors import UserError
from kdasr.files import read_table, write_table


def read_audio_there(directory, reading=AS_IT_IS):
    """Each utterance's samples at 16 kHz, as a model that takes audio gets them."""
    rows = audio_of(directory, reading)
    return {name: cuts.read_cut(row, cuts.Recordings(), 16000, "") for name, row in rows.items()}


def test_audio_stands_beside_the_features(tmp_path):
    """One list of utterances for models that take features and for those that take audio: copies at other speeds."""
    data = corpus(tmp_path / "data", 3, 2)
    assert kdasr_feats(data, tmp_path / "out", "--speed", "0.9,1.0") == 0
    samples, lengths = read_audio_there(tmp_path / "out"), read_table(tmp_path / "out" / "utt2dur")
    assert list(samples) == list(read_table(tmp_path / "out" / "feats.scp")) and len(samples) == 6
    for name in ("s0-00", "s1-01", "s0-02"):
        original = audio(0.3 + 0.07 * int(name[-1]), int(name[-1]))
        np.testing.assert_array_equal(samples[name], original)
        np.testing.assert_array_equal(samples[f"sp0.9-{name}"], change_speed(original, Fraction("0.9")))
    assert {name: f"{round(len(one) / 16000, 6)}" for name, one in samples.items()} == lengths
    assert kdasr_feats(tmp_path / "out", tmp_path / "again") == 0  # such a directory is one of data, too
    assert read_audio_there(tmp_path / "again").keys() == samples.keys()
    before, after = (dict(kaldiio.load_scp_sequential(str(tmp_path / part / "feats.scp"))) for part in ("out", "again"))
    assert all((before[name] == after[name]).all() for name in before)
    write_listed(tmp_path / "out", tmp_path / "part", ["sp0.9-s0-02", "s1-01"])
    assert list(read_audio_there(tmp_path / "part")) == ["s1-01", "sp0.9-s0-02"]
    with pytest.raises(UserError, match=r"utt2speed: sp0\.9-s0-00 is played at another speed already"):
        plan(tmp_path / "out", parse_speeds("0.9"))


def test_segments_and_channels_stand_beside_the_features(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    sides = np.stack([audio(2, 5), audio(2, 6)], 1)  # (n, 2)
    for name in ("r", "unused"):
        soundfile.write(data / f"{name}.wav", sides, 16000, subtype="PCM_16")
    write_table(data / "wav.scp", {name: str(data / f"{name}.wav") for name in ("r", "unused")})
    write_table(data / "segments", {"u1": "r 0.5 1.25", "u2": "r 1 -1 0", "u3": "r 0 0.01"})
    write_table(data / "utt2spk", {"u1": "u1", "u2": "u2", "u3": "u3"})
    assert kdasr_feats(data, tmp_path / "out", "--channel", 2, "--min_duration", 0.1) == 0
    assert list(read_table(tmp_path / "out" / "wav.scp")) == ["r"]
    samples = read_audio_there(tmp_path / "out")
    assert list(samples) == ["u1", "u2"]  # without the one that is too short for features
    np.testing.assert_array_equal(samples["u1"], sides[8000:20000, 1])
    np.testing.assert_array_equal(samples["u2"], sides[16000:, 0])
    left = f"sox {data}/r.wav -t wav - remix 2 |"  # the list says the channel; segments need not say it, too
    write_table(data / "wav.scp", {"r": left})
    write_table(data / "segments", {"u1": "r 0.5 1.25", "u2": "r 1 -1 0", "u3": "r 0 0.5"})
    assert kdasr_feats(data, tmp_path / "listed") == 0
    samples = read_audio_there(tmp_path / "listed")
    np.testing.assert_array_equal(samples["u1"], sides[8000:20000, 1])
    np.testing.assert_array_equal(samples["u2"], sides[16000:, 1])
    write_table(data / "wav.scp", {name: str(data / f"{name}.wav") for name in ("r", "unused")})
    (data / "segments").unlink()
    for name in ("text", "utt2spk"):
        write_table(data / name, {"r": "r", "unused": "r"})
    assert kdasr_feats(data, tmp_path / "whole", "--channel", 2) == 0
    np.testing.assert_array_equal(read_audio_there(tmp_path / "whole")["r"], sides[:, 1])


def test_other_rates_are_converted_where_that_is_asked_for(tmp_path):
    data = corpus(tmp_path / "data", 2, 1, rate=8000)
    assert kdasr_feats(data, tmp_path / "out", "--resample") == 0
    got = dict(kaldiio.load_scp_sequential(str(tmp_path / "out" / "feats.scp")))
    right = change_speed(audio(0.37, 1, 8000), Fraction(1, 2))
    assert np.abs(got["s0-01"] - fbank(right)).max() < STEP
    assert read_table(tmp_path / "out" / "utt2dur")["s0-01"] == "0.37"
    samples = read_audio_there(tmp_path / "out", Reading(resample=True))
    np.testing.assert_array_equal(samples["s0-01"], right)
    with pytest.raises(UserError, match="s0-00"):
        read_audio_there(tmp_path / "out")
