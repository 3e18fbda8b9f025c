"""SPHERE files: every coding round trips, libsndfile and FFmpeg agree, and damage is named."""

import wave

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.data.sphere import encode_shorten, parse_header, read_sphere, write_sphere
from kdasr.errors import UserError


def speech_like(n, seed=0):
    """A loud resonance over noise: int16 (n,), which every predictor order meets somewhere."""
    rng = np.random.default_rng(seed)
    t = np.arange(n)
    tone = 8000 * np.sin(t / 7) * np.sin(t / 900)
    return (tone + rng.normal(0, 30, n)).astype(np.int16)


SIGNALS = {
    "empty": np.zeros(0, np.int16),
    "one": np.array([-5], np.int16),
    "silence": np.zeros(1000, np.int16),
    "lowest": np.full(700, -32768, np.int16),
    "square": np.resize(np.array([-32768, 32767], np.int16), 2049),
    "noise": np.random.default_rng(1).integers(-32768, 32768, 5000).astype(np.int16),
    "clicks": np.where(np.random.default_rng(2).random(4000) < 0.01, 32767, 0).astype(np.int16),
    "block": speech_like(256),
    "block+1": speech_like(257),
    "block-1": speech_like(255),
    "speech": speech_like(16001),
}


@pytest.mark.parametrize("coding", ["pcm", "shorten"])
@pytest.mark.parametrize("name", SIGNALS)
def test_lossless_round_trip(tmp_path, name, coding):
    write_sphere(tmp_path / "a.wv1", SIGNALS[name], 16000, coding, "011c0201")
    samples, rate = read_sphere(tmp_path / "a.wv1")
    assert rate == 16000 and samples.dtype == np.int16
    np.testing.assert_array_equal(samples, SIGNALS[name])


@examples(60)
@given(
    st.lists(st.tuples(st.integers(1, 700), st.integers(0, 15), st.integers(-32768, 32767)), min_size=1, max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_shorten_decodes_to_what_was_encoded(tmp_path_factory, pieces, seed):
    rng = np.random.default_rng(seed)
    parts = [rng.integers(-(2**bits), 2**bits, n) + offset for n, bits, offset in pieces]
    samples = np.concatenate(parts).clip(-32768, 32767).astype(np.int16)
    path = tmp_path_factory.mktemp("shorten") / "a.sph"
    write_sphere(path, samples, 8000, "shorten")
    decoded, rate = read_sphere(path)
    assert rate == 8000
    np.testing.assert_array_equal(decoded, samples)


def test_shorten_compresses_and_leaves_spare_bytes():
    samples = speech_like(48000)
    stream = encode_shorten(samples)
    assert stream[:5] == b"ajkg\x02"
    assert stream[-8:] == bytes(8)
    # noise of 30 rms has 7 bits a sample; the predictor that removes the tone makes it sqrt(6) louder: over 8 bits
    assert 0.5 * samples.nbytes < len(stream) < 0.6 * samples.nbytes


def test_shorten_stream_of_three_samples_by_hand():
    # a number is its Rice parameter, then itself: 5 -> ur(2,2) ur(5,2); 1 -> ur(0,2) ur(1,0); 256 -> ur(8,2) ur(256,8)
    head = "1100101" + "10001" + "001000100000000" + ("1001") * 3
    size = "0101" + "101" + "011"  # BLOCKSIZE = 5 in ur(2); 3 -> ur(1,2) ur(3,1)
    # samples 0 0 1: order 0 costs least; folded 0 0 2, mean 2/3 -> parameter 1 (energy 0): 10 10 010
    block = "100" + "1000" + "1010010"
    bits = head + size + block + "0100"  # QUIT = 4 in ur(2)
    expected = bytes(int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8))
    body = encode_shorten(np.array([0, 0, 1], np.int16))[5:]
    assert body[: len(expected)] == expected
    assert not any(body[len(expected) :])


def test_pcm_is_what_libsndfile_reads_in_both_byte_orders(tmp_path):
    samples = speech_like(3000)
    write_sphere(tmp_path / "little.sph", samples, 16000)
    data, rate = soundfile.read(tmp_path / "little.sph", dtype="int16")
    assert rate == 16000
    np.testing.assert_array_equal(data, samples)
    soundfile.write(tmp_path / "big.sph", samples, 16000, format="NIST", subtype="PCM_16", endian="BIG")
    assert parse_header((tmp_path / "big.sph").read_bytes(), "big.sph").byte_format == "10"
    np.testing.assert_array_equal(read_sphere(tmp_path / "big.sph")[0], samples)


def test_ulaw_is_libsndfiles_for_every_sample_value(tmp_path):
    every = np.arange(-32768, 32768).astype(np.int16)
    write_sphere(tmp_path / "ours.sph", every, 8000, "ulaw")
    soundfile.write(tmp_path / "theirs.wav", every, 8000, subtype="ULAW")
    expected, _ = soundfile.read(tmp_path / "theirs.wav", dtype="int16")
    ours, rate = read_sphere(tmp_path / "ours.sph")
    assert rate == 8000
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "ours.sph", dtype="int16")[0], expected)


def test_header_fields(tmp_path):
    write_sphere(tmp_path / "a.wv1", np.array([1, -2, 300], np.int16), 16000, "shorten", "011c0201")
    data = (tmp_path / "a.wv1").read_bytes()
    lines = data[:1024].decode().split("\n")
    assert lines[:3] == ["NIST_1A", "   1024", "utterance_id -s8 011c0201"]
    assert "sample_min -i -2" in lines and "sample_max -i 300" in lines
    assert "sample_checksum -i 299" in lines
    assert "sample_coding -s26 pcm,embedded-shorten-v2.00" in lines
    header = parse_header(data, "a.wv1")
    assert (header.size, header.sample_count, header.rate, header.channels) == (1024, 3, 16000, 1)


@pytest.mark.parametrize("coding", ["pcm", "ulaw", "shorten"])
def test_truncated_file_names_both_counts(tmp_path, coding):
    samples = speech_like(5000)
    write_sphere(tmp_path / "a.wv1", samples, 16000, coding)
    data = (tmp_path / "a.wv1").read_bytes()
    (tmp_path / "a.wv1").write_bytes(data[: 1024 + (len(data) - 1024) // 2])
    with pytest.raises(UserError, match=r"a\.wv1: the header promises 5000 samples, found \d+; .*truncated") as error:
        read_sphere(tmp_path / "a.wv1")
    found = int(str(error.value).split("found ")[1].split(";")[0])
    assert 2000 < found < 3000 if coding != "shorten" else 0 <= found < 4000


def test_garbage_after_a_shorten_header(tmp_path):
    write_sphere(tmp_path / "a.wv1", speech_like(5000), 16000, "shorten")
    data = bytearray((tmp_path / "a.wv1").read_bytes())
    data[1024:1040] = b"\xff" * 16
    (tmp_path / "a.wv1").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.wv1: (damaged|the header promises 5000)"):
        read_sphere(tmp_path / "a.wv1")


def change_header(path, old, new):
    data = path.read_bytes()
    head = data[:1024].replace(old, new)
    path.write_bytes(head[:1024].ljust(1024) + data[1024:])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"-s3 pcm", b"-s26 ulaw,embedded-shorten-v2.00", "'ulaw,embedded-shorten-v2.00' is not read"),
        (b"-s3 pcm", b"-s4 alaw", "'alaw' is not read"),
        (b"channel_count -i 1", b"channel_count -i 2", "2 channels, expected 1"),
        (b"sample_count -i 100", b"sample_tally -i 100", "sample_count is ''"),
        (b"sample_rate -i 16000", b"sample_rate -s4 fast", "sample_rate is 'fast'"),
        (b"NIST_1A", b"NIST_9Z", "not a SPHERE file"),
        (b"   1024", b"   many", "no length"),
        (b"end_head", b"........", "cut off"),
        (b"sample_n_bytes -i 2", b"sample_n_bytes -i 3", "expected 16 bit"),
    ],
)
def test_refused_by_name(tmp_path, old, new, message):
    path = tmp_path / "a.wv1"
    write_sphere(path, speech_like(100), 16000)
    change_header(path, old, new)
    with pytest.raises(UserError, match=r"a\.wv1") as error:
        read_sphere(path)
    assert message in str(error.value)


def test_absent_and_tiny_files(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_sphere(tmp_path / "a.wv1")
    for content in (b"", b"NIST_1A\n", b"NIST_1A\n   1024\nsample_count -i 3\n"):
        (tmp_path / "a.wv1").write_bytes(content)
        with pytest.raises(UserError, match=r"a\.wv1"):
            read_sphere(tmp_path / "a.wv1")


def test_wrong_types_are_the_programs_own_fault(tmp_path):
    with pytest.raises(ValueError, match="int16"):
        write_sphere(tmp_path / "a.sph", np.zeros(3, np.float32), 16000)
    with pytest.raises(ValueError, match="coding"):
        write_sphere(tmp_path / "a.sph", np.zeros(3, np.int16), 16000, "mp3")
    assert not list(tmp_path.iterdir())


def test_wav_is_no_sphere(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as stream:
        stream.setparams((1, 2, 16000, 0, "NONE", ""))
        stream.writeframes(b"\0\0" * 100)
    with pytest.raises(UserError, match="not a SPHERE file"):
        read_sphere(tmp_path / "a.wav")


@pytest.mark.parametrize("coding", ["pcm", "ulaw", "shorten"])
def test_a_flipped_bit_of_the_samples_is_noticed(tmp_path, coding):
    path = tmp_path / "a.sph"
    write_sphere(path, speech_like(2000), 16000, coding)
    whole = path.read_bytes()
    expected = read_sphere(path)[0]
    end = len(whole) - (8 if coding == "shorten" else 0)  # spare bytes behind the stream mean nothing
    for place in range(1024, end, 61):
        for bit in (1, 128):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            try:
                samples, _ = read_sphere(path)
            except UserError as error:
                assert "do not add up" in str(error) or "damaged" in str(error)
            else:  # the padding of the stream's last word, which no sample depends on
                assert coding == "shorten" and place > end - 8 and (samples == expected).all()


def test_the_checksum_of_the_discs_is_the_sum_of_all_samples(tmp_path):
    """Big-endian, two channels, made by hand as the standard has it; each channel is read by its number."""
    two = np.stack([speech_like(500), speech_like(500, 1)], 1)  # (500, 2)
    total = sum(int(value) for value in two.ravel()) % 65536
    head = "NIST_1A\n   1024\nchannel_count -i 2\nsample_count -i 500\nsample_rate -i 8000\nsample_n_bytes -i 2\n"
    for checksum, right in ((total, True), ((total + 1) % 65536, False)):
        text = f"{head}sample_byte_format -s2 10\nsample_coding -s3 pcm\nsample_checksum -i {checksum}\nend_head\n"
        (tmp_path / "two.sph").write_bytes(text.encode().ljust(1024) + two.astype(">i2").tobytes())
        if right:
            for channel in (1, 2):
                samples, rate = read_sphere(tmp_path / "two.sph", channel)
                np.testing.assert_array_equal(samples, two[:, channel - 1])
                assert rate == 8000
            with pytest.raises(UserError, match=r"2 channels, expected 1; name one in wav\.scp, as sph2pipe"):
                read_sphere(tmp_path / "two.sph")
            with pytest.raises(UserError, match=r"has 2 channel\(s\), and number 3"):
                read_sphere(tmp_path / "two.sph", 3)
        else:
            with pytest.raises(UserError, match=f"do not add up to the header's sample_checksum {checksum};"):
                read_sphere(tmp_path / "two.sph", 1)


@pytest.mark.parametrize("kind", ["unsigned bytes", "signed bytes", "values"])
def test_checksums_of_mulaw_of_other_programs(tmp_path, kind):
    write_sphere(tmp_path / "a.sph", speech_like(2000), 8000, "ulaw")
    data = (tmp_path / "a.sph").read_bytes()
    codes = np.frombuffer(data, np.uint8, offset=1024)
    values, _ = read_sphere(tmp_path / "a.sph")
    sums = {"unsigned bytes": codes, "signed bytes": codes.view(np.int8), "values": values}
    there = parse_header(data, "a").checksum
    found = int(sums[kind].sum(dtype=np.int64)) % 65536
    head = data[:1024].replace(f"checksum -i {there}".encode(), f"checksum -i {found}".encode()).rstrip().ljust(1024)
    (tmp_path / "a.sph").write_bytes(head + data[1024:])
    np.testing.assert_array_equal(read_sphere(tmp_path / "a.sph")[0], values)


@pytest.mark.parametrize("coding", ["pcm", "ulaw", "shorten"])
def test_a_checksum_of_zero_counts_too(tmp_path, coding):
    path = tmp_path / "a.sph"
    samples = np.array([5, -5, 300, -300] * 64, dtype=np.int16)
    if coding == "ulaw":  # 256 bytes that add up to 0 modulo 65536: 256 times 256, as there is a 128 for each other
        samples = np.zeros(65536, dtype=np.int16)
    write_sphere(path, samples, 8000, coding)
    assert b"sample_checksum -i 0\n" in path.read_bytes()[:1024]
    read_sphere(path)
    data = bytearray(path.read_bytes())
    if coding == "shorten":
        write_sphere(path, samples + np.int16(1) * (np.arange(256) == 9), 8000, coding)
        data = bytearray(path.read_bytes().replace(b"sample_checksum -i 1\n", b"sample_checksum -i 0\n"))
    else:
        data[1024 + 8] ^= 3
    path.write_bytes(data)
    with pytest.raises(UserError, match="do not add up to the header's sample_checksum 0"):
        read_sphere(path)


@pytest.mark.parametrize("values", [[3, 7, 5], [-9, -2, -4], [0], [-32768, 32767], [12], []])
def test_the_headers_figures(tmp_path, values):
    samples = np.array(values, dtype=np.int16)
    write_sphere(tmp_path / "a.sph", samples, 11025, utterance_id="u1")
    fields = dict(
        (line.split(" ", 2)[0], line.split(" ", 2)[2])
        for line in (tmp_path / "a.sph").read_bytes()[16:1024].decode().split("\n")
        if " -" in line
    )
    low, high = (min(values), max(values)) if values else (0, 0)
    assert (fields["sample_min"], fields["sample_max"]) == (str(low), str(high))
    assert (fields["sample_count"], fields["sample_rate"], fields["channel_count"]) == (str(len(values)), "11025", "1")
    assert (fields["utterance_id"], fields["sample_checksum"]) == ("u1", str(sum(values) % 65536))
    assert (fields["sample_n_bytes"], fields["sample_byte_format"], fields["sample_sig_bits"]) == ("2", "01", "16")
