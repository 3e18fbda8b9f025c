"""`kdasr jobs logs`: the end of a stage's log."""

from __future__ import annotations

import argparse
import os
from collections import deque

from kdasr.errors import UserError
from kdasr.jobs.cancel import chosen
from kdasr.jobs.chain import Stage, chain

EXAMPLES = """examples:
  kdasr jobs logs exp                     # of the stage that failed, or else of the one that runs
  kdasr jobs logs exp --stage teacher --lines 100
  kdasr jobs logs exp --follow            # and what is written from now on (Ctrl-C ends it, not the job)
"""
WORTH = ("failed", "lost", "cancelled", "running", "done")  # whose log is looked for first


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr jobs logs`."""
    parser.add_argument("exp", metavar="EXP", help="the recipe's directory of results, as in exp")
    parser.add_argument("--stage", metavar="STAGE", help="this stage, by number or name")
    parser.add_argument("--lines", type=int, default=30, metavar="N", help="how many lines (default 30)")
    parser.add_argument("--follow", action="store_true", help="go on with what is written from now on")


def run(args: argparse.Namespace) -> None:
    """Print the lines."""
    stage = worth_reading(chosen(chain(args.exp), args.stage))
    log = os.path.relpath(stage.log)
    if not stage.log.exists():
        raise UserError(f"{log}: not there yet; {stage.name} is {stage.state} (kdasr jobs status {args.exp})")
    print(f"==> {log} ({stage.state}{', ' if stage.detail else ''}{stage.detail}) <==", flush=True)
    if args.follow:
        os.execvp("tail", ["tail", "-n", str(args.lines), "-F", str(stage.log)])
    with stage.log.open(encoding="utf-8", errors="replace") as stream:
        print("".join(deque(stream, maxlen=args.lines)), end="")


def worth_reading(stages: list[Stage]) -> Stage:
    """The stage that a user asks about: one that has failed, one that runs, the last that is done."""
    for state in WORTH:
        found = [stage for stage in stages if stage.state == state]
        if found:
            return found[-1] if state == "done" else found[0]
    return stages[0]
