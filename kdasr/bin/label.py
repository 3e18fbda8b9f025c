"""`kdasr label`: call a model otherwise in tables."""

from __future__ import annotations

import argparse

from kdasr.report.label import relabel

EXAMPLES = """examples:
  kdasr label exp/student_mini_nbest_s1 'N-best by posterior'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr label`."""
    parser.add_argument("model", metavar="DIR", help="model directory, with a kdasr.json")
    parser.add_argument("label", help="what tables call it from now on")


def run(args: argparse.Namespace) -> None:
    """Change the label, and print a line."""
    relabel(args.model, args.label)
