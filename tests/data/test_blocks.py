"""Recordings in blocks are what read_audio gives, cut; their lengths are those of what it gives."""

import numpy as np
import pytest
import soundfile

from kdasr.data import blocks
from kdasr.data.audio import read_audio
from kdasr.data.blocks import read_blocks, seconds_of, streams
from kdasr.data.places import Place
from kdasr.data.sphere import write_sphere
from kdasr.errors import UserError

RATE = 8000
SAMPLES = (np.random.default_rng(0).standard_normal((20500, 2)) * 3000).clip(-32768, 32767).astype(np.int16)


def joined(place, seconds=1):
    read = list(read_blocks(place, "r", seconds))
    assert all(rate == RATE for _, rate in read) and all(len(one) == RATE * seconds for one, _ in read[:-1])
    return np.concatenate([one for one, _ in read])


@pytest.mark.parametrize("channel", [1, 2])
@pytest.mark.parametrize(
    ("name", "subtype", "scale"),
    [
        ("a.wav", "PCM_16", None),
        ("a.flac", "PCM_16", None),
        ("a.wav", "ULAW", None),
        ("a.wav", "FLOAT", 1 / 32768),
        ("a.wav", "DOUBLE", 1.0),  # on the scale of 16 bit already
        ("a.ogg", "VORBIS", None),
        ("a.mp3", "MPEG_LAYER_III", None),
    ],
)
def test_blocks_are_the_whole(tmp_path, name, subtype, scale, channel):
    path = tmp_path / name
    soundfile.write(path, SAMPLES if scale is None else SAMPLES.astype(float) * scale, RATE, subtype=subtype)
    place = Place(str(path), channel=channel)
    whole, _ = read_audio(place)
    for seconds in (1, 2):
        np.testing.assert_allclose(joined(place, seconds), whole, rtol=0, atol=name == "a.mp3")  # its decoder rounds
    assert seconds_of(Place(str(path)), "r") == len(whole) / RATE  # whatever the channels


def test_the_scale_of_floats_is_that_of_the_whole_recording(tmp_path):
    """A quiet first block of a file on the scale of 16 bit is quiet."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.concatenate([np.full(RATE, 3.0), np.full(RATE, 3000.0)]), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(joined(Place(str(path))), np.repeat([3, 3000], RATE))


def test_what_is_read_by_other_means(tmp_path):
    write_sphere(tmp_path / "a.sph", SAMPLES[:, 0], RATE, "shorten")
    assert not streams(Place(str(tmp_path / "a.sph")))
    np.testing.assert_array_equal(joined(Place(str(tmp_path / "a.sph"))), SAMPLES[:, 0])
    assert seconds_of(Place(str(tmp_path / "a.sph")), "r") == 20500 / RATE


def test_a_header_without_a_length(tmp_path):
    soundfile.write(tmp_path / "a.wav", SAMPLES[:, 0], RATE)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data.replace(b"data" + (41000).to_bytes(4, "little"), b"data\0\0\0\0"))
    place = Place(str(tmp_path / "a.wav"))
    np.testing.assert_array_equal(joined(place), SAMPLES[:, 0])
    assert seconds_of(place, "r") == 20500 / RATE


@pytest.mark.parametrize(
    ("break_it", "channel", "said"),
    [
        (lambda path: path.unlink(), None, "no such file"),
        (lambda path: path.write_bytes(b"no audio"), None, "is not audio that can be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-2000]), 1, "the header promises 20500 samples, found 20000"),
        (lambda path: None, None, "2 channels, expected 1"),
        (lambda path: None, 3, "number 3 is asked for"),
        (lambda path: soundfile.write(path, np.full(9, np.nan), RATE, subtype="FLOAT"), None, "are not numbers"),
        (lambda path: soundfile.write(path, np.full(9, 1e7), RATE, subtype="FLOAT"), None, "holds floats up to 1e+07"),
    ],
)
def test_errors_are_those_of_read_audio(tmp_path, break_it, channel, said):
    path = tmp_path / "a.wav"
    soundfile.write(path, SAMPLES, RATE)
    break_it(path)
    with pytest.raises(UserError) as whole:
        read_audio(Place(str(path), channel=channel))
    with pytest.raises(UserError) as cut:
        list(read_blocks(Place(str(path), channel=channel), "", 1))
    assert said in str(cut.value) and str(cut.value) == str(whole.value)


def test_a_long_file_is_not_read_whole(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", SAMPLES[:, 0], RATE)
    monkeypatch.setattr(blocks, "read_audio", None)
    assert len(joined(Place(str(tmp_path / "a.wav")))) == 20500
