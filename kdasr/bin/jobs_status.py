"""`kdasr jobs status`: a table of the stages that were submitted, with the log to read."""

from __future__ import annotations

import argparse

from kdasr.jobs.status import check_idle, print_status

EXAMPLES = """examples:
  kdasr jobs status exp            # in the recipe's directory, from any machine that sees it
  watch -n 30 kdasr jobs status exp
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr jobs status`."""
    parser.add_argument("exp", metavar="EXP", help="the recipe's directory of results, as in exp")
    parser.add_argument("--idle", action="store_true", help="print nothing, and fail if a stage waits or runs")


def run(args: argparse.Namespace) -> None:
    """Print the table, or say by the exit status alone whether all is idle."""
    if args.idle:
        check_idle(args.exp)
    else:
        print_status(args.exp)
