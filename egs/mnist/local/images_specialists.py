#!/usr/bin/env python3
"""Specialists beside a generalist, for groups of classes that it confuses."""

from __future__ import annotations

import argparse
import sys

from kdasr.bin.specialist_arguments import add_specialist_arguments, specialist_settings
from kdasr.cli import run_program

EXAMPLES = """examples:
  local/images_specialists.py --data data/images.npz --generalist exp/hard_30_s1 --groups 3 --out exp/specialists_s1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `local/images_specialists.py`."""
    add = parser.add_argument
    add("--data", required=True, metavar="FILE", help="what local/images_data.py wrote")
    add("--generalist", required=True, metavar="DIR", help="a network (local/images_train.py)")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add_specialist_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Find groups, train a specialist for each, and count errors."""
    import image_specialists

    image_specialists.train_specialists(args.data, args.generalist, args.out, specialist_settings(args))


if __name__ == "__main__":
    sys.exit(run_program(sys.modules[__name__]))
