"""`kdasr frames specialists`: specialists beside a framewise acoustic model, for groups of states that it confuses."""

from __future__ import annotations

import argparse

from kdasr.bin.specialist_arguments import add_specialist_arguments, specialist_settings

EXAMPLES = """examples:
  kdasr frames specialists --data dump/frames/train --test dump/frames/test --generalist exp/frames/baseline_s1 \\
      --groups 8 --epochs 2 --out exp/frames/specialists_s1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames specialists`."""
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="frames that the generalist was trained on (kdasr frames data)")
    add("--test", required=True, metavar="DIR", help="frames to predict, likewise")
    add("--generalist", required=True, metavar="DIR", help="a model (kdasr frames train)")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add_specialist_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Find groups, train a specialist for each, and count frames."""
    from kdasr.frames import specialists

    specialists.train_specialists(args.data, args.test, args.generalist, args.out, specialist_settings(args))
