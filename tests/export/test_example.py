"""The line that an export ends with can be pasted anywhere, and names a recording that is there."""

import shlex
from pathlib import Path

import pytest

from kdasr.export.example import recording, try_it


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("u here.wav\n", "here.wav"),
        ("u gone.wav\nv here.wav\n", "here.wav"),
        ("u sph2pipe -f wav here.wav |\n", "here.wav"),  # one that only decodes a file
        ("u all.ark:7\n", None),
        ("u gone.wav\n", None),
    ],
)
def test_the_first_recording_that_is_a_file(lines, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.wav").write_bytes(b"")
    (tmp_path / "all.ark").write_bytes(b"")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/wav.scp").write_text(lines)
    assert recording(tmp_path / "set") == (found and tmp_path / found)


def test_the_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a set").mkdir()
    (tmp_path / "a set/wav.scp").write_text("u my talk.wav\n")
    (tmp_path / "my talk.wav").write_bytes(b"")
    *_, line = try_it(Path("b.zip"), Path("a set")).splitlines()
    assert shlex.split(line)[-4:] == ["transcribe", "--model", str(tmp_path / "b.zip"), str(tmp_path / "my talk.wav")]
    assert try_it(Path("b.zip"), None).endswith(f"{tmp_path}/b.zip recording.wav")
    assert try_it(Path("b.zip"), tmp_path).endswith(" recording.wav")  # a set of features alone
