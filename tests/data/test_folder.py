"""A folder of audio files without lists -> a data directory without text."""

import pytest
import soundfile
from made_corpora import RATE, noise, validate

from kdasr.cli import main
from kdasr.files import read_table


def fill(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".wav", ".flac"):
            soundfile.write(path, noise(800), RATE)
        else:
            path.write_text("a note\n")


def prepare(folder, out):
    return main(["data", "folder", "--in", str(folder), "--out", str(out)])


def test_ids_are_the_paths(tmp_path, capsys):
    calls = tmp_path / "calls"
    fill(calls, "2024/may 1/a.b.wav", "2024/c.FLAC", "z.wav", "notes.txt", ".hidden/x.wav", "2024/.y.wav")
    (calls / "linked.wav").symlink_to(calls / "z.wav")
    assert prepare(calls, tmp_path / "data/calls") == 0
    out = tmp_path / "data/calls"
    assert read_table(out / "wav.scp") == {
        "2024-c": f"{calls}/2024/c.FLAC",
        "2024-may_1-a.b": f"{calls}/2024/may 1/a.b.wav",
        "linked": f"{calls}/linked.wav",
        "z": f"{calls}/z.wav",
    }
    assert (out / "utt2spk").read_text() == "2024-c 2024-c\n2024-may_1-a.b 2024-may_1-a.b\nlinked linked\nz z\n"
    assert not (out / "text").exists()
    assert capsys.readouterr().out == (f"{out}: 4 utterances, 4 speakers; 1 other files left out (first: notes.txt)\n")
    validate(out, "--no-text")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no such folder"),
        (["a.txt"], "no audio is in it (1 other files)"),
        (["a/b.wav", "a-b.wav"], "has the id a-b, and so has"),
        (["a.wav", "a.flac"], "has the id a, and so has"),
        (["a\nb.wav"], "has a tab, line break or the like in its name"),
    ],
)
def test_what_makes_no_list(tmp_path, capsys, names, words):
    fill(tmp_path / "calls", *names)
    assert prepare(tmp_path / "calls", tmp_path / "data") == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_the_folder_itself_is_not_written_to(tmp_path, capsys):
    fill(tmp_path / "calls", "a.wav")
    assert prepare(tmp_path / "calls", tmp_path / "calls") == 1
    assert "is there and no data directory" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "calls").iterdir()] == ["a.wav"]
