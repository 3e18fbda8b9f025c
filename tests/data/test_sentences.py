"""kdasr data sentences: transcripts as texts, a sentence a line."""

import pytest

from kdasr.cli import main


def write(folder, **tables):
    for name, lines in tables.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder


def sentences(folder, *words):
    inputs = ["--train", folder / "train", "--valid", folder / "dev", "--test", folder / "t1", folder / "t2"]
    return main([str(word) for word in ["data", "sentences", *inputs, "--out", folder / "out", *words]])


@pytest.fixture
def tables(tmp_path):
    return write(
        tmp_path,
        train=["a THE  CAT", "b", "c A DOG"],
        dev=["d ONE"],
        t1=["e TWO", "f"],
        t2=["g THREE"],
        lab=["b x", "c x"],
    )


def text(folder, name):
    return (folder / f"out/{name}.txt").read_text()


def test_names_and_empty_transcripts_are_left_out(tables, capsys):
    assert sentences(tables) == 0
    assert text(tables, "train") == "THE  CAT\nA DOG\n"
    assert text(tables, "valid") == "ONE\n"
    assert text(tables, "test") == "TWO\nTHREE\n"
    assert "2 sentences in train.txt, 1 sentences in valid.txt, 2 sentences in test.txt" in capsys.readouterr().out


def test_the_training_text_is_of_the_transcribed_audio_alone(tables):
    """Copies at other speeds have no line in the set's own transcripts, and count once."""
    write(tables, lab=["c A DOG", "sp0.9-c A DOG"])
    assert sentences(tables, "--only", tables / "lab") == 0
    assert text(tables, "train") == "A DOG\n"
    assert text(tables, "valid") == "ONE\n"


def test_a_text_without_words_is_named(tables, capsys):
    write(tables, lab=["b"])
    assert sentences(tables, "--only", tables / "lab") == 1
    assert f"train: has no words among the utterances of {tables}/lab" in capsys.readouterr().err
    assert not (tables / "out").exists()
