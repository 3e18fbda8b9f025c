"""`kdasr data sentences`: the transcripts of data directories as texts for language models, a sentence a line."""

from __future__ import annotations

import argparse

from kdasr.data.sentences import write_sentences

EXAMPLES = """examples:
  # train.txt, valid.txt and test.txt: the sentences, without the utterances' names
  kdasr data sentences --train data/train/text --valid data/dev/text --test data/test/text --out dump/lm/text
  # of the training set only what counts as transcribed
  kdasr data sentences --train data/train/text --only dump/fbank/train_lab0.5/text --valid data/dev/text \\
      --test data/test/text --out dump/lm/text
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr data sentences`."""
    add = parser.add_argument
    add("--train", required=True, metavar="TEXT", help="transcripts (Kaldi's form) of the training text")
    add("--only", metavar="TEXT", help="take those of its utterances alone that are in these transcripts, too")
    add("--valid", required=True, metavar="TEXT", help="transcripts of the validation text")
    add("--test", required=True, nargs="+", metavar="TEXT", help="transcripts of the test text")
    add("--out", required=True, metavar="DIR", help="directory for train.txt, valid.txt, test.txt")


def run(args: argparse.Namespace) -> None:
    """Write the three texts."""
    write_sentences(args.train, args.only, args.valid, args.test, args.out)
