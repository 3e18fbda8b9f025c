"""The first minutes: what stops tools/install.sh is one sentence with its remedy. Python and pip are stand-ins."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/bin/sh
case "$*" in
    -V) echo "Python {version}" ;;
    *"(3, 11)"*) exit {old} ;;
    *"-m venv"*) mkdir -p tools/venv/bin; {venv} ;;
    *"-m pip --version"*) echo "{pip}" ;;
    *"-m pip install"*) echo "$*" >>calls.txt; {install} ;;
esac
"""


@pytest.fixture
def install(tmp_path):
    """Run install.sh of a copy, with a stand-in for Python: exit status, output, errors."""
    for name in ("tools/install.sh", "tools/requirements.txt", "setup.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()

    def run(version="3.11.9", old=0, venv="cp bin/python3 tools/venv/bin/python", pip="pip 24.0", install=":", **more):
        program(tmp_path / "bin/python3", PYTHON.format(version=version, old=old, venv=venv, pip=pip, install=install))
        environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHON": "python3", "ROOM": "1"}
        done = subprocess.run(
            [tmp_path / "tools/install.sh"], env=environment | more, capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()

    return run


def program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def test_a_good_one_installs_all_and_is_silent_from_then_on(install, tmp_path):
    code, said, errors = install()
    assert (code, errors) == (0, [])
    assert len(said) == 2 and said[1].endswith("done; activate with: . tools/venv/bin/activate")
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    wanted = ("-r tools/requirements.txt", "espnet==2", "-e .")
    assert len(calls) == 3 and all(words in call for words, call in zip(wanted, calls, strict=True))
    assert install() == (0, [], [])
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == 3
    assert install(version="3.12.1")[0] == 0  # another Python: again
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == 6


REFUSED = "ERROR: Could not install packages due to an OSError: [Errno {}]"
DNS = "Failed to establish a new connection: [Errno -3] Temporary failure in name resolution"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"PYTHON": "python3.99"}, "python3.99: no such program; install Python 3.11 or 3.12"),
        ({"version": "3.8.18", "old": 1}, "python3 is Python 3.8.18, and kdasr needs 3.11 or newer; name one: PYTHON="),
        ({"ROOM": "99999999"}, "MB are free, and what kdasr runs on takes 99999999; free some, or copy kdasr to a"),
        ({"venv": "exit 1"}, "cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv"),
        ({"pip": "pip 21.3.1 from x"}, "has pip 21.3.1, and 22 or newer is needed; rm -r tools/venv, and run this ag"),
        ({"pip": ""}, "tools/venv has no pip, and 22 or newer is needed; rm -r tools/venv, and run this again"),
        ({"install": f"echo '{REFUSED.format('28] No space left on device')}'; exit 1"}, "no space is left on the"),
        ({"install": f"echo '{REFUSED.format('30] Read-only file system')}'; exit 1"}, "cannot be written; copy kdasr"),
        ({"install": f"echo '{DNS}'; exit 1"}, "does not reach its package index; run this again where there is a ne"),
        ({"install": "echo '(from versions: none)'; exit 1"}, "does not reach its package index; run this again where"),
    ],
)
def test_what_stops_it_is_one_sentence(install, tmp_path, given, said):
    code, _, errors = install(**given)
    assert code == 1 and len(errors) == 1, errors
    assert errors[0].startswith("install.sh: ") and said in errors[0]
    assert not (tmp_path / "tools/venv/.kdasr-installed").exists()
    if "venv" in given:
        assert not (tmp_path / "tools/venv").exists()  # a half of one would be taken for a whole one


def test_what_else_pip_says_is_shown(install):
    code, _, errors = install(install="echo 'ERROR: numpy 9 conflicts with torch'; exit 1")
    assert code == 1
    assert errors == [
        "ERROR: numpy 9 conflicts with torch",
        "install.sh: pip failed, for the reason above; run this again when it is mended",
    ]


def test_a_directory_that_cannot_be_written_is_named(tmp_path, install):
    place = tmp_path / "tools"
    place.chmod(0o555)
    try:
        if os.access(place, os.W_OK):
            pytest.skip("for root every directory can be written")
        code, _, errors = install()
        assert code == 1 and errors == [
            f"install.sh: {place} cannot be written; copy kdasr to a directory of your own, and run make there"
        ]
    finally:
        place.chmod(0o755)


@pytest.mark.parametrize(("port", "why"), [("", "Address already in use"), ("70000", ""), ("x", "a number from 1 to")])
def test_a_port_that_cannot_be_used_is_told_before_anything_is_made(tmp_path, port, why):
    with socket.create_server(("localhost", 0)) as taken:
        port = port or str(taken.getsockname()[1])
        done = subprocess.run(
            [ROOT / "tools/web_page.sh", tmp_path, tmp_path / "site", port], capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1 and not (tmp_path / "site").exists()
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"web_page.sh: port {port} cannot be used ({why}") and line.endswith("another one, as 8001")
