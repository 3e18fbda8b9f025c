"""kdasr transcribe: files, folders, formats, files that cannot be read, terminals that cannot print."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from bundles import RATE, export, kdasr, speech, write_data, write_model
from search_models import TOKENS

from kdasr.runtime.recognizer import Recognizer

# A letter that no terminal of another script has.
TOKENS_OF_JAPAN = [{"b": "日"}.get(token, token) for token in TOKENS]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("place")
    export(write_model(root / "m", changes={"token_list": TOKENS_OF_JAPAN}), root / "b.zip")
    (root / "audio" / "sub").mkdir(parents=True)
    for name, seconds in (("b.wav", 0.9), ("a.flac", 1.2), ("sub/c.WAV", 0.7)):
        soundfile.write(root / "audio" / name, speech(seconds, seed=ord(name[0])), RATE, subtype="PCM_16")
    (root / "audio" / "notes.txt").write_text("no audio")
    return root


def transcribe(place, *words):
    return kdasr("transcribe", "--model", place / "b.zip", *words)


def test_files_and_folders(place, capsys):
    audio = place / "audio"
    paths = [audio / "a.flac", audio / "b.wav", audio / "sub/c.WAV"]
    recognizer = Recognizer(place / "b.zip")
    lines = [f"{path}\t{recognizer.transcribe(path).text}\n" for path in paths]
    assert transcribe(place, audio) == 0
    assert capsys.readouterr().out == "".join(lines)
    assert transcribe(place, paths[1], paths[0]) == 0
    assert capsys.readouterr().out == lines[1] + lines[0]
    assert transcribe(place, place / "m", "--format", "text") == 1
    assert f"{place}/m: holds no audio (.wav .flac" in capsys.readouterr().err


def test_formats_onto_one_stream_and_into_a_directory(place, capsys, tmp_path):
    audio = place / "audio"
    assert transcribe(place, audio / "b.wav", audio / "a.flac", "--format", "json", "--nbest", 3) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["audio"] for row in rows] == [str(audio / "b.wav"), str(audio / "a.flac")]
    assert [row["seconds"] for row in rows] == [0.9, 1.2] and all(1 < len(row["nbest"]) <= 3 for row in rows)
    for kind in ("text", "json", "trn", "srt", "vtt"):
        assert transcribe(place, audio, "--format", kind, "--out", tmp_path / kind) == 0
        assert capsys.readouterr().out == ""
        suffix = {"text": "txt"}.get(kind, kind)
        assert sorted(path.name for path in (tmp_path / kind).iterdir()) == [f"{stem}.{suffix}" for stem in "abc"]
        assert transcribe(place, audio / "b.wav", "--format", kind) == 0
        assert capsys.readouterr().out == (tmp_path / kind / f"b.{suffix}").read_text()
    assert transcribe(place, audio, "--format", "srt") == 1
    assert "--format srt: is a file for each audio file, and there are 3; give --out DIR" in capsys.readouterr().err


def test_what_cannot_be_read_is_named_and_the_rest_is_done(place, tmp_path, capsys):
    (tmp_path / "text.wav").write_text("no audio " * 20)
    (tmp_path / "empty.wav").write_text("")
    soundfile.write(tmp_path / "zero.wav", np.zeros(0, np.int16), RATE)
    soundfile.write(tmp_path / "good.wav", speech(0.5), RATE)
    names = ["text.wav", "empty.wav", "zero.wav", "gone.wav", "good.wav"]
    assert transcribe(place, *(tmp_path / name for name in names)) == 1
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 5 and lines[-1] == "kdasr transcribe: 4 of 5 could not be transcribed; the reasons stand above"
    for line, name in zip(lines, names[:4], strict=False):
        assert line.startswith("kdasr transcribe: ") and name in line
    assert said.out.startswith(f"{tmp_path}/good.wav\t") and said.out.count("\n") == 1


def test_files_of_one_name_are_not_written_over_each_other(place, tmp_path, capsys):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a.wav", speech(0.5), RATE)
    assert transcribe(place, tmp_path, "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/one/a.wav and {tmp_path}/two/a.wav: would both be written to {tmp_path}/out/a.txt" in said
    assert not (tmp_path / "out").exists()
    data = write_data(tmp_path / "d", {"s.1": speech(0.5, seed=1), "s.2": speech(0.6, seed=2)})
    assert transcribe(place, "--data", data, "--format", "vtt", "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["s.1.vtt", "s.2.vtt"]


def test_neither_or_both(place, capsys):
    for words in ((), ("a.wav", "--data", "d")):
        assert transcribe(place, *words) == 1
        assert "expected audio: name files or folders, or a data directory" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_letters_that_the_terminal_has_not(place, encoding):
    """They are shown as numbers and nothing fails; a file is UTF-8 whatever the terminal is."""
    words = [sys.executable, "-m", "kdasr.cli", "transcribe", "--model", place / "b.zip", place / "audio/a.flac"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    answer = subprocess.run(words, capture_output=True, env=environment, check=False)
    text = Recognizer(place / "b.zip").transcribe(place / "audio/a.flac").text
    assert answer.returncode == 0 and "日" in text
    shown = answer.stdout.decode(encoding).partition("\t")[2].strip()
    assert shown in (text.replace("日", "\\u65e5"), text.encode().decode("latin-1"))
    out = place / f"out_{encoding}"
    subprocess.run([*words, "--out", out], env=environment | {"LC_ALL": "C"}, check=True)
    assert (out / "a.txt").read_text(encoding="utf-8").partition("\t")[2].strip() == text


def test_neither_torch_nor_espnet_is_imported(place):
    """Nor what only training needs: a bundle runs where these are not installed."""
    heavy = {"torch", "espnet2", "espnet", "yaml", "scipy", "kaldiio", "sentencepiece", "onnx", "av", "soxr"}
    code = (
        "import sys; from kdasr.cli import main\n"
        f"assert main(['transcribe', '--model', '{place}/b.zip', '{place}/audio/a.flac']) == 0\n"
        "import kdasr; kdasr.Recognizer\n"
        f"print(sorted(sys.modules.keys() & {heavy!r}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"


def test_a_pipe_that_closes_is_no_error(place):
    command = f"{sys.executable} -m kdasr.cli transcribe --model {place}/b.zip {place}/audio | head -n 1"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert answer.stderr == "" and answer.stdout.count("\n") == 1
