"""`kdasr data pairs`: pairs of sentences of a small grammar, for a demo of translation -> data directories."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.pairs import write_pairs

EXAMPLES = """examples:
  # data/train, data/dev and data/test_1: English that has several right German translations, of which each pair has one
  kdasr data pairs --out data
  # larger, another draw, and two test sets
  kdasr data pairs --out data --train 20000 --test 500 500 --seed 7
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data pairs`."""
    add = parser.add_argument
    add("--out", required=True, type=Path, metavar="DIR", help="directory for train, dev, test_1, ...")
    add("--train", type=int, default=6000, metavar="N", help="pairs of the training set (default %(default)s)")
    add("--valid", type=int, default=300, metavar="N", help="pairs of dev (default %(default)s)")
    add("--test", type=int, nargs="+", default=[500], metavar="N", help="pairs of each test set (default 500)")
    add("--seed", type=int, default=0, help="of all that is drawn (default %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write the data directories and print their sizes."""
    write_pairs(args.out, args.train, args.valid, args.test, args.seed)
