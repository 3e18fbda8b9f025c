"""`kdasr lm soft`: what teachers expect at each token of a training text, stored for students."""

from __future__ import annotations

import argparse

EXAMPLES = """examples:
  # the 20 most probable words of the mean of two teachers
  kdasr lm soft --teachers exp/teacher_s1 exp/teacher_s2 --text ptb.train.txt --kept 20 --out exp/soft
  # 20 draws instead
  kdasr lm soft --teachers exp/teacher_s1 --text ptb.train.txt --kept 20 --draws --out exp/soft
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr lm soft`."""
    add = parser.add_argument
    add("--teachers", nargs="+", required=True, metavar="DIR", help="language models; several are averaged")
    add("--text", required=True, metavar="FILE", help="the student's training text")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add("--kept", type=int, default=20, help="words kept of each distribution; 0: all (default 20)")
    add("--draws", action="store_true", help="draw them from the distribution instead of taking the most probable")
    add("--seed", type=int, default=1, help="of the draws (default 1)")
    add("--ngpu", type=int, default=0, help="0: CPU; 1: a GPU (default 0)")


def run(args: argparse.Namespace) -> None:
    """Store the targets, unless they are there."""
    from kdasr.lm import soft

    soft.store_targets(
        args.teachers,
        args.text,
        args.out,
        kept=args.kept,
        draws=args.seed if args.draws else None,
        device="cuda:0" if args.ngpu else "cpu",
    )
