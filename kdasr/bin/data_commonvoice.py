"""`kdasr data commonvoice`: a language of Common Voice -> Kaldi data directories."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.commonvoice import SETS, write_sets
from kdasr.data.normalise import STEPS, parse_steps

EXAMPLES = """examples:
  # train, dev and test, the sentences as they were written
  kdasr data commonvoice --in cv-corpus-17.0/eu --out data
  # small letters, no punctuation; clips that nobody has checked yet as well
  kdasr data commonvoice --in cv-corpus-17.0/eu --out data --sets train dev test other --normalize lower,punctuation
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data commonvoice`."""
    parser.add_argument(
        "--in",
        dest="corpus",
        required=True,
        type=Path,
        metavar="DIR",
        help="a language: it contains clips/, train.tsv, dev.tsv, test.tsv, ...",
    )
    parser.add_argument("--out", default=Path("data"), type=Path, help="where the sets go (default: data)")
    parser.add_argument(
        "--sets", nargs="+", default=[], metavar="SET", help=f"lists without .tsv (default: {' '.join(SETS)})"
    )
    parser.add_argument(
        "--normalize",
        default="",
        metavar="STEPS",
        help=f"what is done to the sentences, as lower,punctuation; of {', '.join(STEPS[:-1])} (docs/hypotheses.md;"
        " default: nothing)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the sets and print their sizes."""
    write_sets(args.corpus, args.out, args.sets, parse_steps(args.normalize))
