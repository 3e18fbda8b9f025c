"""`kdasr data own`: data directories of somebody's own become the sets of a recipe, and stay as they are."""

import hashlib

import numpy as np
import pytest
import soundfile
from needs import need

from kdasr.cli import main
from kdasr.data import own as own_sets
from kdasr.data.own import whole
from kdasr.data.places import RUN_COMMANDS, Place, parse
from kdasr.data.recording import resample, trim
from kdasr.data.voices import Espeak
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
    given = [*(["--train", train] if train else []), *(["--valid", valid] if valid else [])]
    return main(["data", "own", *given, "--test", *test, "--out", out, "--nj", "1", *more])


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


def many(mine, count, seconds=0.1):
    """A folder of so many files."""
    (mine / "many").mkdir()
    for number in range(count):
        soundfile.write(mine / "many" / f"u{number:04d}.wav", np.zeros(round(16000 * seconds), dtype=np.int16), 16000)


@pytest.mark.parametrize(("count", "held"), [(2, 1), (41, 2)])
def test_without_transcripts_a_share_is_held_out_for_validation(mine, count, held, monkeypatch):
    """The first in the order of the hashes of their names: the same each time, and those of a larger set among them."""
    many(mine, count)
    assert own("--unlabelled", "many", train="", valid="") == 0
    names = {f"u{number:04d}" for number in range(count)}
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"0 {name}".encode()).hexdigest())
    assert set(read_table(mine / "data/valid/utt2spk")) == set(ranked[:held])
    assert set(read_table(mine / "data/unlabelled/utt2spk")) == names - set(ranked[:held])
    assert not (mine / "data/valid/text").exists() and not (mine / "data/train").exists()
    assert (mine / "data/test_phone/text").is_file()
    monkeypatch.setattr(own_sets, "MOST", 1)
    assert own("--unlabelled", "many", train="", valid="", out="few") == 0
    assert set(read_table(mine / "few/valid/utt2spk")) == set(ranked[:1])


@pytest.mark.parametrize(
    ("more", "given", "said"),
    [
        ((), {"train": "", "valid": ""}, "nothing to train on; name --train and --valid, or --unlabelled"),
        ((), {"valid": ""}, "--train and --valid: name both"),
        (("--unlabelled", "many"), {"train": ""}, "--train and --valid: name both"),
        (("--unlabelled", "many"), {"train": "", "valid": ""}, "many: has one utterance, and one is needed for"),
    ],
)
def test_what_is_missing(mine, more, given, said, capsys):
    many(mine, 1)
    assert own(*more, **given) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and not (mine / "data").exists()


def test_what_is_long_is_refused_by_name_or_cut(mine, capsys):
    """Before anything is written; of a recording with segments their lengths count; 40 s are not too long."""
    need("espeak")
    espeak = Espeak()
    said = trim(resample(espeak.say("seven of the banks are closed", "en-us+m3", 160, 50), espeak.rate))
    gap = np.zeros(16000 * 6)
    recording = np.concatenate([np.concatenate([gap, said * 8000]) for _ in range(7)]).astype(np.int16)
    (mine / "long").mkdir()
    soundfile.write(mine / "long/a.wav", np.stack([recording * 0, recording], 1), 16000)
    soundfile.write(mine / "long/b.wav", np.zeros((640000, 2), np.int16), 16000)
    assert own("--unlabelled", "long", "--channel", "2") == 1
    error = capsys.readouterr().err
    seconds = len(recording) / 16000
    assert (
        f"long: a lasts {seconds:.0f} s (1 of 2 last more than 40), too long" in error and "--cut_seconds 20" in error
    )
    assert error.count("\n") == 1 and not (mine / "data").exists()
    assert own("--unlabelled", "long", "--cut_seconds", "40", "--channel", "2") == 0
    assert "long: 1 of 2 recordings cut into 7 utterances" in capsys.readouterr().out
    found = read_table(mine / "data/unlabelled/segments")
    assert len(found) == 8 and found["b"] == "b 0 -1 1"
    write_table(mine / "cut/wav.scp", {"a": "long/a.wav"})
    write_table(mine / "cut/segments", {"x": "a 0 30", "y": "a 5 -1 1"})
    write_table(mine / "cut/utt2spk", {"x": "x", "y": "y"})
    assert own("--unlabelled", "cut") == 1
    assert f"cut: y lasts {seconds - 5:.0f} s (1 of 2 last more than 40)" in capsys.readouterr().err
    assert own("--unlabelled", "kaldi/calls", "--cut_seconds", "20") == 0
    assert "none of 2 recordings is cut" in capsys.readouterr().out
    assert not (mine / "data/unlabelled/segments").exists()


def eight_kilohertz(mine, name):
    soundfile.write(mine / "audio" / f"{name}.wav", np.zeros(800, dtype=np.int16), 8000)


def test_audio_that_stage_2_would_stop_at_is_named_by_its_header(mine, capsys):
    """All sets are looked at before one is copied; what --audio_opts allows is let through."""
    eight_kilohertz(mine, "calls-b")
    assert own("--unlabelled", "kaldi/calls") == 1
    said = capsys.readouterr().err
    assert "kaldi/calls/wav.scp: calls-b: " in said and "calls-b.wav has 8000 Hz" in said
    assert "train-a.wav has 16000; convert one of them, or have it done with --audio_opts --resample" in said
    assert said.count("\n") == 1 and not (mine / "data").exists()
    assert own("--unlabelled", "kaldi/calls", "--resample") == 0
    soundfile.write(mine / "audio/phone-a.wav", np.zeros((1600, 2), dtype=np.int16), 16000)
    assert own() == 1
    assert "phone/wav.scp: phone-a: " in (said := capsys.readouterr().err) and "has 2 channels; name the one" in said
    assert own("--channel", "2") == 0
    (mine / "audio/phone-a.wav").write_text("no audio")
    assert own() == 1
    assert "kaldi/phone/wav.scp: phone-a: " in (said := capsys.readouterr().err) and "is not audio" in said


@pytest.mark.parametrize(
    ("segment", "right"),
    [("rec 0 0.1", 1), ("rec 0 0.59", 1), ("rec 0 0.61", 0), ("rec 0.1 0.2", 0), ("rec 0.09 -1", 1), ("rec 0.2 -1", 0)],
)
def test_segments_end_with_their_audio(mine, segment, right, capsys):
    """0.1 s of it; Kaldi lets a segment end half a second late."""
    write_table(mine / "kaldi/dev/segments", {"dev-a": segment, "dev-b": "rec 0.05 0.09"})
    assert own() == (0 if right else 1)
    said = capsys.readouterr().err
    assert right or ("segments: dev-a: goes from 0" in said and "dev-a.wav lasts 0.10 s; correct it" in said)


def test_channels_of_segments_and_of_lists_are_chosen(mine, capsys):
    soundfile.write(mine / "audio/dev-a.wav", np.zeros((1600, 2), dtype=np.int16), 16000)
    write_table(mine / "kaldi/dev/segments", {"dev-a": "rec 0 0.04 0", "dev-b": "rec 0.05 0.09 1"})
    assert own() == 0
    write_table(mine / "kaldi/dev/segments", {"dev-a": "rec 0 0.04", "dev-b": "rec 0.05 0.09"})
    write_table(mine / "kaldi/dev/wav.scp", {"rec": "sox audio/dev-a.wav -t wav - remix 2 |"})
    assert own() == 0
    ((_, entry),) = read_table(mine / "data/valid/wav.scp").items()
    assert parse(entry, "rec") == Place(str(mine / "audio/dev-a.wav"), channel=2)


def test_a_set_to_train_on_is_no_other_set(mine, capsys):
    for given in ({"valid": "kaldi/train"}, {"test": ("kaldi/phone", "kaldi/train")}):
        assert own(**given) == 1
        assert "utterance train-a is in both" in capsys.readouterr().err


def test_directories_that_are_not_there_or_empty(mine, capsys):
    assert own(train="kaldi/trian") == 1
    assert "kaldi/trian: no such directory; expected a data directory" in capsys.readouterr().err
    (mine / "none").mkdir()
    for given in ({"train": "none"}, {"test": ("none",)}):
        assert own(**given) == 1
        assert "none: is empty; expected a data directory" in capsys.readouterr().err
    for name in ("wav.scp", "text", "utt2spk"):
        (mine / "kaldi/phone" / name).write_text("")
    assert own() == 1
    assert "kaldi/phone/wav.scp: is empty" in capsys.readouterr().err
