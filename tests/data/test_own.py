"""`kdasr data own`: data directories of somebody's own become the sets of a recipe, and stay as they are."""

import numpy as np
import pytest
import soundfile

from kdasr.cli import main
from kdasr.data.own import whole
from kdasr.data.places import RUN_COMMANDS
from kdasr.errors import UserError
from kdasr.files import read_table, write_table


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Four sets of two utterances each; audio by relative paths, one set with segments, one without text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audio").mkdir()
    for name in ("train", "dev", "phone", "calls"):
        keys = [f"{name}-a", f"{name}-b"]
        for key in keys:
            soundfile.write(tmp_path / "audio" / f"{key}.wav", np.zeros(1600, dtype=np.int16), 16000)
        folder = tmp_path / "kaldi" / name
        write_table(folder / "wav.scp", {key: f"audio/{key}.wav" for key in keys})
        write_table(folder / "utt2spk", {key: name for key in keys})
        if name != "calls":
            write_table(folder / "text", dict.fromkeys(keys, "A B"))
        write_table(folder / "feats.scp", dict.fromkeys(keys, "raw.ark:5"))  # of another toolkit
    write_table(tmp_path / "kaldi/dev/wav.scp", {"rec": "audio/dev-a.wav"})
    write_table(tmp_path / "kaldi/dev/segments", {"dev-a": "rec 0 0.04", "dev-b": "rec 0.05 0.09"})
    return tmp_path


def own(*more, train="kaldi/train", valid="kaldi/dev", test=("kaldi/phone",), out="data"):
    return main(["data", "own", "--train", train, "--valid", valid, "--test", *test, "--out", out, *more])


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_sets_are_copied_and_left_as_they_are(mine, capsys):
    before = contents(mine / "kaldi")
    assert own("--unlabelled", "kaldi/calls", test=("kaldi/phone", "kaldi/dev")) == 0
    assert contents(mine / "kaldi") == before
    assert sorted(path.name for path in (mine / "data").iterdir()) == [
        "test_dev", "test_phone", "train", "unlabelled", "valid",
    ]  # fmt: skip
    assert read_table(mine / "data/train/wav.scp") == {f"train-{x}": str(mine / f"audio/train-{x}.wav") for x in "ab"}
    assert read_table(mine / "data/train/spk2utt") == {"train": "train-a train-b"}
    assert read_table(mine / "data/valid/segments") == {"dev-a": "rec 0 0.04", "dev-b": "rec 0.05 0.09"}
    assert {path.name for path in (mine / "data/unlabelled").iterdir()} == {"wav.scp", "utt2spk", "spk2utt"}
    assert not list((mine / "data").rglob("feats.scp"))
    assert "data/unlabelled: 2 utterances, 1 speakers, from kaldi/calls" in capsys.readouterr().out


def test_transcripts_of_the_set_that_nobody_transcribed_are_left_behind(mine):
    write_table(mine / "kaldi/calls/text", dict.fromkeys(["calls-a", "calls-b"], "SECRET"))
    assert own("--unlabelled", "kaldi/calls") == 0
    assert not (mine / "data/unlabelled/text").exists()


def test_relative_audio_is_taken_from_a_named_directory(mine, monkeypatch):
    (mine / "elsewhere").mkdir()
    monkeypatch.chdir(mine / "elsewhere")
    given = {"train": "../kaldi/train", "valid": "../kaldi/dev", "test": ("../kaldi/phone",)}
    assert own(**given) == 1
    assert own("--base", "..", **given) == 0
    assert read_table("data/train/wav.scp")["train-a"] == str(mine / "audio/train-a.wav")
    monkeypatch.setenv(RUN_COMMANDS, "1")
    assert whole("speak x |", mine, "w") == "speak x |"  # a command that its owner lets run
    with pytest.raises(UserError, match=r"wav\.scp: u: .*/none\.wav: no such file; relative paths are taken from"):
        whole("none.wav", mine, "wav.scp: u")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda k: (k / "train/text").unlink(), "kaldi/train/text: no such file"),
        (lambda k: (k / "train/wav.scp").unlink(), "kaldi/train/wav.scp: no such file"),
        (lambda k: (k / "train/utt2spk").unlink(), "kaldi/train/utt2spk: no such file"),
        (lambda k: write_table(k / "train/text", {"train-a": "A B"}), "kaldi/train: text: "),
        (lambda k: write_table(k / "train/utt2spk", {"phone-a": "x", "train-b": "x"}), "utterance phone-a is in both"),
        (lambda k: write_table(k / "calls/utt2spk", {"phone-a": "x", "calls-b": "x"}), "utterance phone-a is in both"),
        (
            lambda k: write_table(
                k / "calls/wav.scp", {"calls-a": "audio/phone-b.wav", "calls-b": "audio/calls-b.wav"}
            ),
            "audio/phone-b.wav is in both; take it out of one of them",
        ),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written_into_originals(mine, break_it, said, capsys):
    break_it(mine / "kaldi")
    before = contents(mine / "kaldi")
    assert own("--unlabelled", "kaldi/calls") == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert contents(mine / "kaldi") == before


def test_originals_are_never_replaced(mine, capsys):
    before = contents(mine / "kaldi")
    for more in ({"out": "kaldi", "valid": "kaldi/phone", "test": ("kaldi/dev",)}, {"out": "kaldi/train"}):
        assert own(**more) == 1
        assert "would be replaced by its copy" in capsys.readouterr().err
    assert own(test=("kaldi/phone", "audio/../kaldi/phone")) == 1
    assert "another test set is called test_phone, too" in capsys.readouterr().err
    assert contents(mine / "kaldi") == before


def test_one_directory_may_be_two_sets_but_not_the_untranscribed_one(mine, capsys):
    assert own(valid="kaldi/phone") == 0
    assert own("--unlabelled", "kaldi/train") == 1
    assert "utterance train-a is in both" in capsys.readouterr().err


def test_commands_of_a_list_are_not_run(mine, capsys):
    write_table(mine / "kaldi/train/wav.scp", {"train-a": f"touch {mine}/ran |", "train-b": "audio/train-b.wav"})
    assert own() == 1
    assert "train-a" in capsys.readouterr().err and not (mine / "ran").exists()


def test_a_folder_of_audio_is_the_set_that_nobody_transcribed(mine, capsys):
    folder = mine / "recordings/monday"
    folder.mkdir(parents=True)
    soundfile.write(folder / "one.wav", np.zeros(1600, dtype=np.int16), 16000)
    (folder / "notes.txt").write_text("x")
    assert own("--unlabelled", "recordings") == 0
    assert read_table(mine / "data/unlabelled/wav.scp") == {"monday-one": str(folder / "one.wav")}
    assert "recordings: 1 other files left out (first: monday/notes.txt)" in capsys.readouterr().out
    assert own("--unlabelled", "audio") == 1  # which are those of the other sets
    assert "is in both; take it out of one of them" in capsys.readouterr().err
    assert own(train="recordings") == 1  # without transcripts
    assert "recordings/utt2spk: no such file" in capsys.readouterr().err
