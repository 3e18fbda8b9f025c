"""Each rule of validate_data_dir, broken once."""

import pytest

from kdasr.data import kaldi_dir
from kdasr.data.kaldi_check import validate
from kdasr.errors import UserError

GOOD = {
    "utt2spk": "a-1 a\na-2 a\nb-1 b\n",
    "spk2utt": "a a-1 a-2\nb b-1\n",
    "text": "a-1 ONE TWO\na-2 THREE\nb-1 caf\xe9\n",
    "wav.scp": "a-1 /x/1.wav\na-2 /x/2.wav\nb-1 /x/3.wav\n",
    "feats.scp": "a-1 /f.ark:1\na-2 /f.ark:2\nb-1 /f.ark:3\n",
    "utt2num_frames": "a-1 10\na-2 20\nb-1 30\n",
    "utt2dur": "a-1 0.1\na-2 0.2\nb-1 3\n",
    "spk2gender": "a m\nb f\n",
    "cmvn.scp": "a /c.ark:1\nb /c.ark:2\n",
}
SEGMENTS = {
    **GOOD,
    "segments": "a-1 r1 0 1.5\na-2 r1 1.5 2\nb-1 r2 0.0 9\n",
    "wav.scp": "r1 /x/1.wav\nr2 /x/2.wav\n",
    "reco2file_and_channel": "r1 one A\nr2 two B\n",
    "reco2dur": "r1 2.0\nr2 9\n",
}


def write(directory, files):
    directory.mkdir()
    for name, text in files.items():
        if text is not None:
            (directory / name).write_text(text, newline="")
    return directory


@pytest.mark.parametrize("files", [GOOD, SEGMENTS])
def test_good_directories(tmp_path, files):
    assert validate(write(tmp_path / "d", files)) == []


def test_one_speaker_is_a_warning(tmp_path):
    kaldi_dir.put_dir(tmp_path / "d", {"utt2spk": {"a-1": "a"}})
    assert validate(tmp_path / "d", feats=False, text=False, wav=False) == [
        f"{tmp_path}/d: has one speaker only; per-speaker statistics and splits will be of no use"
    ]


@pytest.mark.parametrize(("name", "option"), [("feats.scp", "feats"), ("text", "text"), ("wav.scp", "wav")])
def test_what_may_be_absent(tmp_path, name, option):
    directory = write(tmp_path / "d", {**GOOD, name: None})
    with pytest.raises(UserError, match=rf"{name}: no such file; .* --no-{option}"):
        validate(directory)
    validate(directory, **{option: False})


def test_speaker_order(tmp_path):
    files = {"utt2spk": "1-a a\n2-b b\n3-a a\n", "spk2utt": "a 1-a 3-a\nb 2-b\n"}
    directory = write(tmp_path / "d", files)
    with pytest.raises(UserError, match="not in the speakers' order from 2-b on"):
        validate(directory, feats=False, text=False, wav=False)
    validate(directory, feats=False, text=False, wav=False, spk_sort=False)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("utt2spk", None, "utt2spk: no such file"),
        ("utt2spk", "", "utt2spk: is empty"),
        ("utt2spk", "a-1 a x\na-2 a\nb-1 b\n", "a-1 has 'a x', expected one speaker"),
        ("utt2spk", "a-1 a\nb-1 b\na-2 a\n", "utt2spk:3: a-2 is not in sorted order"),
        ("utt2spk", "a-1 a\na-1 a\nb-1 b\n", "utt2spk:2: a-1 stands here a second time"),
        ("utt2spk", "a-1 a\na-2 a\nb-1 b", "utt2spk:3: the last line has no end"),
        ("utt2spk", "a-1 a\r\na-2 a\r\nb-1 b\r\n", "utt2spk:1: has a DOS line end"),
        ("utt2spk", "a-1 a\na-2\nb-1 b\n", "utt2spk:2: expected 'KEY VALUE'"),
        ("spk2utt", "a a-1\nb a-2 b-1\n", "spk2utt: does not match utt2spk"),
        ("spk2utt", "a a-1 a-2 a-2\nb b-1\n", "spk2utt: does not match utt2spk"),
        ("text", "a-1 ONE\nb-1 X\n", r"text: lacks 1 of 3 ids \(first: a-2\); run utils/fix_data_dir.py"),
        ("text", "a-1 ONE\na-2 X\na-3 X\nb-1 X\n", r"text: has 1 that others lack \(first: a-3\)"),
        ("text", "a-1 ONE\na-2\nb-1 X\n", "text: a-2 has no words"),
        ("text", "a-1 <s> ONE\na-2 X\nb-1 X\n", "text: a-1 has the illegal word <s>"),
        ("text", "a-1 ONE #0\na-2 X\nb-1 X\n", "text: a-1 has the illegal word #0"),
        ("text", "a-1 ONE\na-2 X\x07\nb-1 X\n", r"text: a-2 has the unprintable character '\\x07'"),
        ("text", "a-1 ONE\na-2 X\u00a0Y\nb-1 X\n", r"text: a-2 has the unprintable character '\\xa0'"),
        ("wav.scp", "a-1 ~/1.wav\na-2 /2.wav\nb-1 /3.wav\n", "wav.scp: a-1 has a path with '~'"),
        ("wav.scp", "a-1 /1.wav\na-2 /2.wav\n", r"wav.scp: lacks 1 of 3 ids \(first: b-1\)"),
        ("feats.scp", "a-1 f:1\na-2 f:2\n", "feats.scp: lacks 1 of 3"),
        ("utt2num_frames", "a-1 10\na-2 2.5\nb-1 3\n", "utt2num_frames: a-2 has '2.5', expected a whole number"),
        ("utt2num_frames", "a-1 10\na-2 0\nb-1 3\n", "utt2num_frames: a-2 has '0'"),
        ("utt2dur", "a-1 1\na-2 -1\nb-1 3\n", "utt2dur: a-2 has '-1', expected seconds above 0"),
        ("utt2dur", "a-1 1\na-2 nan\nb-1 3\n", "utt2dur: a-2 has 'nan'"),
        ("spk2gender", "a m\nb w\n", "spk2gender: b has 'w', expected m or f"),
        ("spk2gender", "a m\n", r"spk2gender: lacks 1 of 2 ids \(first: b\)"),
        ("cmvn.scp", "a c:1\nb c:2\nc c:3\n", "cmvn.scp: has 1 that others lack"),
        ("segments", "a-1 r 0 1\na-2 r 1 2\nb-1 r 2 3\n", r"wav.scp: lacks 1 of 1 ids \(first: r\)"),
    ],
)
def test_broken_rules(tmp_path, name, text, message):
    directory = write(tmp_path / "d", {**GOOD, name: text})
    with pytest.raises(UserError, match=message):
        validate(directory)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("segments", "a-1 r1 0 1.5\na-2 r1 2 2\nb-1 r2 0.0 9\n", "segments: a-2 has 'r1 2 2', expected"),
        ("segments", "a-1 r1 0\na-2 r1 1 2\nb-1 r2 0.0 9\n", "segments: a-1 has 'r1 0', expected"),
        ("segments", "a-1 r1 0 1.5\nb-1 r2 0.0 9\n", "segments: lacks 1 of 3 ids"),
        ("wav.scp", None, "has segments but no wav.scp"),
        ("wav.scp", "r1 /x/1.wav\n", r"wav.scp: lacks 1 of 2 ids \(first: r2\)"),
        ("reco2file_and_channel", "r1 one A\nr2 two 1\n", "reco2file_and_channel: r2 has 'two 1'"),
        ("reco2dur", "r1 2.0\nr2 zero\n", "reco2dur: r2 has 'zero'"),
    ],
)
def test_broken_segments(tmp_path, name, text, message):
    directory = write(tmp_path / "d", {**SEGMENTS, name: text})
    with pytest.raises(UserError, match=message):
        validate(directory)


def test_no_such_directory(tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        validate(tmp_path / "d")
