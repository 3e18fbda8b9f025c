"""`kdasr frames train`: a framewise acoustic model that learns from an alignment, or from predictions as well."""

from __future__ import annotations

import argparse

from kdasr.frames.settings import read_settings

EXAMPLES = """examples:
  kdasr frames train --data dump/frames/train --valid dump/frames/dev --conf conf/frames.yaml \\
      --out exp/frames/baseline_s1
  # from what several of them predict together (kdasr frames predict)
  kdasr frames train --data dump/frames/train --valid dump/frames/dev --conf conf/frames.yaml \\
      --soft exp/frames/ensemble/predict_train --set temperature=2 --out exp/frames/distilled_T2_s1
  # from 3 % of the utterances
  kdasr frames train ... --share 0.03 --out exp/frames/hard_s1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames train`."""
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="frames to learn from (kdasr frames data)")
    add("--valid", required=True, metavar="DIR", help="frames to choose the epoch by, likewise")
    add("--conf", metavar="FILE", help="YAML of kdasr.frames.settings")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings over those of --conf")
    add("--out", required=True, metavar="DIR", help="model directory to write")
    add("--soft", metavar="DIR", help="soft targets besides the labels (kdasr frames predict, of --data)")
    add("--share", type=float, default=1.0, help="share of --data, as whole utterances drawn by --seed (default 1)")
    add("--label", help="what reports call the model")
    add("--recipe", default="", metavar="NAME", help="models of one name are runs of one kind: distilled, ...")
    add("--baseline", action="store_true", help="others are compared with it")
    add("--seed", type=int, default=1, help="of weights, order, dropout and --share (default 1)")


def run(args: argparse.Namespace) -> None:
    """Train, unless it is done."""
    from kdasr.frames import train

    options = train.TrainOptions(
        data=args.data,
        valid=args.valid,
        out=args.out,
        soft=args.soft,
        share=args.share,
        label=args.label,
        recipe=args.recipe,
        baseline=args.baseline,
        seed=args.seed,
    )
    train.train(options, read_settings(args.conf, args.set))
