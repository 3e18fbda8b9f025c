"""`kdasr rescore`: N-best lists ranked anew by a weighted sum of their scores and those of language models."""

from __future__ import annotations

import argparse

from kdasr.lm.weights import LENGTH, LENGTH_GRID, LM_GRID

EXAMPLES = """examples:
  # weights of a language model and of the number of words, tuned on the development set
  kdasr rescore --nbest exp/teacher/nbest_dev --lm exp/lm_student --tune dump/fbank/dev/text --out exp/rescored_dev
  # and used on the test set
  kdasr rescore --nbest exp/teacher/nbest_test --lm exp/lm_student --weights exp/rescored_dev/weights.json \\
      --out exp/rescored_test
  # the mean of two models' probabilities, weights by hand
  kdasr rescore --nbest exp/teacher/nbest_test --lm lm=exp/lm_a+exp/lm_b --weights lm=0.4 length=0.5 --out exp/rescored
  # Kaldi's 1000-best lists, as its lmrescore_nbest.sh leaves them; the old language model may lose weight, too
  kdasr rescore --nbest exp/tri4b/decode_dev93_rnnlm --lm rnn=exp/lm --tune data/test_dev93/text --wsj_filter \\
      --grid rnn=0:2:0.1 lmwt.lmonly=-1:0:0.1 --out exp/rescored_dev93
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr rescore`."""
    add = parser.add_argument
    add("--nbest", required=True, metavar="DIR", help="archive of kdasr nbest, or Kaldi's parallel text archives")
    add("--lm", nargs="+", action="extend", default=[], metavar="[NAME=]EXP", help="language model directories; A+B is "
        "the mean of A's and B's probabilities; the score is called NAME, or as the directory")  # fmt: skip
    add("--out", required=True, metavar="DIR", help="directory to write")
    add("--weights", nargs="+", default=[], metavar="NAME=W", help="weights of scores, or a weights.json of another "
        "run (default score=1, all others 0)")  # fmt: skip
    add("--tune", metavar="TEXT", help="search for the weights of the language models and of length with fewest word "
        "errors against these references (Kaldi's text form)")  # fmt: skip
    add("--grid", nargs="+", default=[], metavar="NAME=FROM:TO:STEP", help="what --tune tries, of these and other "
        f"scores (default {LM_GRID} of each language model, {LENGTH}={LENGTH_GRID})")  # fmt: skip
    add("--nlsyms", metavar="FILE", help="symbols, one a line, that are no words to --tune (default: none)")
    add("--wsj_filter", action="store_true", help="--tune leaves out what kdasr score --wsj_filter leaves out")
    add("--history", type=int, default=0, metavar="N", help="join prefixes that end in the same N tokens: several "
        "times faster, scores no longer exact (default 0: exact)")  # fmt: skip
    add("--acoustic_scale", type=float, metavar="A", help="of Kaldi's lists (default: that by which they are ordered)")
    add("--ngpu", type=int, default=0, help="0: CPU; 1: a GPU (default 0)")


def run(args: argparse.Namespace) -> None:
    """Rescore, unless it is done."""
    from kdasr.lm import rescore

    rescore.rescore(
        rescore.RescoreOptions(
            nbest=args.nbest,
            out=args.out,
            lms=args.lm,
            weights=args.weights,
            tune=args.tune,
            grid=args.grid,
            nlsyms=args.nlsyms,
            wsj_filter=args.wsj_filter,
            history=args.history,
            acoustic_scale=args.acoustic_scale,
            ngpu=args.ngpu,
        )
    )
