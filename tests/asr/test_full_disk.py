"""A disk that is full while a network is trained: one sentence, nothing lost, and once there is room it goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import train, write_place

SMALL, LARGE = "160k", "20m"  # less than the checkpoints of three epochs, and more


@pytest.fixture
def disk(tmp_path):
    """A file system of its own."""
    (tmp_path / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(tmp_path / "disk")]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small file system")
    yield tmp_path / "disk"
    subprocess.run(["umount", "-l", tmp_path / "disk"], check=True)


def test_a_training_on_a_full_disk(tmp_path, disk, capfd):
    place = write_place(tmp_path / "place")
    assert train(place, tmp_path / "whole") == 0
    capfd.readouterr()
    assert train(place, disk / "m") == 1
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("kdasr train: ")]
    assert len(said) == 1 and "cannot be written" in said[0] and "free some room" in said[0]
    assert not (disk / "m" / "kdasr.json").exists()
    assert not list((disk / "m").rglob("*.tmp"))
    subprocess.run(["mount", "-o", f"remount,size={LARGE}", disk], check=True)
    assert train(place, disk / "m") == 0
    one, other = (
        torch.load(path / "valid.acc.ave.pth", weights_only=True) for path in (tmp_path / "whole", disk / "m")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_output_that_cannot_be_written(tmp_path):
    """/dev/full takes nothing: of what is printed, and as a file that is asked for."""
    (tmp_path / "text").write_text("u1 A B\n")
    command = f"{sys.executable} -m kdasr.cli tokens --text {tmp_path}/text --out {tmp_path}/t"
    done = subprocess.run(f"{command} >/dev/full", shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "output cannot be written (no space left" in done.stderr.lower()
    done = subprocess.run(
        command.replace(f"{tmp_path}/t", "/dev/full"), shell=True, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "/dev/full" in done.stderr
    assert Path("/dev/full").is_char_device()
