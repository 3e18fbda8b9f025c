"""The end of a stage's log, and which stage's a user wants to read."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

from kdasr.errors import UserError
from kdasr.jobs.cancel import chosen
from kdasr.jobs.chain import Stage, chain

WORTH = ("failed", "lost", "cancelled", "running", "done")  # states whose log is shown first


def show_log(exp: str | Path, name: str | None, lines: int, follow: bool) -> None:
    """Print the end of a stage's log.

    Args:
        exp: the recipe's directory of results.
        name: number or name of the stage; None for the one that `worth_reading` chooses.
        lines: how many of its last.
        follow: go on with what is written from now on; this process becomes `tail` then.

    Raises:
        UserError: SLURM does not answer, the stage was not submitted, or it has no log yet.
    """
    stage = worth_reading(chosen(chain(exp), name))
    log = os.path.relpath(stage.log)
    if not stage.log.exists():
        raise UserError(f"{log}: not there yet; {stage.name} is {stage.state} (kdasr jobs status {exp})")
    print(f"==> {log} ({stage.state}{', ' if stage.detail else ''}{stage.detail}) <==", flush=True)
    if follow:
        os.execvp("tail", ["tail", "-n", str(lines), "-F", str(stage.log)])
    with stage.log.open(encoding="utf-8", errors="replace") as stream:
        print("".join(deque(stream, maxlen=lines)), end="")


def worth_reading(stages: list[Stage]) -> Stage:
    """The stage that a user asks about: one that has failed, one that runs, the last that is done."""
    for state in WORTH:
        found = [stage for stage in stages if stage.state == state]
        if found:
            return found[-1] if state == "done" else found[0]
    return stages[0]
