"""`kdasr data pairs`: pairs of sentences of a small grammar, for a demo of translation -> data directories."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.pairs import count_right, write_pairs
from kdasr.errors import UserError

EXAMPLES = """examples:
  # data/train, data/dev and data/test_1: English that has several right German translations, of which each pair has one
  kdasr data pairs --out data
  # larger, another draw, and two test sets
  kdasr data pairs --out data --train 20000 --test 500 500 --seed 7
  # how many of a model's translations are right ones, whichever the reference has
  kdasr data pairs --check exp/student/decode_test_1/text --of data/test_1/text.src
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data pairs`."""
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="DIR", help="directory for train, dev, test_1, ...")
    what.add_argument("--check", type=Path, metavar="TEXT", help="write nothing, count the right ones of translations")
    add("--of", type=Path, metavar="TEXT", help="with --check: what was translated, text.src of a set")
    add("--train", type=int, default=6000, metavar="N", help="pairs of the training set (default %(default)s)")
    add("--valid", type=int, default=500, metavar="N", help="pairs of dev (default %(default)s)")
    add("--test", type=int, nargs="+", default=[1000], metavar="N", help="pairs of each test set (default 1000)")
    add("--seed", type=int, default=0, help="of all that is drawn (default %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Write the data directories and print their sizes, or how many translations are right."""
    if args.check:
        if not args.of:
            raise UserError("--check: name the source of these translations with --of (text.src of their set)")
        right, count = count_right(args.check, args.of)
        print(f"{args.check}: {right} of {count} translations are right ({right / count:.1%})")
        return
    write_pairs(args.out, args.train, args.valid, args.test, args.seed)
