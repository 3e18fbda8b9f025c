"""`kdasr frames data`: features and an alignment -> the inputs and labels of a framewise acoustic model."""

from __future__ import annotations

import argparse

from kdasr.frames import prepare

EXAMPLES = """examples:
  kdasr feats --data data/train --bins 40 --out dump/fbank40/train
  kdasr frames data --feats dump/fbank40/train --alignment exp/frames/ali/train --out exp/frames/data/train
  # a test set: states, normalisation and windows as in training
  kdasr frames data --feats dump/fbank40/test --alignment exp/frames/ali/test --like exp/frames/data/train \\
      --out exp/frames/data/test
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames data`."""
    add = parser.add_argument
    add("--feats", required=True, metavar="DIR", help="features (kdasr feats --bins 40)")
    add("--alignment", required=True, metavar="DIR", help="what kdasr frames align wrote; its utterances are taken")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add("--like", metavar="DIR", help="take states, normalisation and all numbers below from this, the training set's")
    for name, what in (
        ("left", "frames of a window before the labelled one"),
        ("right", "frames of a window after the labelled one"),
        ("positions", "states of a token in a row"),
        ("min_count", "a token after a left neighbour seen so often has states of its own"),
        ("reach", "most frames of a token on each side of where it is aligned"),
    ):
        add(f"--{name}", type=int, metavar="N", help=f"{what} (default {prepare.DEFAULTS[name]})")


def run(args: argparse.Namespace) -> None:
    """Write the directory, unless it is there."""
    given = {name: value for name in prepare.DEFAULTS if (value := getattr(args, name)) is not None}
    prepare.prepare(args.feats, args.alignment, args.out, args.like, given)
