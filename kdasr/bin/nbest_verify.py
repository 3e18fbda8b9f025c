"""`kdasr nbest verify`: read an archive whole, and say in one sentence what is wrong with it, if anything is."""

from __future__ import annotations

import argparse

from kdasr.nbest.verify import verify

EXAMPLES = """examples:
  # after copying it from a cluster; the exit status is 1 if anything is wrong
  kdasr nbest verify exp/teacher/nbest_train
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr nbest verify`."""
    parser.add_argument("archive", metavar="DIR", help="what kdasr nbest --out has written")


def run(args: argparse.Namespace) -> None:
    """Verify, and print a line."""
    print(verify(args.archive))
