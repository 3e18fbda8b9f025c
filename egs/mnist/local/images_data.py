#!/usr/bin/env python3
"""Images and their labels as one file, from MNIST's files or from scikit-learn's digits."""

from __future__ import annotations

import argparse
import sys

from digits import write_images

from kdasr.cli import run_program

EXAMPLES = """examples:
  local/images_data.py --mnist /corpora/mnist --out data/images.npz   # four IDX files, gzipped or not
  local/images_data.py --out data/images.npz                          # the 1797 digits that scikit-learn carries
  local/images_data.py --mnist /corpora/mnist --held_out 10000 --out data/held.npz   # to choose settings on
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `local/images_data.py`."""
    add = parser.add_argument
    add("--mnist", metavar="DIR", help="directory of MNIST's four files (default: scikit-learn's digits)")
    add("--out", required=True, metavar="FILE", help="file to write, .npz")
    add(
        "--held_out",
        type=int,
        default=0,
        metavar="N",
        help="the last N training images stand as the test images, which are left out (default 0: none)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the file and say what is in it."""
    write_images(args.out, args.mnist, args.held_out)


if __name__ == "__main__":
    sys.exit(run_program(sys.modules[__name__]))
