"""`kdasr data holdout`: set part of a data or feature directory aside as if nobody had transcribed it."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.holdout import hold_out

EXAMPLES = """examples:
  # half of the training set stays transcribed, the other half becomes untranscribed speech
  kdasr data holdout --transcribed 0.5 --seed 1 dump/fbank/train \\
      --labelled dump/fbank/train_lab --unlabelled dump/fbank/train_unlab
  # one hour in ten keeps its transcripts
  kdasr data holdout --transcribed 0.1 dump/fbank/train --labelled dump/fbank/train_10 --unlabelled dump/fbank/train_90
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data holdout`."""
    parser.add_argument("source", type=Path, metavar="SRC", help="a data directory, or one with features")
    parser.add_argument(
        "--transcribed",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="part of the utterances that keeps its text (default: 0.5)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the draw; the same seed draws the same (default: 1)")
    parser.add_argument("--labelled", type=Path, required=True, metavar="DIR", help="where the transcribed part goes")
    parser.add_argument("--unlabelled", type=Path, required=True, metavar="DIR", help="where the rest goes")


def run(args: argparse.Namespace) -> None:
    """Write both parts."""
    hold_out(args.source, args.labelled, args.unlabelled, args.transcribed, args.seed)
