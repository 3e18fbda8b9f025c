"""End what a submission has left to do; what is finished stays."""

from __future__ import annotations

import time
from pathlib import Path

from kdasr.errors import UserError
from kdasr.jobs.chain import Stage, chain, command

PATIENCE = 90.0  # seconds that jobs may take to end


def cancel(exp: str | Path, name: str | None) -> None:
    """Cancel, wait until nothing runs any more, and print what was cancelled.

    Args:
        exp: the recipe's directory of results.
        name: number or name of the only stage to cancel; None for all.

    Raises:
        UserError: SLURM does not answer or refuses, a stage was not submitted, or a job does not end in PATIENCE.
    """
    live = [stage for stage in chosen(chain(exp), name) if stage.live]
    if not live:
        print(f"{exp}: no stage waits or runs")
        return
    for stage in reversed(live):  # those that wait first, so that none of them begins
        (stage.folder / "cancelled").touch()
        done = command("scancel", stage.job)
        if done.returncode and "Invalid job id" not in done.stderr:
            (stage.folder / "cancelled").unlink(missing_ok=True)
            raise UserError(f"job {stage.job} ({stage.name}) could not be cancelled: {done.stderr.strip()}; try again")
    until = time.monotonic() + PATIENCE
    names = {stage.name for stage in live}
    while any(stage.live for stage in chain(exp) if stage.name in names):
        if time.monotonic() > until:
            raise UserError(f"{exp}: cancelled, but not all jobs have ended yet; kdasr jobs status {exp} shows them")
        time.sleep(0.5)
    print("cancelled: " + ", ".join(f"{stage.name} (job {stage.job})" for stage in live))


def chosen(stages: list[Stage], stage: str | None) -> list[Stage]:
    """The stage of this number or name, or all; UserError if it was not submitted."""
    if stage is None:
        return stages
    found = [one for one in stages if stage in (str(one.number), one.name)]
    if not found:
        raise UserError(f"--stage {stage}: was not submitted; there are {', '.join(one.name for one in stages)}")
    return found
