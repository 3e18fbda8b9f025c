"""Work cut into shards: any of them can be lost and made again, and none is made twice.

A directory of shards holds `manifest.json` (what makes it: the settings and hashes), and one
file or group of files a shard, each of which appears whole or not at all. How many processes
or cluster jobs work on it does not matter: job J of N takes every shard S with S % N == J - 1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kdasr.errors import UserError
from kdasr.files import only_writer, open_now, read_json, write_json


def cut(keys: Sequence[str], size: int) -> list[list[str]]:
    """Cut keys, in their order, into shards of `size`, the last one smaller."""
    return [list(keys[start : start + size]) for start in range(0, len(keys), size)]


def parse_job(text: str) -> tuple[int, int]:
    """`--job 3/16` as (3, 16): the third of sixteen processes; UserError if it is not of that form."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UserError(f"--job {text}: expected J/N with 1 <= J <= N, as in --job 3/16")
    return int(match[1]), int(match[2])


class Share(NamedTuple):
    """Which shards a process makes: those of job `part` of `parts`, or all; none when it is to `merge`."""

    part: int
    parts: int
    merge: bool

    @property
    def lock(self) -> str:
        """Name of the lock file: jobs of one run exclude themselves, not each other."""
        return f".lock.{self.part}of{self.parts}" if self.parts > 1 else ".lock"

    def of(self, missing: Iterable[int], shards: int, out: str | Path) -> list[int]:
        """What it makes of the missing ones among `shards` in `out`; UserError if it is to merge while any is."""
        missing = list(missing)
        if self.merge and missing:
            raise UserError(
                f"{out}: {len(missing)} of {shards} shards are missing, the first is {missing[0]}; "
                "run the jobs again (finished shards are kept), then --merge"
            )
        return [shard for shard in missing if shard % self.parts == self.part - 1]


def parse_share(job: str | None, merge: bool) -> Share:
    """The options --job and --merge; UserError if both are given."""
    if job and merge:
        raise UserError("--job and --merge exclude each other; run every job first, then --merge alone")
    return Share(*(parse_job(job) if job else (1, 1)), merge)


def digest(path: str | Path) -> str:
    """Sixteen hex digits that name the bytes of a file."""
    value = hashlib.sha256()
    with open_now(path) as stream:
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
