"""`kdasr jobs logs`: the end of a stage's log."""

from __future__ import annotations

import argparse

from kdasr.jobs.logs import show_log

EXAMPLES = """examples:
  kdasr jobs logs exp                     # of the stage that failed, or else of the one that runs
  kdasr jobs logs exp --stage teacher --lines 100
  kdasr jobs logs exp --follow            # and what is written from now on (Ctrl-C ends it, not the job)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr jobs logs`."""
    parser.add_argument("exp", metavar="EXP", help="the recipe's directory of results, as in exp")
    parser.add_argument("--stage", metavar="STAGE", help="this stage, by number or name")
    parser.add_argument("--lines", type=int, default=30, metavar="N", help="how many lines (default 30)")
    parser.add_argument("--follow", action="store_true", help="continue with what is written from now on")


def run(args: argparse.Namespace) -> None:
    """Print the lines."""
    show_log(args.exp, args.stage, args.lines, args.follow)
