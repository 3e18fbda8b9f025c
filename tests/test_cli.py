"""The command: help is quick and complete, errors are one sentence."""

import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdasr import __version__
from kdasr.cli import COMMANDS, main, underscored
from kdasr.errors import UserError, exit_status, forgiving_output, refusal


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"kdasr {command} " in shown for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_examples(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert f"kdasr {command} " in shown.partition("examples")[2]


def test_help_imports_nothing_heavy():
    """What takes seconds to import stays out of --help (measured in modules, not in seconds)."""
    code = (
        "import sys; from kdasr.cli import COMMANDS, main\nheavy = {}\n"
        "for command in COMMANDS:\n"
        "    try: main([*command.split(), '--help'])\n"
        "    except SystemExit: pass\n"
        "    heavy[command] = sorted(sys.modules.keys() & "
        "{'torch', 'espnet2', 'scipy', 'librosa', 'kaldiio', 'soundfile'})\n"
        "print([command for command in heavy if heavy[command]], len(heavy))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == f"[] {len(COMMANDS)}"


def test_unknown_command_and_no_command(capsys):
    assert main(["distil"]) == 2
    shown = capsys.readouterr()
    assert shown.err.endswith("\nkdasr: there is no command 'distil'\n") and shown.out == ""
    assert main([]) == 2
    assert capsys.readouterr().out.startswith(f"kdasr {__version__}: ")
    for word in ("-h", "--help", "help"):
        assert main([word]) == 0
        assert capsys.readouterr().out.startswith(f"kdasr {__version__}: ")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"kdasr {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_two_words_is_its_own(command, capsys):
    """`nbest verify` is not `nbest` with an argument; help is of the very command."""
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    assert capsys.readouterr().out.startswith(f"usage: kdasr {command} [-h]")


def test_options_are_not_abbreviated(capsys):
    words = ["score", "--ref", "r", "--hyp", "h", "--dir", "d"]
    for short in (["--util", "x"], ["--wsj"], ["--case-sens"]):
        with pytest.raises(SystemExit) as stopped:
            main([*words, *short])
        assert stopped.value.code == 2
        assert f"unrecognized arguments: {short[0].replace('--case-sens', '--case_sens')}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (None, 0, ""),
        (UserError("a: is wrong; correct it"), 1, "kdasr x: a: is wrong; correct it\n"),
        (KeyboardInterrupt(), 130, "kdasr x: interrupted; what was finished stays; run it again to continue\n"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (MemoryError(), 1, "kdasr x: out of memory; use smaller batches, or a machine with more memory\n"),
        (ModuleNotFoundError("No module", name="jinja2.x"), 1, "kdasr x: jinja2 is not installed, which this needs; "
         "run tools/install.sh, or: pip install 'kdasr[recipes]'\n"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), 1, "kdasr x: a: is a directory; expected "
         "a file; remove it or name another place\n"),
    ],
)  # fmt: skip
def test_each_end_of_a_command_has_its_status(error, status, said, capsys):
    def work():
        if error is not None:
            raise error
        return 7  # is no status

    assert exit_status(work, "kdasr x") == status
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", said)


@pytest.mark.parametrize("error", [ValueError("a"), OSError(errno.EIO, "Input/output error", "disc"), OSError("no"),
                                   ModuleNotFoundError("x", name="kdasr.x"), ModuleNotFoundError("x")])  # fmt: skip
def test_what_is_our_own_fault_is_not_hidden(error):
    def work():
        raise error

    with pytest.raises(type(error)) as raised:
        exit_status(work, "kdasr x")
    assert raised.value is error


@pytest.mark.parametrize(
    ("number", "name", "said"),
    [
        (errno.EEXIST, "a", "a: file exists; this is a file, expected a directory; remove it or name another "
         "place"),
        (errno.ENOTDIR, "a", "a: not a directory; this is a file, expected a directory; remove it or name another "
         "place"),
        (errno.ENOENT, "a", "a: no such file or directory; check the name"),
        (errno.EPERM, "a", "a: operation not permitted; change its permissions or name another place"),
        (errno.EROFS, "a", "a: read-only file system; name another place"),
        (errno.ENAMETOOLONG, "a", "a: file name too long; give a shorter name"),
        (errno.ENOSPC, "a", "a: no space left on device; free some room and run again"),
        (errno.EDQUOT, "a", "a: disk quota exceeded; free some room and run again"),
        (errno.ENOSPC, None, "a file or the output cannot be written (no space left on device); free some room and run "
         "again"),
        (errno.EDQUOT, None, "a file or the output cannot be written (disk quota exceeded); free some room and run "
         "again"),
        (errno.EIO, None, "a file or the output cannot be written (input/output error); free some room and run again"),
        (errno.EIO, "a", None),
        (errno.ENOENT, None, None),
        (errno.EBADF, "a", None),
    ],
)  # fmt: skip
def test_a_refusal_has_the_remedy_of_its_reason(number, name, said):
    assert refusal(OSError(number, os.strerror(number), name)) == said


def test_a_letter_that_the_terminal_has_not_is_shown_as_a_number(monkeypatch):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="latin-1") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    forgiving_output()
    for stream in streams.values():
        stream.write("é 日")
        stream.flush()
        assert stream.buffer.getvalue() == b"\xe9 \\u65e5"
        stream.close()
    forgiving_output()  # closed ones are left alone


def test_output_that_is_lost_is_told_of(monkeypatch, capsys):
    """Onto a full disk, and into a pipe that nobody reads."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["--version"]) == 1
    said = "kdasr: standard output cannot be written (No space left on device); give it another place\n"
    assert capsys.readouterr().err == said
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["--version"]) == 141
    assert capsys.readouterr().err == ""


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
    "command",
    [
        "data mini --out FILE",
        "data text --out FILE",
        "lm words --text FILE --out FILE/words",
        "tokens --text FILE --out FILE/tokens",
        "score --ref FILE --hyp FILE --utt2spk FILE --dir FILE",
    ],
)
def test_a_file_where_a_directory_is_to_be(command, tmp_path, capsys):
    """The operating system's refusal is one sentence with a remedy, and the file stays as it was."""
    file = tmp_path / "file"
    file.write_text("utt1 a\n")
    assert main([word.replace("FILE", str(file)) for word in command.split()]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("kdasr ") and str(file) in said
    assert "this is a file, expected a directory; remove it" in said
    assert file.read_text() == "utt1 a\n"


def test_what_no_user_can_mend_keeps_its_traceback(monkeypatch, tmp_path):
    def fail(args):
        raise OSError(errno.EIO, "Input/output error", "disc")

    monkeypatch.setattr("kdasr.bin.data_text.run", fail)
    with pytest.raises(OSError, match="Input/output error"):
        main(["data", "text", "--out", str(tmp_path)])
    assert refusal(OSError("nothing said")) is None
    assert refusal(PermissionError(errno.EACCES, "Permission denied", "a")) == (
        "a: permission denied; change its permissions or name another place"
    )


def test_options_may_be_spelled_with_hyphens():
    words = ["--id-form", "--x-y=a-b", "--plain", "a-b", "-o", "--", "--a-b-c", "--a-b=c-d=e-f", "-a-b", ""]
    assert [underscored(word) for word in words] == [
        "--id_form", "--x_y=a-b", "--plain", "a-b", "-o", "--", "--a_b_c", "--a_b=c-d=e-f", "-a-b", "",
    ]  # fmt: skip


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
