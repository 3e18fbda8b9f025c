"""One reader for what corpora come as: every container gives the same samples."""

import numpy as np
import pytest
import soundfile

from kdasr.data.audio import read_audio
from kdasr.data.sphere import write_sphere
from kdasr.errors import UserError


def wave(n=4000):
    rng = np.random.default_rng(3)
    return (6000 * np.sin(np.arange(n) / 9) + rng.normal(0, 50, n)).astype(np.int16)


def write(path, samples):
    if path.suffix in (".wv1", ".wv2", ".sph"):
        write_sphere(path, samples, 16000, "shorten" if path.suffix == ".wv1" else "pcm")
    elif path.suffix == ".raw":
        path.write_bytes(samples.astype(">i2").tobytes())
    else:
        soundfile.write(path, samples, 16000, subtype="PCM_16")


@pytest.mark.parametrize("suffix", [".wv1", ".wv2", ".sph", ".flac", ".wav", ".raw"])
def test_every_container_gives_the_samples(tmp_path, suffix):
    write(tmp_path / f"a{suffix}", wave())
    samples, rate = read_audio(tmp_path / f"a{suffix}")
    assert rate == 16000 and samples.dtype == np.int16
    np.testing.assert_array_equal(samples, wave())


def test_the_content_decides_not_the_name(tmp_path):
    write_sphere(tmp_path / "a.wav", wave(), 8000, "shorten")
    samples, rate = read_audio(tmp_path / "a.wav")
    assert rate == 8000
    np.testing.assert_array_equal(samples, wave())


def test_raw_in_the_other_byte_order(tmp_path):
    (tmp_path / "a.raw").write_bytes(wave().astype("<i2").tobytes())
    np.testing.assert_array_equal(read_audio(tmp_path / "a.raw")[0], wave())


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".raw"])
def test_cut_off_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write(path, wave())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + (suffix == ".raw")])
    with pytest.raises(UserError, match=rf"a\{suffix}: .*(4000 samples, found|damaged|truncated)"):
        read_audio(path)


def test_wav_cut_off_names_both_counts(tmp_path):
    write(tmp_path / "a.wav", wave())
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: 44 + 2 * 1500])
    with pytest.raises(UserError, match="promises 4000 samples, found 1500"):
        read_audio(tmp_path / "a.wav")


def test_wav_written_to_a_pipe_is_no_error(tmp_path):
    write(tmp_path / "a.wav", wave())
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\x7f"  # sph2pipe and sox write this when they cannot seek back
    (tmp_path / "a.wav").write_bytes(data)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], wave())


def test_refusals(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_audio(tmp_path / "a.wav")
    (tmp_path / "text.wav").write_text("no audio at all\n")
    with pytest.raises(UserError, match=r"text\.wav: is not audio"):
        read_audio(tmp_path / "text.wav")
    soundfile.write(tmp_path / "two.wav", np.zeros((10, 2), np.int16), 16000)
    with pytest.raises(UserError, match=r"two\.wav: 2 channels"):
        read_audio(tmp_path / "two.wav")
    (tmp_path / "empty.raw").write_bytes(b"")
    with pytest.raises(UserError, match=r"empty\.raw: 0 bytes"):
        read_audio(tmp_path / "empty.raw")
    with pytest.raises(UserError, match=r"cannot be read"):
        read_audio(tmp_path)
