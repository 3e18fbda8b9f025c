"""One reader for what corpora come as: every container gives the same samples."""

import io

import kaldiio
import numpy as np
import pytest
import soundfile

from kdasr.data.audio import WIDTHS, read_audio
from kdasr.data.places import Place, parse
from kdasr.data.sphere import write_sphere
from kdasr.errors import UserError
from kdasr.files import read_table


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


FLOATS = [
    ("a.wav", {"format": "WAV"}),
    ("b.wav", {"format": "WAVEX"}),
    ("c.wav", {"format": "RF64"}),
    ("d.aiff", {"format": "AIFF"}),
    ("e.caf", {"format": "CAF"}),
    ("f.w64", {"format": "W64"}),
    ("g.au", {"format": "AU"}),
]


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize(("name", "options"), FLOATS)
def test_floats_are_scaled_and_clipped_as_16_bit_is(tmp_path, name, options, subtype):
    """libsndfile's own 16 bit of the same signal differs by its scale of 32767 alone: one step at most."""
    x = np.random.default_rng(0).standard_normal(5000) * 0.5
    x[:6] = [1.0, -1.0, 1.5, -1.5, 0.25, 1 / 32768]
    soundfile.write(tmp_path / name, x, 16000, subtype=subtype, **options)
    soundfile.write(tmp_path / "short.wav", x, 16000, subtype="PCM_16")
    samples, rate = read_audio(tmp_path / name)
    assert samples.dtype == np.int16 and rate == 16000
    assert samples[:6].tolist() == [32767, -32768, 32767, -32768, 8192, 1]
    assert np.abs(samples.astype(int) - read_audio(tmp_path / "short.wav")[0]).max() <= 1


def test_floats_on_the_16_bit_scale_are_said_to_be(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("kdasr.data.audio._said", set())
    soundfile.write(tmp_path / "a.wav", wave().astype(np.float64), 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], wave())
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path}/a.wav: floats up to ") and "scale of 16 bit already" in said
    read_audio(tmp_path / "a.wav")
    assert capsys.readouterr().err == ""  # once a process


def test_floats_that_are_no_numbers_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, np.nan, 0.1]), 16000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"a\.wav: holds samples that are not numbers"):
        read_audio(tmp_path / "a.wav")


def test_a_header_that_says_0_is_read_to_the_end(tmp_path):
    soundfile.write(tmp_path / "a.wav", wave(), 16000, subtype="PCM_16")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = bytes(4)
    (tmp_path / "a.wav").write_bytes(data)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], wave())
    (tmp_path / "a.wav").write_bytes(data[:44])  # and 0 is right where nothing follows
    assert len(read_audio(tmp_path / "a.wav")[0]) == 0


def test_a_channel_of_several(tmp_path):
    two = np.stack([wave(), wave()[::-1]], 1)
    soundfile.write(tmp_path / "two.flac", two, 16000)
    for channel in (1, 2):
        samples, _ = read_audio(Place(str(tmp_path / "two.flac"), channel=channel))
        np.testing.assert_array_equal(samples, two[:, channel - 1])
    with pytest.raises(UserError, match=r"has 2 channel\(s\), and number 3 is asked for"):
        read_audio(Place(str(tmp_path / "two.flac"), channel=3))


def test_audio_in_archives(tmp_path):
    """As kaldiio writes it: WAV and, for ESPnet's flac.ark, AUDIO with a length."""
    first, second = wave(), wave()[::-1].copy()
    kaldiio.save_ark(str(tmp_path / "w.ark"), {"a": (16000, first), "b": (16000, second)}, scp=str(tmp_path / "w.scp"))
    places = read_table(tmp_path / "w.scp")
    with (tmp_path / "f.ark").open("wb") as stream:
        for key, samples in (("a", first), ("b", second)):
            flac = io.BytesIO()
            soundfile.write(flac, samples, 16000, format="FLAC")
            stream.write(f"{key} ".encode())
            places[f"f{key}"] = f"{tmp_path}/f.ark:{stream.tell()}"
            length = len(flac.getvalue())
            size = (length.bit_length() + 7) // 8
            stream.write(b"AUDIO" + bytes([size]) + length.to_bytes(size, "little") + flac.getvalue())
    assert kaldiio.load_mat(places["fb"])[1].shape == second.shape  # kaldiio reads our AUDIO as its own
    for key, samples in (("a", first), ("b", second), ("fa", first), ("fb", second)):
        found, rate = read_audio(parse(places[key], key), key)
        np.testing.assert_array_equal(found, samples)
        assert rate == 16000
    with pytest.raises(UserError, match="is no audio in an archive"):
        read_audio(parse(f"{tmp_path}/w.ark:3", "a"))
    (tmp_path / "w.ark").write_bytes((tmp_path / "w.ark").read_bytes()[:-3])
    with pytest.raises(UserError, match=r"bytes of audio are promised, found \d+; the archive is cut short"):
        read_audio(parse(places["b"], "b"))


def test_a_changed_bit_of_flac_is_noticed(tmp_path):
    """Its frames have a CRC that libsndfile looks at; the number of samples and the whole have the MD5."""
    path = tmp_path / "a.flac"
    soundfile.write(path, wave(), 16000)
    whole = path.read_bytes()
    places = [*range(21, 42), *range(len(whole) // 2, len(whole), 211)]  # rate and count, MD5; frames
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"a\.flac: (its samples|the header promises|is not audio)"):
            read_audio(path)


@pytest.mark.parametrize(("form", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_lossy_audio_is_clipped_and_does_not_wrap(tmp_path, form, subtype):
    """A codec overshoots: of a loud tone no sample may jump to the other end of the scale."""
    tone = 0.99 * np.sign(np.sin(np.arange(16000) / 20))  # a square wave, on whose edges decoders ring
    soundfile.write(tmp_path / "a.x", tone, 16000, format=form, subtype=subtype)
    samples = read_audio(tmp_path / "a.x")[0].astype(int)
    exact, _ = soundfile.read(tmp_path / "a.x", dtype="float64")
    assert np.abs(exact).max() > 1  # it does ring
    assert np.abs(samples - np.clip(exact * 32768, -32768, 32767)).max() < 0.51


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("AIFF", "PCM_24"), ("W64", "PCM_16"), ("RF64", "PCM_16"),
        ("AU", "PCM_16"), ("SVX", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"),
        ("WAV", "MS_ADPCM"), ("CAF", "PCM_16"), ("WAVEX", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
    ],
)  # fmt: skip
def test_half_a_file_is_refused(tmp_path, form, subtype):
    soundfile.write(tmp_path / "a.x", wave(), 16000, format=form, subtype=subtype)
    whole = (tmp_path / "a.x").read_bytes()
    assert len(read_audio(tmp_path / "a.x")[0]) >= 4000
    (tmp_path / "a.x").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"a\.x: (the header promises \d+ (samples|bytes), found \d+|is not audio)"):
        read_audio(tmp_path / "a.x")


def test_the_content_and_not_the_name_tells_raw_files(tmp_path):
    for form in ("WAV", "FLAC", "AIFF", "CAF"):
        soundfile.write(tmp_path / "a.raw", wave(), 8000, format=form, subtype="PCM_16")
        samples, rate = read_audio(tmp_path / "a.raw")
        np.testing.assert_array_equal(samples, wave())
        assert rate == 8000


def test_an_empty_wav_with_a_tag_behind_is_empty(tmp_path):
    soundfile.write(tmp_path / "a.wav", wave()[:0], 16000, subtype="PCM_16")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data += b"LIST" + (400).to_bytes(4, "little") + b"INFO" * 100
    data[4:8] = (len(data) - 8).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(data)
    assert len(read_audio(tmp_path / "a.wav")[0]) == 0


def test_floats_on_an_unknown_scale_are_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", wave() * 65536.0, 16000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"a\.wav: holds floats up to \d\.\d+e\+08, where 1 or 32768 is full scale"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_U8", "FLOAT", "ULAW"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_cut_wav_counts_samples_of_one_channel(tmp_path, subtype, channels):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((1000, channels)), 8000, subtype=subtype)
    samples, rate = read_audio(Place(str(path), channel=channels))
    assert (len(samples), rate) == (1000, 8000)
    whole = path.read_bytes()
    begin = whole.index(b"data") + 8
    for left in (1, 640, 999):
        path.write_bytes(whole[: begin + left * channels * WIDTHS[subtype]])
        with pytest.raises(UserError, match=rf"the header promises 1000 samples, found {left};"):
            read_audio(Place(str(path), channel=1))


def test_the_scale_of_lossy_audio_is_known(tmp_path, capsys):
    """Its floats may be far above 1, and are clipped all the same: 16 and more would else be taken for 16 bit."""
    tone = 40 * np.sin(np.arange(16000) * 2 * np.pi * 440 / 16000)
    soundfile.write(tmp_path / "a.ogg", tone, 16000, format="OGG", subtype="VORBIS")
    assert np.abs(soundfile.read(tmp_path / "a.ogg")[0]).max() > 20
    samples, _ = read_audio(tmp_path / "a.ogg")
    assert samples.max() == 32767 and samples.min() == -32768
    assert np.mean(np.abs(samples.astype(int)) > 32000) > 0.9
    assert capsys.readouterr().out == ""
