"""`kdasr nbest`: decode a set into an archive of N-best hypotheses."""

from __future__ import annotations

import argparse

from kdasr.bin.search_arguments import add_io_arguments, add_search_arguments, read_arguments
from kdasr.nbest import write

EXAMPLES = """examples:
  # the 5 best of a training set, by two processes
  kdasr nbest --model exp/teacher --data dump/fbank/train --out exp/teacher/nbest_train --nj 2
  # 16 cluster jobs, then the check that all is there
  kdasr nbest --model exp/teacher --data dump/fbank/train --out exp/teacher/nbest_train --job 3/16
  kdasr nbest --model exp/teacher --data dump/fbank/train --out exp/teacher/nbest_train --merge
  # the same, and 50 utterances decoded again, each alone
  kdasr nbest --model exp/teacher --data dump/fbank/train --out exp/teacher/nbest_train --check_single 50
  # an ensemble of two teachers with a language model, all over one token list
  kdasr nbest --model exp/teacher_a exp/teacher_b --lm exp/lm --lm_weight 0.3 --data dump/fbank/train --out exp/nbest
  # a wider search of any ESPnet2 model, with attention alone
  kdasr nbest --model espnet/exp/asr_train --data data/train --out nbest --beam 20 --nbest 10 --ctc_weight 0
  # of an S2T model (OWSM) for English
  kdasr nbest --model models/owsm --lang eng --data data/train --out nbest --ctc_weight 0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr nbest`."""
    add_io_arguments(parser, "archive to write")
    add_search_arguments(parser, nbest=True)
    parser.add_argument(
        "--check_single",
        type=int,
        default=0,
        metavar="N",
        help="afterwards decode N utterances again, each alone, and report how many lists are identical (default 0)",
    )


def run(args: argparse.Namespace) -> None:
    """Make what is missing of the archive, check it, and say what is in it."""
    write.run(read_arguments(args), args.check_single)
