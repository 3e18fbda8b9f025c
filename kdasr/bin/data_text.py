"""`kdasr data text`: a text for language models: articles of the demo corpus's grammar, or WSJ's, of its disc."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.articles import DISC_HELD_OUT, HELD_OUT, Text, write_text

EXAMPLES = """examples:
  # train.txt, valid.txt and test.txt, lower case
  kdasr data text --out data/text
  # for a recogniser of the synthetic demo corpus: upper case, without the sentences that it is tested on
  kdasr data text --out data/lm --apart --sentences 8000 --upper --without data/test_dev93/text data/test_eval92/text
  # WSJ's 37 million words, on disc 13-32.1
  kdasr data text --out data/lm --discs /corpora/LDC94S13B --without data/test_dev93/text data/test_eval92/text
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr data text`."""
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="directory for train.txt, valid.txt, test.txt")
    add("--discs", nargs="+", type=Path, metavar="DISC", help="take WSJ's text, in capitals, from its discs (13-32.1)")
    add("--sentences", type=int, default=2600, help="of our own training text (default 2600, about 20,000 words)")
    add("--held_out", type=int, help="sentences of the validation text, and of the test text (default 1 of "
        f"{HELD_OUT} of these; of WSJ's {DISC_HELD_OUT})")  # fmt: skip
    add("--seed", type=int, default=0, help="of all chance, 0 or more (default 0)")
    add("--apart", action="store_true", help="sentences that have nothing to do with each other, instead of articles")
    add("--upper", action="store_true", help="write capitals, as the synthetic demo corpus's transcripts are")
    add("--without", nargs="+", default=[], metavar="TEXT", help="transcripts (Kaldi's form) that may not occur")


def run(args: argparse.Namespace) -> None:
    """Write the three texts."""
    write_text(Text(**vars(args)))
