"""`kdasr feats` on small corpora: values against the definition, sharing and restarting, segments, speeds, errors."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
from feats_inputs import STEP, audio, corpus, kdasr_feats, segments, snapshot

from kdasr.data import cmvn
from kdasr.data.fbank import fbank
from kdasr.data.spectrogram import spectrogram
from kdasr.data.speed import change_speed
from kdasr.data.sphere import write_sphere
from kdasr.files import read_table, write_table


@pytest.fixture
def forked(monkeypatch):
    """Worker processes begin as copies of this one, and need not import anything; real ones are begun anew."""
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _method: context)


def test_features_and_tables(data, tmp_path):
    out = tmp_path / "out"
    assert kdasr_feats(data, out) == 0
    wav = read_table(data / "wav.scp")
    matrices = dict(kaldiio.load_scp_sequential(str(out / "feats.scp")))
    assert list(matrices) == sorted(wav)
    expected = {name: fbank(soundfile.read(place, dtype="int16")[0]) for name, place in wav.items()}
    for name, matrix in matrices.items():
        assert matrix.dtype == np.float32
        assert np.abs(matrix - expected[name]).max() < STEP
    assert read_table(out / "utt2num_frames") == {name: str(len(matrix)) for name, matrix in expected.items()}
    assert read_table(out / "utt2dur")["s1-03"] == "0.51"
    assert read_table(out / "text") == read_table(data / "text")
    assert read_table(out / "utt2spk") == read_table(data / "utt2spk")
    assert read_table(out / "spk2utt") == {"s0": "s0-00 s0-02 s0-04 s0-06", "s1": "s1-01 s1-03 s1-05"}
    frames = np.concatenate(list(expected.values())).astype(np.float64)
    with np.load(out / "cmvn.npz") as stats:
        assert sorted(stats) == ["count", "sum", "sum_square"]
        assert stats["count"] == len(frames)
        np.testing.assert_allclose(stats["sum"], frames.sum(axis=0), rtol=1e-12)
        np.testing.assert_allclose(stats["sum_square"], (frames**2).sum(axis=0), rtol=1e-12)
    done = json.loads((out / "done.json").read_text())
    assert (done["utterances"], done["frames"]) == (7, len(frames))
    assert done["seconds"] == pytest.approx(sum(0.3 + 0.07 * number for number in range(7)), abs=1e-3)
    for place in read_table(out / "feats.scp").values():
        assert place.startswith(f"{out}/feats.0.ark:")


@pytest.mark.parametrize("options", [(), ("--cmvn", "speaker")])
def test_sharing_and_order_change_nothing(options, data, tmp_path, small_shards, request):
    if not options:
        request.getfixturevalue("forked")  # with the others the processes are begun as they are outside of tests
    assert kdasr_feats(data, tmp_path / "one", "--nj", 1, *options) == 0
    assert kdasr_feats(data, tmp_path / "two", "--nj", 2, *options) == 0
    for job in ("3/3", "1/3", "2/3"):
        assert kdasr_feats(data, tmp_path / "jobs", "--job", job, *options) == 0
        assert not (tmp_path / "jobs" / "feats.scp").exists()
    assert kdasr_feats(data, tmp_path / "jobs", "--merge", *options) == 0
    done, frames = (tmp_path / "one/done.json"), read_table(tmp_path / "one/utt2num_frames")
    told = json.loads(done.read_text())
    assert (told["utterances"], told["frames"]) == (7, sum(map(int, frames.values()))) and len(frames) == 7
    one = snapshot(tmp_path / "one")
    assert len([name for name in one if re.fullmatch(r"feats\.\d\.ark", name)]) == 3
    assert snapshot(tmp_path / "two") == one
    assert snapshot(tmp_path / "jobs") == one


@pytest.mark.parametrize("options", [(), ("--cmvn", "speaker")])
def test_killed_anywhere_and_rerun_gives_the_same(options, data, tmp_path, small_shards, monkeypatch):
    """Interrupted at the first rename of a file, at the second, at the third ..., each time followed by a rerun."""
    kdasr_feats(data, tmp_path / "whole", "--nj", 1, *options)
    whole, replace, left = snapshot(tmp_path / "whole"), os.replace, 0

    def failing(source, target):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        replace(source, target)

    for point in range(100):
        out, left = tmp_path / f"out{point}", point
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", failing)
            status = kdasr_feats(data, out, "--nj", 1, *options)
        assert not list(out.glob("*.tmp")) + list(out.glob(".*.tmp"))
        if status == 0:
            break
        assert status == 130 and not (out / "done.json").exists()
        assert kdasr_feats(data, out, "--nj", 1, *options) == 0
        assert snapshot(out) == whole
    # manifest, 3 shards of 4 files (twice with raw ones), 7 tables, cmvn.npz, done.json (and cmvn.ark, .sha256, .scp)
    assert point == (37 if options else 22)


def test_rerun_is_one_line_and_touches_nothing(data, tmp_path, capsys):
    out = tmp_path / "out"
    kdasr_feats(data, out)
    stamps = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    capsys.readouterr()
    assert kdasr_feats(data, out) == 0
    assert capsys.readouterr().out == f"{out}: all 7 utterances are there already\n"
    for path in read_table(data / "wav.scp").values():
        Path(path).unlink()  # once the features are made, the audio may go
    assert kdasr_feats(data, out) == 0
    assert stamps.keys() == set(out.iterdir())
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items() if path.name != ".manifest.lock")


def test_changed_text_renews_the_tables_only(data, tmp_path):
    out = tmp_path / "out"
    kdasr_feats(data, out, "--speed", "1.0,1.1")
    ark = (out / "feats.0.ark").stat().st_mtime_ns
    write_table(data / "text", {**read_table(data / "text"), "s0-00": "CORRECTED"})
    assert kdasr_feats(data, out, "--speed", "1.0,1.1") == 0
    assert read_table(out / "text")["s0-00"] == read_table(out / "text")["sp1.1-s0-00"] == "CORRECTED"
    assert (out / "feats.0.ark").stat().st_mtime_ns == ark


def test_a_moved_directory_is_put_right(data, tmp_path):
    kdasr_feats(data, tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    assert kdasr_feats(data, tmp_path / "new") == 0
    assert len(dict(kaldiio.load_scp_sequential(str(tmp_path / "new" / "feats.scp")))) == 7


def test_an_untranscribed_set_has_no_text(data, tmp_path):
    (data / "text").unlink()
    assert kdasr_feats(data, tmp_path / "out") == 0
    assert not (tmp_path / "out" / "text").exists()


def test_other_settings_are_refused(data, tmp_path, capsys):
    out = tmp_path / "out"
    kdasr_feats(data, out)
    assert kdasr_feats(data, out, "--cmvn", "speaker") == 1
    assert "normalised was 'no', now 'mean and variance by speaker'" in capsys.readouterr().err
    table = read_table(data / "wav.scp")
    soundfile.write(table["s0-00"], audio(0.9, 99), 16000, subtype="PCM_16")  # made anew at the same path
    assert kdasr_feats(data, out) == 1
    assert "audio_bytes was" in capsys.readouterr().err


def test_spectrograms(data, tmp_path):
    out = tmp_path / "out"
    assert kdasr_feats(data, out, "--type", "spectrogram") == 0
    wav = read_table(data / "wav.scp")
    expected = {name: spectrogram(soundfile.read(place, dtype="int16")[0]) for name, place in wav.items()}
    matrices = dict(kaldiio.load_scp_sequential(str(out / "feats.scp")))
    assert matrices.keys() == expected.keys() and len(matrices) == 7
    for name, matrix in matrices.items():
        assert matrix.shape == expected[name].shape and matrix.shape[1] == 161
        assert np.abs(matrix - expected[name]).max() < STEP
    assert read_table(out / "utt2num_frames") == {name: str(len(matrix)) for name, matrix in expected.items()}
    frames = np.concatenate(list(expected.values())).astype(np.float64)
    stats = cmvn.read_npz(out / "cmvn.npz")
    np.testing.assert_allclose(stats.mean, frames.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(stats.std, frames.std(axis=0), rtol=1e-5)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["features"].startswith("log power spectrogram, 161 bins, 20 ms hann window")


@pytest.mark.parametrize("options", [(), ("--cmvn", "speaker")])
def test_spectrograms_are_shared_and_normalised_alike(options, data, tmp_path, small_shards, forked):
    words = ("--type", "spectrogram", *options)
    assert kdasr_feats(data, tmp_path / "one", "--nj", 2, *words) == 0
    for job in ("2/2", "1/2"):
        assert kdasr_feats(data, tmp_path / "jobs", "--job", job, *words) == 0
    assert kdasr_feats(data, tmp_path / "jobs", "--merge", *words) == 0
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "jobs")
    stats = cmvn.read_npz(tmp_path / "one" / "cmvn.npz")
    assert (np.abs(stats.mean).max() < 1e-3) == bool(options)


def test_another_kind_in_one_directory_is_refused(data, tmp_path, capsys):
    out = tmp_path / "out"
    kdasr_feats(data, out)
    assert kdasr_feats(data, out, "--type", "spectrogram") == 1
    error = capsys.readouterr().err
    assert "features was 'log-mel filterbank, 80 bins" in error and "now 'log power spectrogram, 161 bins" in error
    assert kdasr_feats(data, out, "--bins", 40) == 1
    assert "now 'log-mel filterbank, 40 bins" in capsys.readouterr().err


def test_speaker_normalisation(data, tmp_path, small_shards, forked):
    """By all of a speaker's utterances, in whichever shard they are."""
    kdasr_feats(data, tmp_path / "plain")
    assert kdasr_feats(data, tmp_path / "out", "--cmvn", "speaker") == 0
    plain = dict(kaldiio.load_scp_sequential(str(tmp_path / "plain" / "feats.scp")))
    normal = dict(kaldiio.load_scp_sequential(str(tmp_path / "out" / "feats.scp")))
    matrices = dict(kaldiio.load_scp_sequential(str(tmp_path / "out" / "cmvn.scp")))
    assert list(matrices) == ["s0", "s1"]
    for speaker, matrix in matrices.items():
        mine = [name for name in plain if name.startswith(speaker)]
        frames = np.concatenate([plain[name] for name in mine]).astype(np.float64)
        assert matrix.shape == (2, 81) and matrix[0, -1] == len(frames)
        np.testing.assert_allclose(matrix[0, :-1], frames.sum(axis=0), rtol=1e-5)
        expected = (frames - frames.mean(axis=0)) / frames.std(axis=0)
        assert np.abs(np.concatenate([normal[name] for name in mine]) - expected).max() < 3e-3
    # cmvn.npz describes the features as they are: normalised
    stats = cmvn.read_npz(tmp_path / "out" / "cmvn.npz")
    assert np.abs(stats.mean).max() < 1e-3 and np.abs(stats.std - 1).max() < 1e-3
    assert not list((tmp_path / "out").glob("raw.*"))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["normalised"] == "mean and variance by speaker"


def test_speeds_have_kaldis_names_and_their_lengths(data, tmp_path):
    out = tmp_path / "out"
    assert kdasr_feats(data, out, "--speed", "0.9,1.0,1.1") == 0
    utt2spk, seconds = read_table(out / "utt2spk"), read_table(out / "utt2dur")
    assert len(utt2spk) == 21
    assert utt2spk["sp0.9-s1-03"] == "sp0.9-s1" and utt2spk["s1-03"] == "s1"
    assert list(utt2spk) == sorted(utt2spk)
    assert [float(seconds[name]) for name in ("sp0.9-s1-03", "s1-03", "sp1.1-s1-03")] == pytest.approx(
        [0.51 / 0.9, 0.51, 0.51 / 1.1], abs=1e-4
    )
    assert read_table(out / "text")["sp1.1-s1-03"] == "WORDS OF 3"
    assert read_table(out / "spk2utt")["sp0.9-s0"] == "sp0.9-s0-00 sp0.9-s0-02 sp0.9-s0-04 sp0.9-s0-06"


@pytest.mark.parametrize("speed", ["0.9", "1.1", "1.05", "2"])
def test_a_tone_played_faster_is_a_higher_tone(speed):
    time, factor = np.arange(16000) / 16000, Fraction(speed)
    played = change_speed((10000 * np.sin(2 * np.pi * 1000 * time)).astype(np.int16), factor)
    assert played.dtype == np.int16
    assert abs(len(played) - 16000 / factor) < 1
    expected = 10000 * np.sin(2 * np.pi * 1000 * float(factor) * np.arange(len(played)) / 16000)
    assert np.abs(played - expected)[400:-400].max() < 40  # 0.4 %


def test_speed_neither_folds_nor_wraps():
    tone = (10000 * np.sin(2 * np.pi * 7600 * np.arange(16000) / 16000)).astype(np.int16)
    folded = change_speed(tone, Fraction("1.1"))[400:-400]  # 8360 Hz does not exist at 16 kHz
    assert np.abs(folded).max() < 20
    square = np.where(np.arange(16000) // 40 % 2, 32767, -32768).astype(np.int16)
    played = change_speed(square, Fraction("0.9")).astype(int)
    assert played.max() == 32767 and played.min() == -32768  # overshoot is clipped
    assert ((np.abs(np.diff(played)) > 60000).sum()) < 20  # and does not wrap round


def test_segments(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    recording = audio(3, 5)
    soundfile.write(data / "r.flac", recording, 16000, subtype="PCM_16")
    write_table(data / "wav.scp", {"r": str(data / "r.flac")})
    write_table(data / "segments", {"u1": "r 0.5 1.25", "u2": "r 2 -1", "u3": "r 2.5 3.2"})
    write_table(data / "utt2spk", {"u1": "u1", "u2": "u2", "u3": "u3"})
    assert kdasr_feats(data, tmp_path / "out") == 0
    got = dict(kaldiio.load_scp_sequential(str(tmp_path / "out" / "feats.scp")))
    for name, piece in {"u1": recording[8000:20000], "u2": recording[32000:], "u3": recording[40000:]}.items():
        assert np.abs(got[name] - fbank(piece)).max() < STEP
    assert read_table(tmp_path / "out" / "utt2dur") == {"u1": "0.75", "u2": "1.0", "u3": "0.5"}


def test_another_rate_is_named_and_then_taken(tmp_path, capsys):
    data = corpus(tmp_path / "data", 2, 1, rate=8000)
    assert kdasr_feats(data, tmp_path / "out") == 1
    assert "sampled at 8000 Hz, expected 16000; give --rate 8000" in capsys.readouterr().err
    assert kdasr_feats(data, tmp_path / "out", "--rate", 8000) == 0
    got = dict(kaldiio.load_scp_sequential(str(tmp_path / "out" / "feats.scp")))
    assert np.abs(got["s0-01"] - fbank(audio(0.37, 1, 8000), 8000)).max() < STEP


def silent(data):
    soundfile.write(data / "s0-00.wav", audio(0.024, 0), 16000, subtype="PCM_16")


def damaged(data):
    (data / "s0-00.wav").write_bytes(b"RIFF no audio")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (damaged, (), r"utterance s0-00: .*s0-00\.wav"),
        (silent, (), r"utterance s0-00 .*0\.024 s of audio, less than one frame"),
        (lambda d: (d / "s0-00.wav").unlink(), (), r"wav\.scp: s0-00: .*cannot be opened \(No such file"),
        (lambda d: (d / "wav.scp").write_text(""), (), r"wav\.scp: is empty"),
        (lambda d: (d / "wav.scp").unlink(), (), r"wav\.scp: no such file"),
        (lambda d: (d / "text").write_text("s0-00 A\nzz B\n"), (), r"wav\.scp: zz is missing \(1 utterances"),
        (lambda d: (d / "text").write_text("s0-00 A\n"), (), r"text: s0-02 is missing \(6 utterances"),
        (lambda d: (d / "utt2spk").write_text("s0-00 s0\n"), (), r"utt2spk: s0-02 is missing"),
        (lambda d: (d / "wav.scp").write_text("a sox x -r 8k -t wav - |\n"), (), r"wav\.scp: a is a command"),
        (segments("s0-00 0.2 0.1"), (), r"segments: s0-00 goes from 0\.2 to 0\.1 s"),
        (segments("s0-00 0.1"), (), r"expected 'RECORDING START END'"),
        (segments("xx 0 1"), (), r"cut from xx, which wav\.scp lacks"),
        (segments("s0-00 0.0 9.0"), (), r"utterance s0-00: ends at 9\.0 s, .* lasts 0\.30 s"),
        (None, ("--speed", "0.9,fast"), r"--speed 0\.9,fast: expected different factors"),
        (None, ("--speed", "1,1.0"), r"expected different factors"),
        (None, ("--job", "3/2"), r"--job 3/2"),
        (None, ("--merge",), r"1 of 1 shards are missing, the first is 0"),
        (None, ("--job", "1/2", "--merge"), r"exclude each other"),
        (None, ("--nj", "0"), r"--nj 0"),
        (None, ("--type", "spectrogram", "--bins", "80"), r"--bins: counts mel bins"),
        (
            lambda d: soundfile.write(d / "s0-00.wav", audio(0.019, 0), 16000, subtype="PCM_16"),
            ("--type", "spectrogram"),
            r"utterance s0-00 .*0\.019 s of audio, less than one frame of 20 ms",
        ),
    ],
)
def test_errors_name_what_to_mend(change, options, message, data, tmp_path, capsys):
    if change:
        change(data)
    assert kdasr_feats(data, tmp_path / "out", *options) == 1
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert len(error.strip().splitlines()) == 1
    assert not list((tmp_path / "out").glob("feats*"))  # nothing half-written


def test_an_error_in_a_worker_process_is_as_readable(data, tmp_path, capsys, small_shards, forked):
    damaged(data)
    assert kdasr_feats(data, tmp_path / "out", "--nj", 2) == 1
    assert "utterance s0-00: " in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(data, tmp_path, monkeypatch, capsys):
    import kaldiio.matio

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(kaldiio.matio, "write_array", full)
        assert kdasr_feats(data, tmp_path / "out") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"manifest.json", ".manifest.lock", ".lock"}
    assert kdasr_feats(data, tmp_path / "out") == 0


def test_a_second_run_at_the_same_time_is_refused(data, tmp_path, capsys):
    from kdasr.files import only_writer

    with only_writer(tmp_path / "out"):
        assert kdasr_feats(data, tmp_path / "out") == 1
    assert "another run is writing here" in capsys.readouterr().err


@pytest.mark.kill
def test_kill_9_ends_the_workers_and_a_rerun_goes_on(tmp_path):
    """The processes of a run die with it, however it dies, and what they wrote is whole."""
    data = corpus(tmp_path / "data", 4, 2)
    place = tmp_path / "long.wav"
    soundfile.write(place, audio(60, 1), 16000, subtype="PCM_16")
    names = [f"s0-{number:04}" for number in range(1200)]
    write_table(data / "wav.scp", dict.fromkeys(names, str(place)))
    write_table(data / "utt2spk", dict.fromkeys(names, "s0"))
    (data / "text").unlink()
    words = [
        sys.executable,
        "-m",
        "kdasr.cli",
        "feats",
        "--data",
        str(data),
        "--out",
        str(tmp_path / "out"),
        "--nj",
        "2",
    ]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while not list((tmp_path / "out").glob(".feats.*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    while any(_alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_alive(child) for child in children)
    assert not (tmp_path / "out" / "done.json").exists()


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("options", [(), ("--cmvn", "speaker")])
def test_short_clips_are_counted_and_left_out(options, data, tmp_path, small_shards, capsys):
    """As if they had never been there; one of them has no frame, another is a speaker's only one."""
    assert kdasr_feats(data, tmp_path / "without", "--nj", 1, *options) == 0
    short = {"s0-05": 300, "s0-07": 1000, "s2-00": 399}  # samples
    for name, samples in short.items():
        soundfile.write(data / f"{name}.wav", audio(samples / 16000, 1), 16000, subtype="PCM_16")
    for table, row in (("wav.scp", f"{data}/{{}}.wav"), ("text", "SHORT"), ("utt2spk", "{}")):
        rows = {name: row.format(name if table == "wav.scp" else name[:2]) for name in short}
        write_table(data / table, read_table(data / table) | rows)
    capsys.readouterr()
    assert kdasr_feats(data, tmp_path / "refused", "--nj", 1, *options) == 1
    assert (
        "s of audio, less than one frame of 25 ms; leave out all that are too short (--min_duration 0.1)"
        in capsys.readouterr().err
    )
    out = tmp_path / "out"
    assert kdasr_feats(data, out, "--min_duration", 0.1, "--nj", 1, *options) == 0
    said = capsys.readouterr().out
    assert f"{out}: 7 utterances, " in said
    assert said.splitlines()[-1] == f"{out}: left out 3 utterances that are too short, the first is s0-05"
    for table in ("text", "utt2spk", "spk2utt", "utt2num_frames", "utt2dur"):
        assert (out / table).read_bytes() == (tmp_path / "without" / table).read_bytes()
    found, expected = (cmvn.read_npz(tmp_path / name / "cmvn.npz") for name in ("out", "without"))
    assert found.count == expected.count  # the sums are added up in other shards
    np.testing.assert_allclose(found.sum, expected.sum, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(found.sum_square, expected.sum_square, rtol=1e-9)
    mine, theirs = (read_table(tmp_path / name / "feats.scp") for name in ("out", "without"))
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(kaldiio.load_mat(mine[name]), kaldiio.load_mat(theirs[name]))
    # 1000 samples have four frames: short by the option alone
    assert kdasr_feats(data, tmp_path / "zero", "--min_duration", 0, "--nj", 1, *options) == 0
    assert "s0-07" in read_table(tmp_path / "zero" / "feats.scp") and "left out 2" in capsys.readouterr().out
    assert kdasr_feats(data, tmp_path / "none", "--min_duration", 9, "--nj", 1, *options) == 1
    assert "all 10 utterances are too short; give a smaller --min_duration" in capsys.readouterr().err
    assert kdasr_feats(data, out, "--min_duration", 0.2, "--nj", 1, *options) == 1  # settings are part of the manifest
    assert "min_duration was 0.1, now 0.2" in capsys.readouterr().err


def test_a_speaker_of_one_frame_becomes_zero_and_spoils_nobody(data, tmp_path):
    assert kdasr_feats(data, tmp_path / "without", "--cmvn", "speaker") == 0
    soundfile.write(data / "s9-0.wav", audio(480 / 16000, 5), 16000, subtype="PCM_16")
    soundfile.write(data / "s8-0.wav", np.zeros(8000, np.int16), 16000, subtype="PCM_16")  # features that never change
    for table, rows in (
        ("wav.scp", {name: f"{data}/{name}.wav" for name in ("s8-0", "s9-0")}),
        ("text", {"s8-0": "A", "s9-0": "A"}),
        ("utt2spk", {"s8-0": "s8", "s9-0": "s9"}),
    ):
        write_table(data / table, read_table(data / table) | rows)
    assert kdasr_feats(data, tmp_path / "out", "--cmvn", "speaker") == 0
    places = read_table(tmp_path / "out" / "feats.scp")
    for name, place in read_table(tmp_path / "without" / "feats.scp").items():
        np.testing.assert_array_equal(kaldiio.load_mat(places[name]), kaldiio.load_mat(place))
    for name in ("s8-0", "s9-0"):
        assert np.abs(kaldiio.load_mat(places[name])).max() == 0
    stats = cmvn.read_npz(tmp_path / "out" / "cmvn.npz")
    assert np.abs(stats.mean).max() < 1e-3 and stats.std.max() <= 1.001 and stats.std.min() > 0.8


def test_decoding_commands_give_the_files_features(data, tmp_path):
    """flac, sph2pipe, sox and cat lines of Kaldi's recipes, and audio in an archive, without running anything."""
    assert kdasr_feats(data, tmp_path / "plain") == 0
    wav = read_table(data / "wav.scp")
    names = list(wav)
    samples = {name: soundfile.read(place, dtype="int16")[0] for name, place in wav.items()}
    soundfile.write(data / "a.flac", samples[names[0]], 16000)
    write_sphere(data / "b.sph", samples[names[1]], 16000, "shorten")
    both = np.stack([samples[names[2]][::-1], samples[names[2]]], 1)
    soundfile.write(data / "two.wav", both, 16000, subtype="PCM_16")
    kaldiio.save_ark(str(data / "d.ark"), {names[3]: (16000, samples[names[3]])}, scp=str(data / "d.scp"))
    soundfile.write(data / "e f.wav", samples[names[4]], 16000, subtype="DOUBLE")
    entries = [
        f"flac -c -d -s {data}/a.flac |",
        f"/opt/sph2pipe -f wav -p -c 1 {data}/b.sph |",
        f"sox {data}/two.wav -t wav - remix 2 |",
        read_table(data / "d.scp")[names[3]],
        f"cat '{data}/e f.wav' |",
    ]
    write_table(data / "wav.scp", wav | dict(zip(names, entries, strict=False)))
    assert kdasr_feats(data, tmp_path / "out") == 0
    places = read_table(tmp_path / "out" / "feats.scp")
    for name, place in read_table(tmp_path / "plain" / "feats.scp").items():
        np.testing.assert_array_equal(kaldiio.load_mat(places[name]), kaldiio.load_mat(place))


def test_archives_have_the_checksum_that_sha256sum_takes(data, tmp_path, small_shards):
    assert kdasr_feats(data, tmp_path / "out", "--nj", 1, "--cmvn", "speaker") == 0
    sums = sorted((tmp_path / "out").glob("*.sha256"))
    assert [path.name for path in sums] == ["cmvn.sha256", *(f"feats.{shard}.sha256" for shard in range(3))]
    checked = subprocess.run(["sha256sum", "-c", *(path.name for path in sums)], cwd=tmp_path / "out", check=False)
    assert checked.returncode == 0
