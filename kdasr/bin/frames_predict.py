"""`kdasr frames predict`: what framewise acoustic models, one or several, expect of each frame of a set."""

from __future__ import annotations

import argparse

from kdasr.losses import MEANS

EXAMPLES = """examples:
  kdasr frames predict --models exp/frames/baseline_s1 --data dump/frames/test --out exp/frames/baseline_s1/predict_test
  # several together, on the training set: soft targets
  kdasr frames predict --models exp/frames/baseline_s* --data dump/frames/train --out exp/frames/ensemble/predict_train
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames predict`."""
    add = parser.add_argument
    add("--models", nargs="+", required=True, metavar="DIR", help="model directories (kdasr frames train)")
    add("--data", required=True, metavar="DIR", help="frames (kdasr frames data)")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add("--mean", choices=MEANS, default="arithmetic", help="of several models (default arithmetic)")


def run(args: argparse.Namespace) -> None:
    """Predict, unless it is done."""
    from kdasr.frames import predict

    predict.predict(args.models, args.data, args.out, args.mean)
