"""A progress bar over epochs for ESPnet's trainer, which itself only logs.

Under a recipe the bar goes to a job's log, so that the user does not see it. Therefore the recipe is told, too.
"""

from __future__ import annotations

import logging
import re
from types import TracebackType

from tqdm import tqdm

from kdasr.announce import announce

STARTED = re.compile(r"(\d+)/(\d+)epoch started")
RESULTS = re.compile(r"(\d+)epoch results: (.*)")


class EpochBar(logging.Handler):
    """Listens to ESPnet's log and shows: epochs done, time left, the validation accuracy and loss of the last.

    >>> with EpochBar("exp/teacher"):            # doctest: +SKIP
    ...     KDTask.main(cmd=options)
    """

    def __init__(self, title: str) -> None:
        super().__init__(level=logging.INFO)
        self.title = title
        self.bar = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line of ESPnet's log."""
        message = record.getMessage()
        if started := STARTED.search(message):
            epoch, total = int(started[1]), int(started[2])
            if self.bar is None:
                self.bar = tqdm(total=total, initial=epoch - 1, desc=self.title, unit="epoch")
        elif (results := RESULTS.search(message)) and self.bar is not None:
            valid = results[2].partition("[valid]")[2]
            shown = {key: value for key in ("acc", "loss") if (value := figure(valid, key))}
            self.bar.set_postfix(shown, refresh=False)
            self.bar.update(1)
            done, left = self.bar.n, self.bar.total - self.bar.n
            rate = self.bar.format_dict["elapsed"] / max(1, done - self.bar.initial)
            figures = ", ".join(f"{key} {value}" for key, value in shown.items())
            announce(
                f"{self.title}: epoch {done} of {self.bar.total}, validation {figures}, "
                f"about {left * rate / 60:.0f} min left"
            )

    def __enter__(self) -> EpochBar:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)
        if self.bar is not None:
            self.bar.close()


def figure(results: str, key: str) -> str:
    """The value of `key=...` in a line of ESPnet's results, or an empty string."""
    found = re.search(rf"\b{key}=([-\d.e+]+)", results)
    return found[1].rstrip(".") if found else ""
