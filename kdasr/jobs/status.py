"""A table of the stages that were submitted, with the log to read."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from kdasr.errors import UserError
from kdasr.jobs.chain import Stage, chain, rows, submissions

COLUMNS = ["stage", "job", "state", "", "log"]


def print_status(exp: str | Path) -> None:
    """Print the table of the stages submitted for `exp`; UserError where there are none, or SLURM does not answer."""
    stages = chain(exp)
    table = [COLUMNS]
    for stage in stages:
        log = os.path.relpath(stage.log)
        table.append([f"{stage.number} {stage.name}", stage.job, stage.state, stage.detail, log])
        if stage.state == "running":
            table += arrays(stages)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    failed = next((stage for stage in stages if stage.state in ("failed", "lost", "cancelled")), None)
    if failed:
        print(f"\n{failed.name} has not ended well; its log: kdasr jobs logs {exp} --stage {failed.name}")
        print("The same ./run.sh --submit slurm ... continues from what is done.")


def check_idle(exp: str | Path) -> None:
    """UserError if a stage of this chain waits or runs."""
    busy = [stage for stage in chain(exp) if stage.live] if submissions(exp) else []
    if busy:
        first = busy[0]
        raise UserError(
            f"{exp}: job {first.job} ({first.name}) of an earlier submission is {first.state}; wait for it "
            f"(kdasr jobs status {exp}), or end it (kdasr jobs cancel {exp})"
        )


def arrays(stages: list[Stage]) -> list[list[str]]:
    """Rows of the jobs that the running stage has submitted itself: those whose script is in the recipe's directory."""
    ours = {stage.script for stage in stages}
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for row in rows("%F|%j|%T|%o", "--array"):
        job, name, state, script = (row.split("|", 3) + [""] * 3)[:4]
        if script not in ours and any(Path(script).is_relative_to(stage.directory) for stage in stages):
            found.setdefault((job, name, script), Counter())[state.lower()] += 1
    table = []
    for (job, name, script), states in sorted(found.items()):
        folder = Path(script).parent
        counted = ", ".join(f"{count} {state}" for state, count in states.items())
        ended = len(list(folder.glob("exit.*")))
        # q/LOG.TIME.PROCESS: the log lies beside q
        log = folder.parent.parent / folder.name.rsplit(".", 2)[0]
        table.append([f"  {name}", job, counted, f"{ended} ended" if ended else "", os.path.relpath(log)])
    return table
