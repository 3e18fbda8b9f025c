"""LibriSpeech's layout -> Kaldi data directories."""

import shutil

import pytest
from made_corpora import librispeech, noise, validate

from kdasr.cli import main
from kdasr.data.audio import read_audio
from kdasr.files import read_table

CHAPTER = "train-clean-5/840/9"


def prepare(root, out, *more):
    return main(["data", "librispeech", "--in", str(root), "--out", str(out), *more])


def test_sets(tmp_path, capsys):
    root = librispeech(tmp_path / "LibriSpeech")
    assert prepare(root, tmp_path / "data") == 0
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["dev_clean_2", "train_clean_5"]
    train = tmp_path / "data/train_clean_5"
    assert (train / "text").read_text() == (  # as LC_ALL=C sorts: 12720 before 840, 121123 before 9
        "12720-121123-0000 TWO ONE\n12720-121123-0001 THREE TWO\n12720-9-0000 TWO ONE\n12720-9-0001 THREE TWO\n"
        "840-121123-0000 ONE ONE\n840-121123-0001 TWO TWO\n840-9-0000 ONE ONE\n840-9-0001 TWO TWO\n"
    )
    assert (train / "spk2utt").read_text().splitlines()[1] == "12720-9 12720-9-0000 12720-9-0001"
    assert read_table(train / "spk2gender") == {
        "12720-121123": "m", "12720-9": "m", "840-121123": "f", "840-9": "f",
    }  # fmt: skip
    place = read_table(train / "wav.scp")["840-9-0001"]
    assert place == f"{root}/{CHAPTER}/840-9-0001.flac"
    samples, rate = read_audio(place)
    assert rate == 16000 and (samples == noise(8160, 1)).all()
    for name in ("train_clean_5", "dev_clean_2"):
        validate(tmp_path / "data" / name)
    assert f"{train}: 8 utterances, 4 speakers\n" in capsys.readouterr().out
    assert prepare(root, tmp_path / "data") == 0
    assert capsys.readouterr().out.count("(unchanged)") == 2


def test_chosen_sets_in_the_folder_above(tmp_path):
    """openslr's archives unpack to LibriSpeech/."""
    librispeech(tmp_path / "LibriSpeech")
    assert prepare(tmp_path, tmp_path / "data", "--sets", "dev-clean-2") == 0
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["dev_clean_2"]
    assert set(read_table(tmp_path / "data/dev_clean_2/utt2spk").values()) == {
        "841-121123", "841-9", "12721-121123", "12721-9",
    }  # fmt: skip


def test_speakers_of_unknown_gender(tmp_path, capsys):
    root = librispeech(tmp_path / "corpus")
    (root / "SPEAKERS.TXT").write_text("840 | F | x\n")
    assert prepare(root, tmp_path / "data") == 0
    said = capsys.readouterr().out
    assert "no spk2gender: SPEAKERS.TXT does not know 1 of the readers (first: 12720)" in said
    assert not (tmp_path / "data/train_clean_5/spk2gender").exists()
    (root / "SPEAKERS.TXT").unlink()
    assert prepare(root, tmp_path / "again") == 0
    assert "spk2gender" not in capsys.readouterr().out
    validate(tmp_path / "again/train_clean_5")


def test_what_is_no_part_of_the_corpus_is_left_alone(tmp_path):
    """Files of a Mac, an empty chapter, a book list."""
    root = librispeech(tmp_path / "corpus")
    (root / CHAPTER / "._840-9-0000.flac").write_bytes(b"x")
    (root / "train-clean-5/840/77").mkdir()
    (root / "train-clean-5/.cache/1").mkdir(parents=True)
    (root / "books").mkdir()
    assert prepare(root, tmp_path / "data") == 0
    assert len(read_table(tmp_path / "data/train_clean_5/text")) == 8


def change(file, old, new):
    def damage(root):
        path = root / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return damage


LIST = f"{CHAPTER}/840-9.trans.txt"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda r: (r / LIST).unlink(), f"{LIST}: no such file, the transcripts of this chapter"),
        (lambda r: (r / LIST).rename(r / CHAPTER / "other.trans.txt"), f"{LIST}: no such file"),
        (lambda r: (r / CHAPTER / "840-9-0001.flac").unlink(), "1 utterances have no audio file (first: 840-9-0001)"),
        (change(LIST, "840-9-0000 ONE ONE\n", ""), "1 utterances have no transcript (first: 840-9-0000)"),
        (change(LIST, "840-9-0001", "840-9-0000"), f"{LIST}:2: 840-9-0000 is here a second time"),
        (change(LIST, " TWO TWO", ""), f"{LIST}:2: expected 'KEY VALUE', found '840-9-0001'"),
        (change(LIST, "840-9-0001", "840-99-0001"), "840-99-0001 does not begin with 840-9-"),
        (lambda r: (r / LIST).write_bytes(b"840-9-0000 \xff\n"), f"{LIST}:1: not UTF-8"),
        (lambda r: shutil.copy(r / CHAPTER / "840-9-0001.flac", r / CHAPTER / "840-9-0001.wav"), "the same utterance"),
        (lambda r: (r / CHAPTER).rename(r / "train-clean-5/840/9-a"), "found '9-a'; rename it"),
        (change("SPEAKERS.TXT", "| F |", "| x |"), "SPEAKERS.TXT:2: expected 'READER | M or F"),
        (change("SPEAKERS.TXT", ";ID", "ID"), "SPEAKERS.TXT:1: expected"),
    ],
)
def test_damage_is_named_and_nothing_is_written(tmp_path, capsys, damage, words):
    root = librispeech(tmp_path / "corpus")
    damage(root)
    assert prepare(root, tmp_path / "data") == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_sets_that_are_not_there(tmp_path, capsys):
    root = librispeech(tmp_path / "corpus", sets=("dev-clean", "dev_clean"))
    for where, sets, words in (
        (root, ["test-clean"], "has no set test-clean (SET/READER/CHAPTER/*.trans.txt); those there: dev-clean dev_"),
        (root, [], "another set is called dev_clean already"),
        (root / "dev-clean", [], f"is one set; name the folder that has it, {root}, and --sets dev-clean"),
        (tmp_path / "nowhere", [], "there is no set in it"),
    ):
        assert prepare(where, tmp_path / "data", *(["--sets", *sets] if sets else [])) == 1
        assert words in capsys.readouterr().err
    for path in [*(root / "dev-clean").rglob("*.flac"), *(root / "dev-clean").rglob("*.txt")]:
        if path.suffix == ".txt":
            path.write_text("")
        else:
            path.unlink()
    assert prepare(root, tmp_path / "data", "--sets", "dev-clean") == 1
    assert "dev-clean: no utterance is in it" in capsys.readouterr().err
