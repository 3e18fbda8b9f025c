"""`kdasr data an4`: AN4 -> Kaldi data directories `train`, `dev` and `test`."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.an4 import write_sets

EXAMPLES = """examples:
  # the corpus as upstream unpacks it (etc/ and wav/ inside an4/), eight speakers held out as dev
  kdasr data an4 --an4 /corpora/an4 --out data
  # a larger development set
  kdasr data an4 --an4 /corpora/an4 --out data --dev_speakers 12
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data an4`."""
    parser.add_argument("--an4", required=True, type=Path, metavar="DIR", help="the corpus: it contains etc/ and wav/")
    parser.add_argument("--out", default=Path("data"), type=Path, help="where train, dev and test go (default: data)")
    parser.add_argument(
        "--dev_speakers", default=8, type=int, metavar="N", help="training speakers held out as dev (default: 8 of 74)"
    )


def run(args: argparse.Namespace) -> None:
    """Write the three sets and print their sizes."""
    write_sets(args.an4, args.out, args.dev_speakers)
