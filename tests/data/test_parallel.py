"""Parallel text -> a data directory with text.src and text."""

import gzip

import pytest
from made_corpora import validate

from kdasr.cli import main
from kdasr.data.mend import fix_dir
from kdasr.files import read_table


def prepare(root, *more, src="train.en", tgt="train.de"):
    given = ["--src", root / src, *(["--tgt", root / tgt] if tgt else []), "--out", root / "data/train", *more]
    return main(["data", "parallel", *map(str, given)])


def write(root, english, german, suffix=""):
    for name, text in (("train.en", english), ("train.de", german)):
        data = text if isinstance(text, bytes) else text.encode()
        (root / (name + suffix)).write_bytes(gzip.compress(data) if suffix else data)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_line_n_is_sentence_n(tmp_path, capsys, suffix):
    english = "\ufeffA dog runs .\r\n" + "a\u00a0cat \t sits\n" * 8 + "The end"
    write(tmp_path, english, "Ein Hund läuft .\n" + "eine Katze sitzt\n" * 8 + "Das Ende\n", suffix)
    assert prepare(tmp_path, src=f"train.en{suffix}", tgt=f"train.de{suffix}") == 0
    out = tmp_path / "data/train"
    source, target = read_table(out / "text.src"), read_table(out / "text")
    assert list(source) == list(target) == list(read_table(out / "utt2spk")) == [f"train-{n:02}" for n in range(1, 11)]
    assert (source["train-01"], target["train-01"]) == ("A dog runs .", "Ein Hund läuft .")
    assert (source["train-05"], target["train-10"]) == ("a cat sits", "Das Ende")
    said = f"{out}: 10 utterances, 10 speakers; 30 source words, 30 target words\n"
    assert capsys.readouterr().out == said
    validate(out, "--no-wav", "--no-feats")


def test_sentences_that_nobody_has_translated(tmp_path, capsys):
    write(tmp_path, "one\ntwo three\n", "")
    assert prepare(tmp_path, tgt=None) == 0
    assert sorted(path.name for path in (tmp_path / "data/train").iterdir()) == ["spk2utt", "text.src", "utt2spk"]
    assert "; 3 source words\n" in capsys.readouterr().out


def test_pairs_with_an_empty_side_go_together(tmp_path, capsys):
    write(tmp_path, "one\n\nthree\n \nfive\n", "eins\nzwei\n\n\nfünf\n")
    assert prepare(tmp_path, "--empty", "drop") == 0
    out = tmp_path / "data/train"
    assert read_table(out / "text.src") == {"train-1": "one", "train-5": "five"}
    assert read_table(out / "text") == {"train-1": "eins", "train-5": "fünf"}
    assert f"3 lines without words left out (first: {tmp_path}/train.en:2)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("english", "german", "words"),
    [
        ("a\nb\n", "c\n", "train.en: has 2 lines, {root}/train.de 1: the lines of a parallel text belong together"),
        ("a\n\n", "c\nd\n", "train.en:2: has no words; remove the line (of both files), or give --empty drop"),
        ("a\nb\n", "c\n \n", "train.de:2: has no words"),
        (b"a\nb\xe9\n", "c\nd\n", "train.en:2: not UTF-8; convert the file (iconv -t utf-8)"),
        ("a\n", "c\x07\n", "train.de:1: has the control character '\\x07'; remove it"),
        ("", "", "train.en: no line with words is in it"),
    ],
)
def test_what_is_no_parallel_text(tmp_path, capsys, english, german, words):
    write(tmp_path, english, german)
    assert prepare(tmp_path) == 1
    assert words.format(root=tmp_path) in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_damaged_archive(tmp_path, capsys):
    write(tmp_path, "a\n" * 2000, "b\n", ".gz")
    whole = (tmp_path / "train.en.gz").read_bytes()
    for damaged in (whole[:-9], b"no archive", whole[:12] + b"\xff\xff" + whole[14:]):
        (tmp_path / "train.en.gz").write_bytes(damaged)
        assert prepare(tmp_path, src="train.en.gz", tgt="train.de.gz") == 1
        assert "train.en.gz: cannot be unpacked" in capsys.readouterr().err
    assert prepare(tmp_path, src="gone.gz", tgt="train.de.gz") == 1
    assert "gone.gz: no such file" in capsys.readouterr().err


def test_a_source_that_is_missing_is_corrected_as_any_table(tmp_path, capsys):
    write(tmp_path, "one\ntwo\nthree\n", "eins\nzwei\ndrei\n")
    assert prepare(tmp_path) == 0
    out = tmp_path / "data/train"
    (out / "text.src").write_text("train-1 one\ntrain-3 three\n")
    with pytest.raises(AssertionError):
        validate(out, "--no-wav", "--no-feats")
    assert fix_dir(out) == (2, 3)
    assert list(read_table(out / "text")) == ["train-1", "train-3"]
