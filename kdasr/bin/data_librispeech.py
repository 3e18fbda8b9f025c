"""`kdasr data librispeech`: LibriSpeech, or a corpus in its layout -> Kaldi data directories."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.librispeech import write_sets

EXAMPLES = """examples:
  # every set that is there; dev-clean-2 becomes data/dev_clean_2
  kdasr data librispeech --in /corpora/LibriSpeech --out data
  # two of them
  kdasr data librispeech --in /corpora/LibriSpeech --out data --sets train-clean-5 dev-clean-2
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data librispeech`."""
    parser.add_argument(
        "--in",
        dest="corpus",
        required=True,
        type=Path,
        metavar="DIR",
        help="the corpus: it contains SET/READER/CHAPTER/*.flac and *.trans.txt, and may have SPEAKERS.TXT",
    )
    parser.add_argument("--out", default=Path("data"), type=Path, help="where the sets go (default: data)")
    parser.add_argument("--sets", nargs="+", default=[], metavar="SET", help="which sets (default: all that are there)")


def run(args: argparse.Namespace) -> None:
    """Write the sets and print their sizes."""
    write_sets(args.corpus, args.out, args.sets)
