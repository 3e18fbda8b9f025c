"""`kdasr adopt`: a finished ESPnet model, or a pack of one, as a teacher."""

from __future__ import annotations

import argparse

from kdasr.adopt import adopt
from kdasr.bin.prompt_arguments import add_prompt_arguments, read_prompt

EXAMPLES = """examples:
  # links to its files; nothing is written into its own directory
  kdasr adopt /models/asr_train_asr_conformer --out exp/teacher_conformer
  # a model that espnet2.bin.pack has packed, unpacked
  kdasr adopt asr_conformer.zip --out exp/teacher_conformer
  # an S2T model (OWSM), which is asked for English whenever it is used
  kdasr adopt /models/owsm --lang eng --task asr --out exp/teacher_owsm
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr adopt`."""
    parser.add_argument(
        "model", metavar="MODEL", help="ESPnet2 ASR or S2T model directory, or a zip of espnet2.bin.pack"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="model directory to write")
    parser.add_argument("--label", default="teacher", help="what tables call it (default teacher)")
    add_prompt_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Make the model directory, and print a line."""
    adopt(args.model, args.out, args.label, read_prompt(args))
