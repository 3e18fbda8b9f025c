"""Each rule of validate_data_dir, broken once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.data import kaldi_dir
from kdasr.data.kaldi_check import odd_character, validate
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


def test_speaker_ids_of_several_lengths(tmp_path):
    files = {"utt2spk": "13_1 13\n1_2 1\n1_4 1\n", "spk2utt": "1 1_2 1_4\n13 13_1\n"}
    with pytest.raises(
        UserError, match=r"from 13_1 on; speaker ids of several lengths .* one length, or .* '-' behind"
    ):
        validate(write(tmp_path / "d", files), feats=False, text=False, wav=False)
    # both remedies do
    for name, first, second in (("length", "01_2", "13_1"), ("hyphen", "1-2", "13-1")):
        one, other = first[:-2], second[:-2]
        files = {"utt2spk": f"{first} {one}\n{second} {other}\n", "spk2utt": f"{one} {first}\n{other} {second}\n"}
        assert validate(write(tmp_path / name, files), feats=False, text=False, wav=False) == []


def test_an_id_without_its_speaker_is_named(tmp_path):
    files = {"utt2spk": "1-a a\n2-b b\n3-a a\n", "spk2utt": "a 1-a 3-a\nb 2-b\n"}
    with pytest.raises(UserError, match="let each utterance id begin with its speaker's id, as 1-a does not with a"):
        validate(write(tmp_path / "d", files), feats=False, text=False, wav=False)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("utt2spk", None, "utt2spk: no such file"),
        ("utt2spk", "", "utt2spk: is empty"),
        ("utt2spk", "a-1 a x\na-2 a\nb-1 b\n", "a-1 has 'a x', expected one speaker"),
        ("utt2spk", "a-1 a\nb-1 b\na-2 a\n", "utt2spk:3: a-2 is not in sorted order"),
        ("utt2spk", "a-1 a\na-1 a\nb-1 b\n", "utt2spk:2: a-1 is here a second time"),
        ("utt2spk", "a-1 a\na-2 a\nb-1 b", "utt2spk:3: the last line has no end"),
        ("utt2spk", "a-1 a\r\na-2 a\r\nb-1 b\r\n", "utt2spk:1: has a DOS line end .*; run utils/fix_data_dir.py"),
        ("text", "a-1 A\na-2 B\rC\nb-1 D\n", "text:2: has a DOS line end .*; run utils/fix_data_dir.py"),
        ("text", "\ufeffa-1 A\na-2 B\nb-1 D\n", "text:1: begins with a byte-order mark, .*; run utils/fix_data_dir.py"),
        ("wav.scp", "\ufeffa-1 /1\na-2 /2\nb-1 /3\n", "wav.scp:1: begins with a byte-order mark"),
        ("feats.scp", "a-1 f:1\r\na-2 f:2\r\nb-1 f:3\r\n", "feats.scp:1: has a DOS line end"),
        ("utt2spk", "a-1 a\na-2\nb-1 b\n", "utt2spk:2: expected 'KEY VALUE'"),
        ("spk2utt", "a a-1\nb a-2 b-1\n", "spk2utt: does not match utt2spk"),
        ("spk2utt", "a a-1 a-2 a-2\nb b-1\n", "spk2utt: does not match utt2spk"),
        ("text", "a-1 ONE\nb-1 X\n", r"text: lacks 1 of 3 ids \(first: a-2\); run utils/fix_data_dir.py"),
        ("text", "a-1 ONE\na-2 X\na-3 X\nb-1 X\n", r"text: has 1 that others lack \(first: a-3\)"),
        ("text", "a-1 ONE\na-2\nb-1 X\n", "text: a-2 has no words"),
        ("text", "a-1 <s> ONE\na-2 X\nb-1 X\n", "text: a-1 has the illegal word <s>"),
        ("text", "a-1 ONE #0\na-2 X\nb-1 X\n", "text: a-1 has the illegal word #0"),
        ("text", "a-1 ONE\na-2 X\x07\nb-1 X\n", r"text: a-2 has the character '\\x07', which no word"),
        ("text", "a-1 ONE\na-2 X\u00a0Y\nb-1 X\n", r"text: a-2 has the character '\\xa0', which no word"),
        ("text", "a-1 ONE\na-2 \u3000X\nb-1 X\n", r"text: a-2 has the character '\\u3000'"),
        ("text", "a-1 ONE\na-2\tX <s>\nb-1 X\n", "text: a-2 has the illegal word <s>"),
        (
            "wav.scp",
            "a-1 ~/1.wav\na-2 /2.wav\nb-1 /3.wav\n",
            rf"wav.scp: a-1 has a path with '~', .*; write it out: {Path.home()}/1.wav",
        ),
        ("wav.scp", "a-1 ~nobody-here/1.wav\na-2 /2\nb-1 /3\n", "which is not expanded here; write it out$"),
        ("feats.scp", "a-1 f:1\na-2 ~/f.ark:2\nb-1 f:3\n", rf"feats.scp: a-2 has .*out: {Path.home()}/f.ark:2"),
        ("cmvn.scp", "a c:1\nb ~/c:2\n", rf"cmvn.scp: b has a path with '~', .*: {Path.home()}/c:2"),
        ("wav.scp", "a-1 /1.wav\na-2 /2.wav\n", r"wav.scp: lacks 1 of 3 ids \(first: b-1\)"),
        ("feats.scp", "a-1 f:1\na-2 f:2\n", "feats.scp: lacks 1 of 3"),
        ("utt2num_frames", "a-1 10\na-2 2.5\nb-1 3\n", "utt2num_frames: a-2 has '2.5', expected a whole number"),
        ("utt2num_frames", "a-1 10\na-2 0\nb-1 3\n", "utt2num_frames: a-2 has '0'"),
        ("utt2num_frames", "a-1 10\na-2 \u00b2\nb-1 3\n", "utt2num_frames: a-2 has '\u00b2'"),
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
        (
            "segments",
            "a-1 r1 0 1.5\na-2 r1 2 -2\nb-1 r2 0.0 9\n",
            "segments: a-2 has 'r1 2 -2', expected .* END -1 for",
        ),
        ("segments", "a-1 r1 -1 -1\na-2 r1 2 3\nb-1 r2 0.0 9\n", "segments: a-1 has 'r1 -1 -1', expected"),
        ("segments", "a-1 r1 0 inf\na-2 r1 2 3\nb-1 r2 0.0 9\n", "segments: a-1 has 'r1 0 inf', expected"),
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


def test_a_segment_to_the_end_of_its_recording(tmp_path):
    files = {**SEGMENTS, "segments": "a-1 r1 0 1.5\na-2\tr1  1.5 -1\nb-1 r2 0 -1\n"}
    assert validate(write(tmp_path / "d", files)) == []


def test_tabs_separate_as_blanks_do(tmp_path):
    tabs = {name: text.replace(" ", "\t") for name, text in GOOD.items()}
    assert validate(write(tmp_path / "d", tabs)) == []


JOINED = "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # Persian, with a non-joiner of zero width


@pytest.mark.parametrize("word", [JOINED, "A\u200dB", "CO\u00adOP", "\ue000", "X\ufeffY", "\u200bZ", "\u7530"])
def test_letters_marks_are_kept(tmp_path, word):
    assert odd_character(f"A {word}") is None
    assert validate(write(tmp_path / "d", {**GOOD, "text": f"a-1 {word}\na-2 B\tC\nb-1 D\n"})) == []


@pytest.mark.parametrize("character", "\x00\x07\x0b\x0c\x1b\x1c\x7f\x85\xa0\u1680\u2003\u2028\u202f\u3000")
def test_what_no_word_has(character):
    assert odd_character(f"A{character}B") == character
    assert odd_character(f"\u7530{character}") == character


def test_blanks_are_the_callers():
    assert odd_character("A B\tC") is None
    assert odd_character("A B\tC", blanks=" ") == "\t"


@given(st.text())
def test_a_text_without_odd_characters_has_the_same_words_everywhere(text):
    if odd_character(text) is None:
        assert text.split() == kaldi_dir.columns(text)


# a table: values that are good of every line of it, and such that are not
VALUES = {
    "utt2dur": (["0.001", "1", "1e-9", "inf"], ["0", "0.0", "-0.001", "nan", "x", "1 2"]),
    "reco2dur": (["0.001", "1"], ["0", "-1", "nan", "x"]),
    "utt2num_frames": (["1", "01", "100"], ["0", "00", "-1", "1.0", "+1", "\u00b2", "\u0661", "x", "1 2"]),
    "spk2gender": (["m", "f"], ["M", "F", "x", "mf", "m f"]),
    "spk2warp": (["0.501", "1", "1.499"], ["0.5", "1.5", "0", "nan", "x"]),
    "utt2warp": (["0.501", "1", "1.499"], ["0.5", "1.5", "2", "nan", "x"]),
    "reco2file_and_channel": (["one A", "one B", "one\tA"], ["A", "one", "one C", "one a", "one A B", "one 1"]),
    "segments": (["r1 0 0.001", "r1 0.5 -1", "r1 0 1e9", "r1\t0  1", "r1 0 1 2"],
                 ["r1 1 1", "r1 1 0.9", "r1 -0.1 1", "r1 0 -0.5", "r1 0 -2", "r1 nan 1", "r1 0 nan", "r1 0",
                  "r1 0 1 -2", "r1 0 1 2 3", "r1 0 x", "r1 inf -1"]),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values_at_their_limits(tmp_path, name):
    good, bad = VALUES[name]
    keys = {"reco": ["r1", "r2"], "spk2": ["a", "b"]}.get(name[:4], ["a-1", "a-2", "b-1"])
    table = dict(line.split(" ", 1) for line in SEGMENTS.get(name, "").splitlines())
    for number, value in enumerate([*good, *bad]):
        row = {key: table.get(key, good[0]) for key in keys} | {keys[0]: value}
        text = "".join(f"{key} {given}\n" for key, given in row.items())
        directory = write(tmp_path / str(number), {**SEGMENTS, name: text})
        if value in good:
            assert validate(directory) == [], value
        else:
            with pytest.raises(UserError, match=rf"/{name}: {keys[0]} has "):
                validate(directory)


def test_the_speakers_order_is_asked_for_alone_where_it_is(tmp_path):
    """Sorted by utterance, but not by speaker: whichever comes first."""
    for files, first in (
        ({"utt2spk": "1 b\n2 a\n", "spk2utt": "a 2\nb 1\n"}, "1"),
        ({"utt2spk": "1 a\n2 c\n3 b\n", "spk2utt": "a 1\nb 3\nc 2\n"}, "2"),
    ):
        directory = write(tmp_path / first, files)
        assert validate(directory, feats=False, text=False, wav=False, spk_sort=False) == []
        with pytest.raises(UserError, match=f"not in the speakers' order from {first} on"):
            validate(directory, feats=False, text=False, wav=False)
