"""A directory put in order keeps what all its tables cover; nothing of it is lost."""

import shutil

import pytest
from kaldi_dirs import segmented, tables

from kdasr.data import mend, split
from kdasr.data.kaldi_check import validate
from kdasr.data.kaldi_dir import put_dir
from kdasr.errors import UserError
from kdasr.files import read_table


def test_fix(tmp_path):
    made = tables()
    put_dir(tmp_path / "d", made)
    text = (tmp_path / "d/text").read_text().splitlines()
    text = [line for line in text if not line.startswith("40ac0002")]
    text[0] = text[0].split()[0]  # no words
    (tmp_path / "d/text").write_text("\n".join([*reversed(text), "46kc0001 AGAIN"]) + "\n")
    broken = (tmp_path / "d/text").read_bytes()
    (tmp_path / "d/wav.scp").write_text("".join(f"{u} {p}\n" for u, p in made["wav.scp"].items() if u[:3] != "47a"))
    (tmp_path / "d/spk2utt").write_text("rubbish\n")
    assert mend.fix_dir(tmp_path / "d") == (6, 10)
    validate(tmp_path / "d", feats=False)
    assert list(read_table(tmp_path / "d/text")) == [
        "01ac0002",
        "01bc0001",
        "40ac0001",
        "40ac0003",
        "46kc0001",
        "46kc0002",
    ]
    assert read_table(tmp_path / "d/text")["46kc0001"] == "WORDS OF 46KC0001"  # of two lines the first stays
    assert list(read_table(tmp_path / "d/spk2gender")) == ["01a", "01b", "40a", "46k"]
    assert (tmp_path / "d/.backup/text").read_bytes() == broken
    after = (tmp_path / "d/text").read_bytes()
    assert mend.fix_dir(tmp_path / "d") == (6, 6)
    assert (tmp_path / "d/text").read_bytes() == after


def test_fix_drops_speakers_without_gender_and_refuses_to_empty(tmp_path):
    put_dir(tmp_path / "d", tables())
    (tmp_path / "d/spk2gender").write_text("46k f\n")
    assert mend.fix_dir(tmp_path / "d") == (2, 10)
    (tmp_path / "d/text").write_text("nobody WORDS\n")
    before = (tmp_path / "d/utt2spk").read_bytes()
    with pytest.raises(UserError, match="no utterance is in all of"):
        mend.fix_dir(tmp_path / "d")
    assert (tmp_path / "d/utt2spk").read_bytes() == before
    put_dir(tmp_path / "s", segmented())
    (tmp_path / "s/wav.scp").write_text("rec2 /audio/2.wav\n")
    assert mend.fix_dir(tmp_path / "s") == (1, 3)
    assert (tmp_path / "s/segments").read_text() == "bc0001 rec2 0 9\n"


def test_fix_writes_marks_and_dos_ends_away(tmp_path):
    put_dir(tmp_path / "d", tables())
    clean = {path.name: path.read_bytes() for path in (tmp_path / "d").iterdir()}
    for name, data in clean.items():
        (tmp_path / "d" / name).write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
    with pytest.raises(UserError, match="utt2spk:1: begins with a byte-order mark"):
        validate(tmp_path / "d", feats=False)
    assert mend.fix_dir(tmp_path / "d") == (10, 10)
    validate(tmp_path / "d", feats=False)
    assert {name: (tmp_path / "d" / name).read_bytes() for name in clean} == clean
    (tmp_path / "d/text").write_bytes(clean["text"].replace(b"WORDS OF", b"WORDS\rOF"))
    mend.fix_dir(tmp_path / "d")
    assert (tmp_path / "d/text").read_bytes() == clean["text"]


def test_a_mend_takes_the_first_of_a_keys_lines(tmp_path):
    put_dir(tmp_path / "d", tables({"01a": 3}))
    text = tmp_path / "d" / "text"
    text.write_text("01ac0002 SECOND\n01ac0001 FIRST\n01ac0002 LATER\n01ac0003\n01ac0001\n")
    assert mend.fix_dir(tmp_path / "d") == (2, 3)
    assert read_table(text) == {"01ac0001": "FIRST", "01ac0002": "SECOND"}
    assert list(read_table(tmp_path / "d" / "utt2spk")) == ["01ac0001", "01ac0002"]


def test_tables_with_tabs_are_mended(tmp_path):
    made = segmented()
    put_dir(tmp_path / "d", made)
    for name in ("segments", "wav.scp", "text", "utt2spk"):
        path = tmp_path / "d" / name
        path.write_text(path.read_text().replace(" ", "\t"))
    assert mend.fix_dir(tmp_path / "d") == (3, 3)
    validate(tmp_path / "d", feats=False)


def test_nothing_else_is_lost_to_a_split_or_a_mend(tmp_path):
    """What is no part of a split is not replaced by one, and no link of a stranger's is written through."""
    put_dir(tmp_path / "d", tables())
    (tmp_path / "d/split3").mkdir()
    (tmp_path / "d/split3/thesis.tex").write_text("years")
    with pytest.raises(UserError, match=r"split3: holds thesis\.tex, which is no part of a split"):
        split.split_dir(tmp_path / "d", 3)
    assert (tmp_path / "d/split3/thesis.tex").read_text() == "years"
    (tmp_path / "precious").write_text("text")
    (tmp_path / "d/.backup").mkdir()
    (tmp_path / "d/.backup/text").symlink_to(tmp_path / "precious")
    mend.fix_dir(tmp_path / "d")
    assert (tmp_path / "precious").read_text() == "text" and not (tmp_path / "d/.backup/text").is_symlink()
    (tmp_path / "away").mkdir()
    shutil.rmtree(tmp_path / "d/.backup")
    (tmp_path / "d/.backup").symlink_to(tmp_path / "away")
    with pytest.raises(UserError, match=r"\.backup: is a link, and nothing is written through it"):
        mend.fix_dir(tmp_path / "d")
    assert list((tmp_path / "away").iterdir()) == []
