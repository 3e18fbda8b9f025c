"""`kdasr lm words`: the vocabulary of a language model from its training text."""

from __future__ import annotations

import argparse

from kdasr.lm.text import make_vocabulary

EXAMPLES = """examples:
  # every word of Penn Treebank's training text
  kdasr lm words --text ptb.train.txt --out dump/lm/words
  # the 40,000 most frequent words of WSJ's; those that occur less than 5 times share one class
  kdasr lm words --text lm_train.txt --size 40000 --min_count 5 --out dump/lm/words
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr lm words`."""
    parser.add_argument("--text", nargs="+", required=True, metavar="FILE", help="text, a sentence a line")
    parser.add_argument("--out", required=True, metavar="DIR", help="vocabulary directory to write")
    parser.add_argument("--size", type=int, default=0, help="keep so many of the most frequent words (default 0: all)")
    parser.add_argument(
        "--min_count", type=int, default=1, help="words that occur less often share the class <rnn_unk> (default 1)"
    )


def run(args: argparse.Namespace) -> None:
    """Make a vocabulary directory, unless it is there."""
    make_vocabulary(args.text, args.out, args.size, args.min_count)
