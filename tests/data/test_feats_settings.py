"""`kdasr feats`: what is counted at the rate of the audio, and what becomes of other settings and inputs."""

import argparse
import json
import re
from fractions import Fraction

import kaldiio
import numpy as np
import pytest
import soundfile
from feats_inputs import STEP, audio, corpus, kdasr_feats, segments, snapshot

from kdasr.bin import feats as command
from kdasr.data import cmvn, feats
from kdasr.data.fbank import fbank
from kdasr.data.places import Place
from kdasr.data.spectrogram import spectrogram
from kdasr.data.speed import change_speed
from kdasr.data.utterances import Utterance
from kdasr.errors import UserError
from kdasr.files import read_table, write_table


@pytest.mark.parametrize("kind", ["fbank", "spectrogram"])
@pytest.mark.parametrize("rate", [8000, 11025, 16000])
def test_all_is_counted_at_the_rate_of_the_audio(rate, kind, tmp_path, capsys):
    """Segments that begin and end between samples, durations, what is too short, and what is said of it."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    recording = audio(2, 5, rate)
    soundfile.write(data / "r.wav", recording, rate, subtype="PCM_16")
    write_table(data / "wav.scp", {"r": str(data / "r.wav")})
    places = [1000.4, 5000.6, 7000.4, 9000.6]  # in samples
    spans = {"u1": places[:2], "u2": places[2:], "u3": (places[0], places[0] + 0.1 * rate - 1), "u4": (0, 0.1 * rate)}
    rows = {name: f"r {start / rate:.9f} {end / rate:.9f}" for name, (start, end) in spans.items()}
    write_table(data / "segments", rows | {"u5": "r 1.5 -1"})
    write_table(data / "utt2spk", {name: name for name in (*spans, "u5")})
    words = ("--rate", rate, "--type", kind, "--min_duration", 0.1)
    assert kdasr_feats(data, out, *words) == 0
    pieces = {name: recording[round(start) : round(end)] for name, (start, end) in spans.items() if name != "u3"}
    pieces["u5"] = recording[round(1.5 * rate) :]
    short = [name for name, piece in pieces.items() if len(piece) < 0.1 * rate]  # 1102 samples at 11025 Hz
    assert short == (["u4"] if rate == 11025 else [])
    pieces = {name: piece for name, piece in pieces.items() if name not in short}
    got = dict(kaldiio.load_scp_sequential(str(out / "feats.scp")))
    assert got.keys() == pieces.keys()
    made = {name: {"fbank": fbank, "spectrogram": spectrogram}[kind](piece, rate) for name, piece in pieces.items()}
    for name, matrix in made.items():
        assert got[name].shape == matrix.shape and np.abs(got[name] - matrix).max() < STEP
    durations = {name: len(piece) / rate for name, piece in pieces.items()}
    assert {name: float(value) for name, value in read_table(out / "utt2dur").items()} == pytest.approx(
        durations, abs=1e-6
    )
    done, manifest = (json.loads((out / name).read_text()) for name in ("done.json", "manifest.json"))
    assert done["seconds"] == pytest.approx(sum(durations.values()), abs=1e-3)
    assert done["left_out"] == 5 - len(pieces)
    assert manifest["rate"] == rate
    bins = next(iter(made.values())).shape[1]
    assert f", {bins} bins, " in manifest["features"]


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_hours_that_are_counted_are_those_of_the_audio(rate, tmp_path):
    """Of making features, of normalising them, and of the progress of both."""
    data, told = corpus(tmp_path / "data", 3, 2, rate), []
    (tmp_path / "out").mkdir()
    (rows,) = feats.cut(feats.plan(data, feats.parse_speeds("1.0")), 9)
    hours = sum(len(audio(0.3 + 0.07 * n, n, rate)) for n in range(3)) / rate / 3600
    front = feats.front_end("fbank", 23)
    words = (tmp_path / "out", "raw", rate, front, True, None, 0, rows)
    assert feats.make_shard(*words, progress=told.append) == pytest.approx(hours, rel=1e-9)
    assert sum(told) == pytest.approx(hours, rel=1e-9) and len(told) == 3
    groups = feats._read_npz(tmp_path / "out", "raw", 0)[2]
    cmvn.write_kaldi(tmp_path / "out" / "cmvn.ark", tmp_path / "out" / "cmvn.scp", groups)
    told.clear()
    done = feats.normalise_shard(tmp_path / "out", rate, 0, rows, progress=told.append)
    assert done == pytest.approx(hours, rel=1e-9)
    assert sum(told) == pytest.approx(hours, rel=1e-9) and len(told) == 3


@pytest.mark.parametrize("rate", [8000, 11025, 16000])
def test_a_segment_may_end_half_a_second_late_and_begins_in_its_recording(rate):
    samples = audio(1, 0, rate)

    def piece(first, last):
        row = Utterance("u", "s", Place("r.wav"), (first / rate, last / rate), Fraction(1), "u")
        return feats.compute(row, lambda *_: (samples, rate), rate, feats.front_end("fbank", 23), 0)

    late = rate + rate // 2
    for first, last in ((0, rate), (rate - 1, rate), (rate // 2, late)):
        matrix, length = piece(first, last)
        assert length == rate - first
        np.testing.assert_array_equal(matrix, fbank(samples[first:], rate, 23))
    for first, last in ((0, late + 1), (rate, rate + 1), (rate, late)):
        with pytest.raises(UserError, match=r"utterance u: ends at .* s, r\.wav lasts 1\.00 s; correct its segment"):
            piece(first, last)


def other_audio(data):
    soundfile.write(data / "s0-00.wav", audio(0.9, 99), 16000, subtype="PCM_16")


def other_wav(data):
    (data / "copy.wav").write_bytes((data / "s0-00.wav").read_bytes())
    write_table(data / "wav.scp", {**read_table(data / "wav.scp"), "s0-00": str(data / "copy.wav")})


def other_speaker(data):
    write_table(data / "utt2spk", {**read_table(data / "utt2spk"), "s0-00": "s0x"})


def fewer(data):
    for name in ("wav.scp", "text", "utt2spk"):
        write_table(data / name, {key: row for key, row in read_table(data / name).items() if key != "s1-01"})


# what `kdasr feats` is told, and another value of it; None: it changes nothing
OPTIONS = {
    "data": fewer, "out": None, "nj": None, "job": None, "merge": None, "speed": "1.0,1.1", "cmvn": "speaker",
    "rate": 8000, "type": "spectrogram", "bins": 40, "min_duration": 0, "resample": True, "channel": 1,
}  # fmt: skip


def refused(data, out, capsys, said, *words):
    before = snapshot(out)
    assert kdasr_feats(data, out, *words) == 1
    error = capsys.readouterr().err
    assert "made with other settings" in error and re.search(rf"\b{said} was ", error), error
    assert snapshot(out) == before


def test_every_option_is_in_the_manifest(tmp_path, capsys):
    """Or it changes nothing: another value of it is refused, also before all is done."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert {action.dest for action in parser._actions} - {"help"} == OPTIONS.keys()
    data, out = corpus(tmp_path / "data", 3, 2), tmp_path / "out"
    assert kdasr_feats(data, out) == 0
    named = {"data": "wav_scp", "cmvn": "normalised", "type": "features", "bins": "features"}
    for done in (True, False):
        if not done:
            (out / "done.json").unlink()
        for name, value in OPTIONS.items():
            if value is not None and not callable(value):
                refused(data, out, capsys, named.get(name, name), f"--{name}", *(() if value is True else (value,)))
    fewer(data)
    refused(data, out, capsys, "wav_scp")


@pytest.mark.parametrize(
    ("change", "said", "options"),
    [
        (other_audio, "audio_bytes", ()),
        (other_wav, "wav_scp", ()),
        (segments("s0-00 0.01 0.2"), "segments", ()),
        (other_speaker, "utt2spk", ("--cmvn", "speaker")),
        (lambda _: None, "min_duration", ("--min_duration", 0.1)),
    ],
)
def test_every_input_is_in_the_manifest(change, said, options, tmp_path, capsys):
    data, out = corpus(tmp_path / "data", 3, 2), tmp_path / "out"
    assert kdasr_feats(data, out, *options) == 0
    change(data)
    refused(data, out, capsys, said, *(() if said == "min_duration" else options))
    (out / "done.json").unlink()
    refused(data, out, capsys, said, *(() if said == "min_duration" else options))


@pytest.mark.parametrize(("name", "value"), [("SHARD_SIZE", 2), ("COMPRESSION", 2)])
def test_what_is_fixed_is_in_the_manifest_too(name, value, tmp_path, capsys, monkeypatch):
    """A later version may have another value."""
    data, out = corpus(tmp_path / "data", 3, 2), tmp_path / "out"
    assert kdasr_feats(data, out) == 0
    monkeypatch.setattr(feats, name, value)
    refused(data, out, capsys, name.lower())


def test_other_segments_are_refused(tmp_path, capsys):
    data, out = corpus(tmp_path / "data", 3, 2), tmp_path / "out"
    segments("s0-00 0.0 0.2")(data)
    assert kdasr_feats(data, out) == 0
    segments("s0-00 0.01 0.2")(data)
    refused(data, out, capsys, "segments")
    (data / "segments").unlink()
    refused(data, out, capsys, "segments")


def test_other_speakers_renew_the_tables_where_nothing_is_normalised_by_them(tmp_path):
    data, out = corpus(tmp_path / "data", 3, 2), tmp_path / "out"
    assert kdasr_feats(data, out) == 0
    ark = (out / "feats.0.ark").stat().st_mtime_ns
    other_speaker(data)
    assert kdasr_feats(data, out) == 0
    assert read_table(out / "utt2spk")["s0-00"] == "s0x" and read_table(out / "spk2utt")["s0x"] == "s0-00"
    (data / "text").unlink()
    assert kdasr_feats(data, out) == 0
    assert not (out / "text").exists()
    assert (out / "feats.0.ark").stat().st_mtime_ns == ark


def test_whatever_is_lost_is_made_again(tmp_path, small_shards):
    data, out = corpus(tmp_path / "data", 4, 2), tmp_path / "out"
    assert kdasr_feats(data, out, "--nj", 1) == 0
    whole = snapshot(out)
    names = [name for name in whole if not name.endswith(".sha256")]  # which is for who reads, and may be absent
    assert len(names) == 1 + 2 * 3 + 7 + 2
    for name in names:
        (out / name).unlink()
        assert kdasr_feats(data, out, "--nj", 1) == 0
        assert snapshot(out) == whole, name


def test_an_archive_that_was_changed_before_it_is_normalised_is_refused(data, tmp_path, small_shards, capsys):
    """Between two runs, the first of which was ended while it normalised."""
    out, words = tmp_path / "out", ("--nj", 1, "--cmvn", "speaker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feats, "normalise_shard", interrupted)
        assert kdasr_feats(data, out, *words) == 130
    right = (out / "raw.1.ark").read_bytes()
    (out / "raw.1.ark").write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    assert kdasr_feats(data, out, *words) == 1
    error = capsys.readouterr().err
    assert f"raw.1.ark: was changed after it was written (its sha256 is another); remove {out}" in error
    assert not (out / "done.json").exists()
    (out / "raw.1.ark").write_bytes(right)
    assert kdasr_feats(data, out, *words) == 0


def interrupted(*_args, **_options):
    raise KeyboardInterrupt


@pytest.mark.parametrize("rate", [8000, 16000])
def test_segments_are_cut_and_then_played_faster(rate, tmp_path):
    """Their times are the recording's; what is too short is so as it is played."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    recording = audio(2, 5, rate)
    soundfile.write(data / "r.wav", recording, rate, subtype="PCM_16")
    write_table(data / "wav.scp", {"r": str(data / "r.wav")})
    write_table(data / "segments", {"u1": "r 0.5 1.25", "u2": "r 1.6 -1", "u3": "r 0.3 0.415", "u4": "r 1 1.095"})
    write_table(data / "utt2spk", {name: "s" for name in ("u1", "u2", "u3", "u4")})
    words = ("--rate", rate, "--speed", "0.9,1.0,1.25", "--min_duration", 0.1)
    assert kdasr_feats(data, out, *words) == 0
    spans = {"u1": (0.5, 1.25), "u2": (1.6, 2), "u3": (0.3, 0.415), "u4": (1, 1.095)}
    expected = {}
    for prefix, speed in (("sp0.9-", Fraction("0.9")), ("", Fraction(1)), ("sp1.25-", Fraction("1.25"))):
        for name, (start, end) in spans.items():
            piece = change_speed(recording[round(start * rate) : round(end * rate)], speed)
            assert abs(len(piece) / rate - (end - start) / speed) < 2 / rate
            if len(piece) >= 0.1 * rate:
                expected[prefix + name] = piece
    assert expected.keys() == {"sp0.9-u4", *(f"{p}u{n}" for p in ("", "sp0.9-", "sp1.25-") for n in (1, 2, 3))} - {
        "sp1.25-u3"
    }
    got = dict(kaldiio.load_scp_sequential(str(out / "feats.scp")))
    assert got.keys() == expected.keys()
    for name, piece in expected.items():
        assert np.abs(got[name] - fbank(piece, rate)).max() < STEP
        assert float(read_table(out / "utt2dur")[name]) == pytest.approx(len(piece) / rate, abs=1e-6)
    done = json.loads((out / "done.json").read_text())
    assert (done["utterances"], done["left_out"], done["first_left_out"]) == (9 + 1 - 1, 3, "sp1.25-u3")
    assert done["frames"] == sum(map(len, got.values()))
