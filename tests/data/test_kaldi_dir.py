"""Data directories in memory are written as Kaldi's tools expect them."""

from pathlib import Path

import pytest
from kaldi_dirs import tables

from kdasr.data import kaldi_dir
from kdasr.data.kaldi_dir import put_dir
from kdasr.errors import UserError


def test_spk2utt_and_back():
    utt2spk = {"a-1": "a", "a-2": "a", "b-1": "b"}
    assert kaldi_dir.spk2utt_of(utt2spk) == {"a": "a-1 a-2", "b": "b-1"}
    assert kaldi_dir.utt2spk_of({"a": "a-1 a-2", "b": "b-1"}) == utt2spk


def test_put_and_read(tmp_path):
    wild = {"b-2": "b", "a-1": "a", "b-1": "b", "B-1": "B"}
    assert put_dir(tmp_path / "d", {"utt2spk": wild, "text": {u: "x  y" for u in wild}})
    assert (tmp_path / "d/utt2spk").read_text() == "B-1 B\na-1 a\nb-1 b\nb-2 b\n"
    assert (tmp_path / "d/spk2utt").read_text() == "B B-1\na a-1\nb b-1 b-2\n"
    assert kaldi_dir.read_dir(tmp_path / "d") == {"utt2spk": wild, "text": {u: "x  y" for u in wild}}
    assert not put_dir(tmp_path / "d", {"utt2spk": wild, "text": {u: "x  y" for u in wild}})
    assert put_dir(tmp_path / "d", {"utt2spk": wild})
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == ["spk2utt", "utt2spk"]
    with pytest.raises(UserError, match="no utterance is left"):
        put_dir(tmp_path / "e", {"utt2spk": {}})
    with pytest.raises(UserError, match="utt2spk: no such file"):
        kaldi_dir.read_dir(tmp_path)


def test_a_directory_without_a_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (".", "..", "", "/"):
        with pytest.raises(UserError, match="is no name that a new directory can get; give the whole path"):
            put_dir(Path(name), tables())


def test_columns_are_cut_as_kaldi_cuts_them():
    assert kaldi_dir.columns(" a\tb  c\x0b d\r\n") == ["a", "b", "c", "d"]
    assert kaldi_dir.columns("\u3000 a\u00a0b \x1c\x85") == ["\u3000", "a\u00a0b", "\x1c\x85"]
    assert kaldi_dir.columns(" ") == []


def test_a_path_that_is_not_utf8_is_named(tmp_path):
    with pytest.raises(UserError, match=r"wav\.scp: 'a-1' has '/x/\\udcff.wav', which is not UTF-8; rename the file"):
        put_dir(tmp_path / "d", {"utt2spk": {"a-1": "a"}, "wav.scp": {"a-1": "/x/\udcff.wav"}})
    assert not (tmp_path / "d").exists()


def test_tables_are_written_in_the_order_of_bytes(tmp_path):
    keys = ["b", "B", "a-1", "a", "\u00e9", "Z", "_", "10", "9", "\uffff", "\U00010000"]
    put_dir(
        tmp_path / "d", {"utt2spk": {key: key for key in keys}, "text": dict.fromkeys(reversed(keys), "x")}
    )
    for name in ("utt2spk", "text", "spk2utt"):
        written = [line.split(b" ")[0] for line in (tmp_path / "d" / name).read_bytes().splitlines()]
        assert written == sorted(key.encode() for key in keys)
