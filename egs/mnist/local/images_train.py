#!/usr/bin/env python3
"""A classifier of images, which learns from labels or from a teacher's soft targets on a transfer set."""

from __future__ import annotations

import argparse
import sys

from image_settings import read_settings

from kdasr.cli import run_program
from kdasr.losses import MEANS

EXAMPLES = """examples:
  local/images_train.py --data data/images.npz --conf conf/teacher.yaml --out exp/teacher_s1
  local/images_train.py --data data/images.npz --conf conf/student.yaml --out exp/hard_s1      # on the labels
  local/images_train.py --data data/images.npz --conf conf/student.yaml --teachers exp/teacher_s1 \\
      --set temperature=20 --out exp/soft_T20_s1
  # from images among which there is no 3; from 7s and 8s alone; an ensemble as the teacher
  local/images_train.py ... --teachers exp/teacher_s1 --without 3 --out exp/without3_s1
  local/images_train.py ... --teachers exp/teacher_s1 --only 7 8 --out exp/only78_s1
  local/images_train.py ... --teachers exp/teacher_s1 exp/teacher_s2 --mean geometric --out exp/ensemble_s1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `local/images_train.py`."""
    add = parser.add_argument
    add("--data", required=True, metavar="FILE", help="what local/images_data.py wrote")
    add("--conf", metavar="FILE", help="YAML of local/image_settings.py (default: those of a student)")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings over those of --conf")
    add("--out", required=True, metavar="DIR", help="model directory to write")
    add("--teachers", nargs="+", default=[], metavar="DIR", help="networks to learn from")
    add("--mean", choices=MEANS, default="arithmetic", help="of several teachers (default arithmetic)")
    some = parser.add_mutually_exclusive_group()
    some.add_argument(
        "--without", nargs="+", type=int, metavar="CLASS", help="classes to leave out of the training set"
    )
    some.add_argument("--only", nargs="+", type=int, metavar="CLASS", help="the only classes of the training set")
    add("--role", choices=("teacher", "student"), default="student", help="what the network is (default student)")
    add("--label", help="what reports call the model")
    add("--seed", type=int, default=1, help="of weights, order, dropout and jitter (default 1)")


def run(args: argparse.Namespace) -> None:
    """Train, unless it is done."""
    import image_training

    options = image_training.TrainOptions(
        data=args.data,
        out=args.out,
        teachers=args.teachers,
        mean=args.mean,
        without=args.without or (),
        only=args.only or (),
        role=args.role,
        label=args.label,
        seed=args.seed,
    )
    image_training.train(options, read_settings(args.conf, args.set))


if __name__ == "__main__":
    sys.exit(run_program(sys.modules[__name__]))
