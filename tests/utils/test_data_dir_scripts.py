"""utils/*_data_dir.py and their kin, run by path as recipes run them, from any directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdasr.data.kaldi_dir import put_dir
from kdasr.files import read_table

UTILS = Path(__file__).resolve().parents[2] / "utils"


@pytest.fixture
def data(tmp_path):
    utt2spk = {
        f"{s}c{i:04d}": s for s, n in {"01a": 2, "01b": 1, "40a": 3, "46k": 2, "47a": 2}.items() for i in range(n)
    }
    tables = {
        "utt2spk": utt2spk,
        "text": {u: "SOME WORDS" for u in utt2spk},
        "wav.scp": {u: f"/x/{u}.wv1" for u in utt2spk},
        "utt2dur": {u: str(i + 1) for i, u in enumerate(reversed(utt2spk))},
    }
    put_dir(tmp_path / "train", tables)
    return tmp_path / "train"


def call(data, script, *arguments, status=0, stdin=None, **environment):
    command = [sys.executable, UTILS / script, *map(str, arguments)]
    env = os.environ | environment
    done = subprocess.run(command, cwd=data.parent, capture_output=True, text=True, input=stdin, env=env)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if status == 0 else done.stderr


def test_validate(data):
    assert "Successfully validated data-directory train" in call(data, "validate_data_dir.py", "--no-feats", "train")
    assert "--no-feats" in call(data, "validate_data_dir.py", "train", status=1)
    (data / "text").unlink()
    call(data, "validate_data_dir.py", "--no-feats", "train", status=1)
    call(data, "validate_data_dir.py", "--no-text", "--no-feats", "train")


def test_fix(data):
    (data / "wav.scp").write_text("".join(reversed((data / "wav.scp").read_text().splitlines(keepends=True)[:8])))
    out = call(data, "fix_data_dir.py", "train")
    assert out == "fix_data_dir.py: kept 8 utterances out of 10\nfix_data_dir.py: old files are kept in train/.backup\n"
    assert "kept all 8 utterances." in call(data, "fix_data_dir.py", "train")
    call(data, "validate_data_dir.py", "--no-feats", "train")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["train", "4", "part"], ["01ac0001", "40ac0001", "46kc0000", "47ac0001"]),
        (["--first", "train", "2", "part"], ["01ac0000", "01ac0001"]),
        (["--last", "train", "2", "part"], ["47ac0000", "47ac0001"]),
        (["--shortest", "train", "1", "part"], ["47ac0001"]),
        (["--per-spk", "train", "1", "part"], ["01ac0000", "01bc0000", "40ac0000", "46kc0000", "47ac0000"]),
        (["--spk-list", "list", "train", "part"], ["01bc0000", "47ac0000", "47ac0001"]),
        (["--utt-list", "list", "train", "part"], ["40ac0002"]),
    ],
)
def test_subset(data, options, expected):
    (data.parent / "list").write_text("01b\n47a 47ac0000\n40ac0002\n")
    out = call(data, "subset_data_dir.py", *options)
    assert out == f"subset_data_dir.py: reducing #utt from 10 to {len(expected)}\n"
    assert list(read_table(data.parent / "part/text")) == expected
    call(data, "validate_data_dir.py", "--no-feats", "part")


def test_subset_refusals(data):
    assert "cannot take 11 utterances of 10" in call(data, "subset_data_dir.py", "train", "11", "part", status=1)
    assert "expected a whole number" in call(data, "subset_data_dir.py", "train", "many", "part", status=1)
    assert "expected SRC-DIR NUM-UTT DEST-DIR" in call(data, "subset_data_dir.py", "train", "part", status=2)
    assert not (data.parent / "part").exists()


def test_copy_then_combine(data):
    call(data, "copy_data_dir.py", "--spk-prefix=x-", "--utt-prefix=x-", "train", "copied")
    assert "combined 20 utterances" in call(data, "combine_data.py", "both", "train", "copied")
    call(data, "validate_data_dir.py", "--no-feats", "both")
    assert list(read_table(data.parent / "both/spk2utt"))[-1] == "x-47a"
    assert "01ac0000 is in another" in call(data, "combine_data.py", "both2", "train", "train", status=1)


def test_combine_says_what_it_leaves_out(data):
    call(data, "copy_data_dir.py", "--spk-prefix=x-", "--utt-prefix=x-", "train", "copied")
    (data.parent / "copied/wav.scp").unlink()
    (data / "segments").write_text("".join(f"{u} {u} 0 1\n" for u in read_table(data / "utt2spk")))
    out = call(data, "combine_data.py", "both", "train", "copied").splitlines()
    assert out[:2] == [
        "combine_data.py: not combining segments, as some of the directories lack wav.scp",
        "combine_data.py: not combining wav.scp, as some of the directories lack it",
    ]


def test_a_terminal_that_cannot_print_a_letter(data):
    (data.parent / "u2s").write_text("m\u00fc-1\tm\u00fc\n", encoding="utf-8")
    out = call(data, "utt2spk_to_spk2utt.py", "u2s", PYTHONIOENCODING="ascii")
    assert out == "m\\xfc m\\xfc-1\n"
    data.rename(data.parent / "m\u00fc")
    out = call(data, "validate_data_dir.py", "--no-feats", "m\u00fc", PYTHONIOENCODING="ascii")
    assert out == "validate_data_dir.py: Successfully validated data-directory m\\xfc\n"


def test_lists_may_have_tabs_marks_and_dos_ends(data):
    (data.parent / "list").write_bytes(b"\xef\xbb\xbf01b\tx\r\n\r\n47a\r\n")
    call(data, "subset_data_dir.py", "--spk-list", "list", "train", "part")
    assert list(read_table(data.parent / "part/text")) == ["01bc0000", "47ac0000", "47ac0001"]


def test_what_the_system_refuses_is_a_sentence(data):
    (data.parent / "file").write_text("")
    for script, *arguments in (
        ("copy_data_dir.py", "train", "file/x"),
        ("combine_data.py", "file/x", "train"),
        ("subset_data_dir.py", "train", "4", "file/x"),
    ):
        assert "remove it or name another place" in call(data, script, *arguments, status=1)
    (data / ".backup").write_text("")
    assert ".backup: file exists; this is a file, expected a directory" in call(
        data, "fix_data_dir.py", "train", status=1
    )


def test_split(data):
    call(data, "split_data.py", "train", "3")
    assert [len(read_table(data / f"split3/{n}/text")) for n in (1, 2, 3)] == [3, 3, 4]
    call(data, "split_data.py", "--per-utt", "train", "5")
    assert [len(read_table(data / f"split5utt/{n}/text")) for n in range(1, 6)] == [2] * 5
    assert "7 parts asked for, but there are 5 speakers" in call(data, "split_data.py", "train", "7", status=1)


def test_maps(data):
    spk2utt = (data / "spk2utt").read_text()
    assert call(data, "utt2spk_to_spk2utt.py", "train/utt2spk") == spk2utt
    assert call(data, "utt2spk_to_spk2utt.py", stdin=(data / "utt2spk").read_text()) == spk2utt
    assert call(data, "spk2utt_to_utt2spk.py", "train/spk2utt") == (data / "utt2spk").read_text()
    assert "nowhere: no such file" in call(data, "spk2utt_to_utt2spk.py", "nowhere", status=1)


def test_copies_have_prefixes_and_suffixes_of_their_own(data):
    words = ["--spk-prefix=a-", "--spk-suffix=-b", "--utt-prefix=a-", "--utt-suffix=-d"]
    call(data, "copy_data_dir.py", *words, "train", "copied")
    assert read_table(data.parent / "copied/utt2spk") == {
        f"a-{utterance}-d": f"a-{speaker}-b" for utterance, speaker in read_table(data / "utt2spk").items()
    }
    # what comes of it has to be a data directory still
    put_dir(data.parent / "two", {name: {"a-1": "a", "a-b-1": "a-b"} for name in ("utt2spk", "text", "wav.scp")})
    call(data, "copy_data_dir.py", "two", "same")
    assert "speaker" in call(data, "copy_data_dir.py", "--spk-suffix=z", "two", "broken", status=1)


def test_the_order_of_speakers_is_checked_unless_it_need_not_be(data):
    (data / "utt2spk").write_text("a y\nb x\n")
    (data / "spk2utt").write_text("x b\ny a\n")
    for name, value in (("text", "WORDS"), ("wav.scp", "/x.wav")):
        (data / name).write_text(f"a {value}\nb {value}\n")
    (data / "utt2dur").unlink()
    assert "speaker" in call(data, "validate_data_dir.py", "--no-feats", "train", status=1)
    call(data, "validate_data_dir.py", "--no-feats", "--no-spk-sort", "train")


def test_all_utterances_may_be_asked_for(data):
    for options in (["--first"], ["--last"], ["--shortest"], []):
        call(data, "subset_data_dir.py", *options, "train", "10", "part")
        assert read_table(data.parent / "part/text") == read_table(data / "text")
