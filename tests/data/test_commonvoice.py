"""Common Voice's layout -> Kaldi data directories."""

import hashlib

import pytest
from made_corpora import commonvoice, mp3, noise, validate

from kdasr.cli import main
from kdasr.data import commonvoice as module
from kdasr.data.audio import read_audio
from kdasr.data.commonvoice import short_names
from kdasr.files import read_table

ANA, BEN, EVA = (hashlib.sha512(name.encode()).hexdigest() for name in ("ana", "ben", "eva"))
LISTS = {
    "train": [(ANA, "cv_eu_2", '"Kaixo," esan zuen.'), (BEN, "cv_eu_1", "Bai, 3.5 da!"), (ANA, "cv_eu_10", "Ez")],
    "dev": [(BEN, "cv_eu_3", "L\u2019étoile\u00a0d'or")],
    "test": [(EVA, "cv_eu_4", "Zer?")],
    "other": [(EVA, "cv_eu_4", "Zer?"), (EVA, "cv_eu_5", "...")],
}


def name(client):
    return hashlib.sha256(client.encode()).hexdigest()[:12]


def prepare(root, out, *more):
    return main(["data", "commonvoice", "--in", str(root), "--out", str(out), *more])


@pytest.fixture
def corpus(tmp_path):
    return commonvoice(tmp_path / "eu", LISTS)


def test_sets(corpus, tmp_path, capsys):
    assert prepare(corpus, tmp_path / "data") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/data/train: 3 utterances, 2 speakers",
        f"{tmp_path}/data/dev: 1 utterances, 1 speakers",
        f"{tmp_path}/data/test: 1 utterances, 1 speakers",
    ]
    assert read_table(tmp_path / "data/train/text") == {
        f"{name(ANA)}-cv_eu_10": "Ez",
        f"{name(ANA)}-cv_eu_2": '"Kaixo," esan zuen.',
        f"{name(BEN)}-cv_eu_1": "Bai, 3.5 da!",
    }
    assert read_table(tmp_path / "data/dev/text") == {f"{name(BEN)}-cv_eu_3": "L\u2019étoile d'or"}
    assert read_table(tmp_path / "data/test/utt2spk") == {f"{name(EVA)}-cv_eu_4": name(EVA)}
    for part in ("train", "dev", "test"):
        validate(tmp_path / "data" / part)
    place = read_table(tmp_path / "data/test/wav.scp")[f"{name(EVA)}-cv_eu_4"]
    assert place == f"{corpus}/clips/cv_eu_4.mp3"
    samples, rate = read_audio(place)
    assert (len(samples), rate) == (6400, 32000)


def test_sentences_are_changed_only_when_asked_to(corpus, tmp_path, capsys):
    asked = ["--sets", "train", "dev", "test", "other", "--normalize", "lower,punctuation"]
    assert prepare(corpus, tmp_path / "data", *asked) == 0
    texts = {part: [*read_table(tmp_path / "data" / part / "text").values()] for part in ("train", "dev", "other")}
    assert texts == {"train": ["ez", "kaixo esan zuen", "bai 3.5 da"], "dev": ["l'étoile d'or"], "other": ["zer"]}
    said = capsys.readouterr().out
    assert "other: 1 utterances, 1 speakers; 1 without words left out (first: cv_eu_5)\n" in said
    assert said.endswith("note: test and other share 1 clips; do not train on what you test on\n")


def test_names_of_speakers_are_as_long_as_tells_them_apart(monkeypatch):
    assert short_names(["a", "b", "a"]) == {"a": name("a"), "b": name("b")}
    monkeypatch.setattr(module, "SHORTEST", 1)
    clients = [f"client {number}" for number in range(40)]
    names = short_names(clients)
    assert short_names(reversed(clients)) == names
    assert len(set(names.values())) == 40
    (length,) = {len(found) for found in names.values()}
    digests = [hashlib.sha256(client.encode()).hexdigest() for client in clients]
    assert len({digest[: length - 1] for digest in digests}) < 40  # one digit less would not do


def test_clips_of_another_kind(corpus, tmp_path):
    """A list that names no suffix, and clips that were converted."""
    lines = (corpus / "dev.tsv").read_text().replace("cv_eu_3.mp3", "cv_eu_3")
    (corpus / "dev.tsv").write_text(lines)
    (corpus / "clips/cv_eu_4.mp3").rename(corpus / "clips/cv_eu_4.wav")
    assert prepare(corpus, tmp_path / "data") == 0
    assert [*read_table(tmp_path / "data/dev/wav.scp").values()] == [f"{corpus}/clips/cv_eu_3.mp3"]
    assert [*read_table(tmp_path / "data/test/wav.scp").values()] == [f"{corpus}/clips/cv_eu_4.wav"]


def test_other_columns_and_dos_ends(corpus, tmp_path):
    """Later releases have further columns between these."""
    row = ["x", EVA, "cv_eu_4.mp3", "17", "Zer?"]
    lines = ["\t".join(["more", "client_id", "path", "sentence_id", "sentence"]), "\t".join(row), ""]
    (corpus / "test.tsv").write_bytes("\r\n".join(lines).encode())
    assert prepare(corpus, tmp_path / "data", "--sets", "test") == 0
    assert read_table(tmp_path / "data/test/text") == {f"{name(EVA)}-cv_eu_4": "Zer?"}


def edit(file, old, new):
    def damage(root):
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new))

    return damage


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda r: (r / "dev.tsv").unlink(), "dev.tsv: no such list; lists there: other test train"),
        (lambda r: (r / "clips").rename(r / "clip"), "clips: no such folder; name a language"),
        (lambda r: (r / "clips/cv_eu_1.mp3").unlink(), "train.tsv:3: cv_eu_1.mp3 is not in clips/"),
        (edit("train.tsv", "cv_eu_10.mp3", "cv_eu_2.mp3"), "train.tsv:4: cv_eu_2.mp3 is here a second time"),
        (edit("train.tsv", "da!\t2", "da!"), "train.tsv:3: has 9 columns, expected 10"),
        (edit("train.tsv", "Ez\t", "\t"), "train.tsv:4: expected client_id, the name of a clip, and a sentence"),
        (edit("train.tsv", f"{BEN}\t", "\t"), "train.tsv:3: expected client_id"),
        (edit("train.tsv", "cv_eu_1.mp3", "../a.mp3"), "train.tsv:3: expected client_id"),
        (edit("train.tsv", "sentence\t", "text\t"), "train.tsv:1: has no column sentence"),
        (lambda r: (r / "train.tsv").write_text(""), "train.tsv:1: has no column client_id"),
        (lambda r: (r / "train.tsv").write_bytes(b"client_id\tpath\tsentence\n\xff\n"), "train.tsv:2: not UTF-8"),
        (lambda r: (r / "test.tsv").write_text("client_id\tpath\tsentence\n"), "test.tsv: no clip with words is in it"),
    ],
)
def test_damage_is_named_and_nothing_is_written(corpus, tmp_path, capsys, damage, words):
    damage(corpus)
    assert prepare(corpus, tmp_path / "data") == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_letters_cannot_be_both(corpus, tmp_path, capsys):
    assert prepare(corpus, tmp_path / "data", "--normalize", "lower,upper") == 1
    assert "name one of lower, upper" in capsys.readouterr().err
    assert prepare(corpus, tmp_path / "data", "--normalize", "case") == 1
    assert "--normalize case: there are no tokens yet that say which; name lower or upper" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_clip_that_is_cut_off_is_refused_where_it_is_read(tmp_path, capsys):
    mp3(tmp_path / "a.mp3", noise(32000))
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(data[: len(data) // 2])
    with pytest.raises(Exception, match=r"promises 32000 samples, found \d+; the file is truncated"):
        read_audio(tmp_path / "a.mp3")
