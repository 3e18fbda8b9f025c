"""`kdasr nbest export`: an archive as Kaldi tables."""

from __future__ import annotations

import argparse

from kdasr.nbest.export import export

EXAMPLES = """examples:
  # text, tokens, score, score_decoder, score_ctc
  kdasr nbest export --nbest exp/teacher/nbest_train --out exp/teacher/nbest_train_kaldi
  # the two best only
  kdasr nbest export --nbest exp/teacher/nbest_train --out two_best --best 2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr nbest export`."""
    parser.add_argument("--nbest", required=True, metavar="DIR", help="archive to read (kdasr nbest)")
    parser.add_argument("--out", required=True, metavar="DIR", help="directory to write")
    parser.add_argument("--best", type=int, default=0, metavar="K", help="only the K best of each (default 0: all)")


def run(args: argparse.Namespace) -> None:
    """Export, and print a line."""
    export(args.nbest, args.out, args.best)
