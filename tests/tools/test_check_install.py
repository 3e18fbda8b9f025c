"""tools/check_install.py: the list, its exit status, and where it looks."""

import importlib.util
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parents[2] / "tools/check_install.py"
spec = importlib.util.spec_from_file_location("check_install", CHECK)
check_install = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_install)


def run(*options, words=()):
    done = subprocess.run([sys.executable, *options, CHECK, *words], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_here_nothing_required_is_missing():
    code, lines, err = run()
    assert (code, err) == (0, "")
    assert all(line.startswith(("[x] ", "[ ] ")) for line in lines)
    assert f"[x] numpy: {metadata.version('numpy')}" in lines
    assert any(line.startswith(f"[x] espnet: {metadata.version('espnet')} (shared parts in ") for line in lines)
    assert len(lines) == len(check_install.PACKAGES) + 4


def test_without_packages_it_says_what_each_would_give_and_fails():
    code, lines, err = run("-S")  # no site-packages
    assert code == 1
    assert "[ ] torch: required: networks, training, decoding (tools/install.sh)" in lines
    assert "[ ] av: it would give shorten-compressed SPHERE, as on the real WSJ discs (pip install av)" in lines
    required = [name for name, (_, needed) in check_install.PACKAGES.items() if needed]
    assert err == f"kdasr cannot run without {', '.join(required)}\n"


def test_it_is_light():
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['check_install.py']\n"
        f"try: runpy.run_path({str(CHECK)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [m for m in ('numpy', 'scipy', 'espnet2', 'soundfile', 'av') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    if "[x] CUDA" in done.stdout:
        pytest.skip("torch, which is imported where there is a GPU, imports numpy")
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize(
    "version, said",
    [
        ("202511", "202511 (shared parts in espnet.nets)"),
        ("202609.post2", "202609.post2 (shared parts in espnet2.legacy.nets; Python 3.12)"),
        ("202611", "202611 (shared parts in espnet2.legacy.nets; Python 3.12)"),
        ("202402", "202402 (shared parts in espnet.nets; older than kdasr is tested with)"),
        ("0.10.7", "0.10.7 (kdasr knows 202511 and later)"),
    ],
)
def test_espnet_generations(version, said):
    assert check_install.espnet_generation(version) == said


def program(path, text="#!/bin/sh\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_where_sclite_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(check_install, "SCTK", tmp_path / "debian")
    find, empty = check_install.find_sclite, str(tmp_path / "empty")
    assert find({"PATH": empty}) == ""
    debian = program(tmp_path / "debian/sclite")
    assert find({"PATH": empty}) == debian
    told = program(tmp_path / "told/sclite")
    program(tmp_path / "sctk/sctk", f'#!/bin/sh\n[ "$1" = path ] && echo {tmp_path}/told\n')
    assert find({"PATH": str(tmp_path / "sctk")}) == told
    on_path = program(tmp_path / "bin/sclite")
    assert find({"PATH": f"{tmp_path}/sctk:{tmp_path}/bin"}) == on_path
    own = program(tmp_path / "own/my-sclite")
    assert find({"PATH": str(tmp_path / "bin"), "SCLITE": own}) == own
    assert find({"PATH": str(tmp_path / "bin"), "SCLITE": "/nowhere"}) == on_path


def test_help():
    code, lines, _ = run(words=["--help"])
    assert code == 0 and any("Exit status" in line for line in lines)
