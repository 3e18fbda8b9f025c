"""The command: help is quick and complete, errors are one sentence."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdasr.cli import VERBS, main, underscored
from kdasr.errors import refusal


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"kdasr {verb} " in shown for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_has_examples(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*verb.split(), "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert f"kdasr {verb} " in shown.partition("examples")[2]


@pytest.mark.parametrize("verb", VERBS)
def test_help_imports_nothing_heavy(verb):
    """What takes seconds to import stays out of --help (measured in modules, not in seconds)."""
    code = (
        f"import sys; from kdasr.cli import main\ntry: main({[*verb.split(), '--help']!r})\nexcept SystemExit: pass\n"
        "print(sorted(sys.modules.keys() & {'torch', 'espnet2', 'scipy', 'librosa', 'kaldiio', 'soundfile'}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"


def test_unknown_verb_and_no_verb(capsys):
    assert main(["distil"]) == 2
    assert "'distil'" in capsys.readouterr().err
    assert main([]) == 2


def test_an_error_is_one_sentence_without_traceback(tmp_path):
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "kdasr.cli",
            "train",
            "--config",
            "nowhere.yaml",
            "--train",
            str(tmp_path),
            "--valid",
            str(tmp_path),
            "--tokens",
            str(tmp_path),
            "--out",
            str(tmp_path / "exp"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr.splitlines() == ["kdasr train: nowhere.yaml: no such file; name a config first"]
    assert not (tmp_path / "exp").exists()


@pytest.mark.parametrize(
    "verb",
    [
        "data mini --out FILE",
        "data text --out FILE",
        "lm words --text FILE --out FILE/words",
        "tokens --text FILE --out FILE/tokens",
        "score --ref FILE --hyp FILE --utt2spk FILE --dir FILE",
    ],
)
def test_a_file_where_a_directory_is_to_be(verb, tmp_path, capsys):
    """The operating system's refusal is one sentence with a remedy, and the file stays as it was."""
    file = tmp_path / "file"
    file.write_text("utt1 a\n")
    assert main([word.replace("FILE", str(file)) for word in verb.split()]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("kdasr ") and str(file) in said
    assert "a file stands where a directory is to be; remove it" in said
    assert file.read_text() == "utt1 a\n"


def test_what_no_user_can_mend_keeps_its_traceback(monkeypatch, tmp_path):
    def fail(args):
        raise OSError(errno.EIO, "Input/output error", "disc")

    monkeypatch.setattr("kdasr.data.articles.run", fail)
    with pytest.raises(OSError, match="Input/output error"):
        main(["data", "text", "--out", str(tmp_path)])
    assert refusal(OSError("nothing said")) is None
    assert refusal(PermissionError(errno.EACCES, "Permission denied", "a")) == (
        "a: permission denied; change its permissions or name another place"
    )


def test_options_may_be_spelled_with_hyphens():
    words = ["--id-form", "--x-y=a-b", "--plain", "a-b", "-o", "--"]
    assert [underscored(word) for word in words] == ["--id_form", "--x_y=a-b", "--plain", "a-b", "-o", "--"]


@pytest.fixture(scope="module")
def latin1(tmp_path_factory):
    """The environment of a Latin-1 locale."""
    root = tmp_path_factory.mktemp("locale")
    made = shutil.which("localedef") and subprocess.run(
        ["localedef", "-i", "en_US", "-f", "ISO-8859-1", root / "en_US"], capture_output=True, check=False
    )
    if not made or not (root / "en_US").is_dir():
        pytest.skip("needs localedef and the sources of en_US (Debian: locales or libc-bin)")
    return {**os.environ, "LOCPATH": str(root), "LC_ALL": "en_US"}


def test_a_latin1_locale(tmp_path, latin1):
    """Files are found and named in UTF-8, as in lists; a letter that the terminal has not is shown as a number."""
    (tmp_path / "ü").mkdir()
    (tmp_path / "ü/日本").write_text("u1 é 明\n", encoding="utf-8")
    command = [sys.executable, "-m", "kdasr.cli", "tokens", "--text", "ü/日本", "--out", "ü/t", "--check", "ü/日本"]
    done = subprocess.run(command, cwd=tmp_path, env=latin1, capture_output=True, check=False)
    assert done.returncode == 0 and done.stderr == b""
    assert "é" in (tmp_path / "ü/t/tokens.txt").read_text(encoding="utf-8")
    assert done.stdout.startswith("ü/t: ".encode("latin-1")) and rb"\u65e5\u672c" in done.stdout
    script = Path(__file__).parents[1] / "utils/utt2spk_to_spk2utt.py"
    (tmp_path / "ü/u2s").write_text("u1 日\n", encoding="utf-8")
    done = subprocess.run([sys.executable, script, "ü/u2s"], cwd=tmp_path, env=latin1, capture_output=True, check=False)
    assert done.returncode == 0 and done.stdout == b"\\u65e5 u1\n"


def test_a_name_that_is_no_text_is_refused(tmp_path):
    command = [sys.executable.encode(), b"-m", b"kdasr.cli", b"tokens", b"--text", b"x", b"--out", b"o\xff"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"}
    )
    assert done.returncode == 1 and b"is not UTF-8; rename the file" in done.stderr and done.stderr.count(b"\n") == 1
