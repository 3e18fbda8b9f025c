"""`kdasr data sentences`: the transcripts of data directories as texts for language models, a sentence a line."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import atomic_write, read_table

EXAMPLES = """examples:
  # train.txt, valid.txt and test.txt: what was said, without the utterances' names
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
    train = read_table(args.train, empty=True)
    if args.only:
        kept = read_table(args.only, empty=True)
        train = {key: text for key, text in train.items() if key in kept}
    parts = {
        "train": list(train.values()),
        "valid": list(read_table(args.valid, empty=True).values()),
        "test": [text for path in args.test for text in read_table(path, empty=True).values()],
    }
    texts = {name: [text for text in found if text] for name, found in parts.items()}
    for name, source in (("train", args.train), ("valid", args.valid), ("test", args.test[0])):
        if not texts[name]:
            among = f" among the utterances of {args.only}" if name == "train" and args.only else ""
            raise UserError(f"{source}: has no words{among}; name transcripts that have some with --{name}")
    Path(args.out).mkdir(parents=True, exist_ok=True)
    for name, lines in texts.items():
        with atomic_write(Path(args.out) / f"{name}.txt") as stream:
            stream.writelines(f"{line}\n" for line in lines)
    print(f"{args.out}: " + ", ".join(f"{len(lines)} sentences in {name}.txt" for name, lines in texts.items()))
