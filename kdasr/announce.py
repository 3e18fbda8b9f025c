"""How far a command of a recipe is, told to the recipe, which shows it: the command's own output is in its log.

The recipe names where it listens in KDASR_PROGRESS. On another machine nobody does, and nothing is written.
"""

from __future__ import annotations

import contextlib
import os
import time

GAP = 1.0  # seconds between two lines of one command
WARM = 3.0  # seconds from the first thing that is done until a time that is left is told: before, it would be a guess
LONGEST = 1000  # characters of a line: what is longer might be cut by another command's


def announce(line: str) -> None:
    """Tell the recipe a line; one that does not listen now misses it, so that no work waits for a screen."""
    place = os.environ.get("KDASR_PROGRESS")
    if not place or not os.path.exists(place):  # noqa: PTH110 - a link of /proc, not a file
        return
    with contextlib.suppress(OSError):
        stream = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
        try:
            os.write(stream, f"  {line[:LONGEST]}\n".encode("utf-8", "replace"))
        finally:
            os.close(stream)


class Pace:
    """Tells how many of some equal things are done, and how long the rest may take.

    >>> pace = Pace("train_si284: features", "utterance", 2800)
    >>> pace.done(100)                             # "...: utterance 100 of 2800, about 2 min left"
    """

    def __init__(self, title: str, unit: str, total: int) -> None:
        self.title, self.unit, self.total = title, unit, total
        self.first: tuple[float, int] | None = None  # when something was done for the first time, and how many
        self.told = time.monotonic()

    def done(self, number: int) -> None:
        """Tell that so many are done, unless something was told just now."""
        now = time.monotonic()
        if number < 1:
            return
        self.first = self.first or (now, number)
        if now - self.told < GAP:
            return
        self.told = now
        # What was before the first (starting, loading) does not come again.
        since, more = now - self.first[0], number - self.first[1]
        left = f", about {lasting(since / more * (self.total - number))} left" if since >= WARM and more else ""
        announce(f"{self.title}: {self.unit} {number} of {self.total}{left}")


def lasting(seconds: float) -> str:
    """A time as people say it.

    >>> [lasting(one) for one in (0.4, 89, 90, 3600, 9000)]
    ['0 s', '89 s', '2 min', '60 min', '2 h 30 min']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
