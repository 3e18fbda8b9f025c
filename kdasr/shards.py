"""Work cut into shards: any of them can be lost and made again, and none is made twice.

A directory of shards holds `manifest.json` (what makes it: the settings and hashes), and one
file or group of files a shard, each of which appears whole or not at all. How many processes
or cluster jobs work on it does not matter: job J of N takes every shard S with S % N == J - 1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, write_json


def cut(keys: Sequence[str], size: int) -> list[list[str]]:
    """Cut keys, in their order, into shards of `size`, the last one smaller."""
    return [list(keys[start : start + size]) for start in range(0, len(keys), size)]


def parse_job(text: str) -> tuple[int, int]:
    """`--job 3/16` as (3, 16): the third of sixteen processes; UserError if it is not of that form."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--job {text}: expected J/N with 1 <= J <= N, as in --job 3/16")
    return int(match[1]), int(match[2])


def digest(path: str | Path) -> str:
    """Sixteen hex digits that name the bytes of a file."""
    value = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            value.update(block)
    return value.hexdigest()[:16]


def claim(directory: str | Path, settings: Mapping[str, Any]) -> None:
    """Write `manifest.json` with these settings, or check that the one there is the same.

    Several jobs of one run may call this at once.

    Raises:
        UserError: the directory was made with other settings (each differing one is named).
    """
    path = Path(directory) / "manifest.json"
    with only_writer(path.parent, name=".manifest.lock", wait=30):
        if not path.exists():
            write_json(path, settings)
            return
        there = read_json(path)
    differing = sorted(k for k in {*there, *settings} if there.get(k) != settings.get(k))
    if differing:
        shown = "; ".join(f"{k} was {there.get(k)!r}, now {settings.get(k)!r}" for k in differing[:3])
        raise UserError(f"{directory}: made with other settings ({shown}); remove it, or write to another directory")
