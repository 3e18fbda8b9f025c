"""How far a command of a recipe is, told to the recipe, which shows it: the command's own output is in its log.

The recipe names where it listens in KDASR_PROGRESS. On another machine nobody does, and nothing is written.
"""

from __future__ import annotations

import contextlib
import os
import time

GAP = 1.0  # seconds between two lines of one command
WARM = 3.0  # seconds until the first: the beginning is slow, and a time that is left by it would be wrong
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
        self.began = time.monotonic()
        self.told = self.began + WARM - GAP

    def done(self, number: int) -> None:
        """Tell that so many are done, unless something was told just now."""
        now = time.monotonic()
        if number < 1 or now - self.told < GAP:
            return
        self.told = now
        left = (now - self.began) / number * (self.total - number)
        announce(f"{self.title}: {self.unit} {number} of {self.total}, about {lasting(left)} left")


def lasting(seconds: float) -> str:
    """A time as people say it.

    >>> [lasting(one) for one in (0.4, 89, 90, 3600, 9000)]
    ['0 s', '89 s', '2 min', '60 min', '2 h 30 min']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
