"""How long a training has taken, its killed runs included.

`seconds.json` in the model directory is rewritten every few seconds, so that a kill loses no more than these. The
runs that were killed are counted.
"""

from __future__ import annotations

import contextlib
import resource
import threading
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

from kdasr.errors import UserError
from kdasr.files import read_json, write_json

FILE = "seconds.json"
EVERY = 5.0  # seconds between writes


@dataclass(frozen=True)
class Spent:
    """What a training has cost so far, over all its runs."""

    wall: float = 0.0  # seconds
    cpu: float = 0.0  # CPU seconds; those of processes that train together are known when they have ended
    interrupted: int = 0  # runs that were killed
    running: bool = False


class Clock:
    """Measures from `with Clock(out) as clock` to its end; `clock.spent()` is the sum with the runs before."""

    def __init__(self, out: Path) -> None:
        self.file = out / FILE
        before = _read(self.file)
        if before.running:  # the run before was killed
            before = replace(before, interrupted=before.interrupted + 1, running=False)
        self.before = before
        self.began, self.cpu = time.time(), cpu_seconds()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._write_often, daemon=True)

    def spent(self, running: bool = False) -> Spent:
        """Seconds so far, of this run and those before."""
        wall, cpu = time.time() - self.began, cpu_seconds() - self.cpu
        return replace(self.before, wall=self.before.wall + wall, cpu=self.before.cpu + cpu, running=running)

    def __enter__(self) -> Clock:
        self._write(running=True)
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self.thread.join()
        self._write(running=False)

    def _write(self, running: bool) -> None:
        with contextlib.suppress(OSError, UserError):  # a full disk: the training itself says so
            write_json(self.file, asdict(self.spent(running)))

    def _write_often(self) -> None:
        while not self.ended.wait(EVERY):
            self._write(running=True)


def _read(file: Path) -> Spent:
    if not file.is_file():
        return Spent()
    there = read_json(file)
    try:
        return Spent(
            float(there["wall"]),
            float(there["cpu"]),
            int(there.get("interrupted", 0)),
            bool(there.get("running", False)),
        )
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{file}: holds no seconds of a training; remove the file and run again") from None


def cpu_seconds() -> float:
    """CPU seconds that this process and its ended children have used."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )
