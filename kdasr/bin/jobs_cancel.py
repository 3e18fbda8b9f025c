"""`kdasr jobs cancel`: end what a submission has left to do; what is finished stays."""

from __future__ import annotations

import argparse

from kdasr.jobs.cancel import cancel

EXAMPLES = """examples:
  kdasr jobs cancel exp                   # every stage that waits or runs
  kdasr jobs cancel exp --stage student   # this stage; those that wait for it do not run either
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr jobs cancel`."""
    parser.add_argument("exp", metavar="EXP", help="the recipe's directory of results, as in exp")
    parser.add_argument("--stage", metavar="STAGE", help="only this stage, by number or name")


def run(args: argparse.Namespace) -> None:
    """Cancel, wait until nothing runs any more, and say what was cancelled."""
    cancel(args.exp, args.stage)
