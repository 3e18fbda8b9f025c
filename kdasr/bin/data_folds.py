"""`kdasr data folds`: cut a data or feature directory into N parts for cross-fitting."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.folds import write_folds

EXAMPLES = """examples:
  # two parts: a teacher trained on rest1 decodes fold1, one trained on rest2 decodes fold2
  kdasr data folds dump/fbank/train --folds 2 --out dump/fbank/train_folds2
  # ten parts, another draw: each teacher hears nine tenths
  kdasr data folds dump/fbank/train --folds 10 --seed 7 --out dump/fbank/train_folds10
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data folds`."""
    parser.add_argument("source", type=Path, metavar="SRC", help="a data directory, or one with features")
    parser.add_argument("--folds", type=int, default=2, metavar="N", help="number of parts (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw; the same seed draws the same (default: 1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets fold1 ... foldN, rest1 ... restN")


def run(args: argparse.Namespace) -> None:
    """Write the parts and what is left without each."""
    write_folds(args.source, args.folds, args.seed, args.out)
