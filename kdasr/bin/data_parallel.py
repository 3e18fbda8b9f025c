"""`kdasr data parallel`: parallel text, a sentence a line in two files -> a data directory with text.src and text."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.parallel import write_parallel

EXAMPLES = """examples:
  # text.src is what a translation model reads, text what it writes; line 17 becomes train-00017
  kdasr data parallel --src train.en.gz --tgt train.de.gz --out data/train
  # English that nobody has translated, for a student of its teacher's translations
  kdasr data parallel --src captions.en --out data/captions
  # tokens of each side; for one list of both, give the two texts together
  kdasr tokens --text data/train/text.src --out dump/tokens/en --type bpe --vocab 4000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data parallel`."""
    add = parser.add_argument
    add("--src", required=True, type=Path, metavar="FILE", help="source sentences, one a line, UTF-8 (or .gz of it)")
    add("--tgt", type=Path, metavar="FILE", help="their translations, line by line (default: there are none)")
    add("--out", required=True, type=Path, metavar="DIR", help="the data directory: text.src, text, utt2spk")
    add("--empty", choices=("refuse", "drop"), default="refuse", help="lines without words (default refuse)")


def run(args: argparse.Namespace) -> None:
    """Write the data directory and print its size."""
    write_parallel(args.src, args.tgt, args.out, args.empty == "drop")
