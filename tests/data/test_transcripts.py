"""Transcripts from elsewhere: of the utterances that there are, and instead of those that were there."""

import pytest

from kdasr.cli import main
from kdasr.data.kaldi_dir import put_dir
from kdasr.files import read_table, write_table


@pytest.fixture
def source(tmp_path):
    utt2spk = {"a-1": "a", "a-2": "a", "b-1": "b"}
    feats = {key: f"/f.ark:{n}" for n, key in enumerate(utt2spk)}
    tables = {"utt2spk": utt2spk, "feats.scp": feats, "text": dict.fromkeys(utt2spk, "OLD")}
    put_dir(tmp_path / "src", tables | {"spk2gender": {"a": "m", "b": "f"}}, b"statistics")
    write_table(tmp_path / "text", {"a-2": "SAID HERE", "c-1": "OF ANOTHER SET"})
    return tmp_path / "src"


def transcribe(source, text="text", out="out"):
    top = source.parent
    words = ["--in", str(source), "--text", str(top / text), "--out", str(top / out)]
    return main(["data", "transcripts", *words])


def test_utterances_with_a_transcript(source, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    assert transcribe(source) == 0
    out = tmp_path / "out"
    assert read_table(out / "text") == {"a-2": "SAID HERE"}
    assert read_table(out / "feats.scp") == {"a-2": "/f.ark:1"}
    assert read_table(out / "spk2gender") == {"a": "m"} and read_table(out / "spk2utt") == {"a": "a-2"}
    assert (out / "cmvn.npz").read_bytes() == b"statistics"
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    assert f"out: 1 of 3 utterances of {source}, with the text of" in capsys.readouterr().out


def test_what_cannot_be(source, tmp_path, capsys):
    write_table(tmp_path / "other", {"c-1": "OF ANOTHER SET"})
    for given, said in (
        ({"text": "other"}, f"other: has no utterance of {source}, as a-1; name its transcripts"),
        ({"text": "none"}, "none: no such file"),
        ({"out": "src"}, "src: is the source itself; name another --out"),
    ):
        assert transcribe(source, **given) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
