"""`kdasr frames decode`: the words of a set from framewise predictions, by Viterbi over tokens and their trigram."""

from __future__ import annotations

import argparse
import dataclasses

from kdasr.frames.viterbi import Weights
from kdasr.frames.weights import GRIDS

EXAMPLES = """examples:
  # weights tuned on the development set
  kdasr frames decode --predictions exp/baseline_s1/predict_dev --data data/frames_dev --train data/frames_train \\
      --out exp/baseline_s1/predict_dev/decode --tune dump/fbank40/dev/text
  # and used on the test set
  kdasr frames decode --predictions exp/baseline_s1/predict_test --data data/frames_test --train data/frames_train \\
      --out exp/baseline_s1/predict_test/decode --weights exp/baseline_s1/predict_dev/decode/weights.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames decode`."""
    add, default = parser.add_argument, Weights()
    add("--predictions", required=True, metavar="DIR", help="what kdasr frames predict wrote")
    add("--data", required=True, metavar="DIR", help="the frames that were predicted (kdasr frames data)")
    add("--train", required=True, metavar="DIR", help="the training set: tokens of the trigram, counts of states")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add("--lm_weight", type=float, metavar="W", help=f"of the trigram (default {default.lm_weight:g})")
    add("--prior_weight", type=float, metavar="W", help="of the states' log priors, which are taken off (default "
        f"{default.prior_weight:g})")  # fmt: skip
    add("--insertion", type=float, metavar="W", help=f"added for each token (default {default.insertion:g})")
    add("--weights", metavar="FILE", help="weights.json of another run; options above go before it")
    add("--tune", metavar="TEXT", help="search for the weights with fewest word errors against these references")
    grids = " ".join(f"{name}={grid}" for name, grid in GRIDS.items())
    add("--grid", nargs="+", default=[], metavar="NAME=FROM:TO:STEP", help=f"what --tune tries (default {grids})")
    add("--nj", type=int, default=1, help="processes (default 1)")


def run(args: argparse.Namespace) -> None:
    """Decode, unless it is done."""
    from kdasr.frames import decode

    names = [field.name for field in dataclasses.fields(Weights)]
    decode.decode_set(
        decode.DecodeOptions(
            predictions=args.predictions,
            data=args.data,
            train=args.train,
            out=args.out,
            given={name: value for name in names if (value := getattr(args, name)) is not None},
            weights=args.weights,
            tune=args.tune,
            grid=args.grid,
            nj=args.nj,
        )
    )
