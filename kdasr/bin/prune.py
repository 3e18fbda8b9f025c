"""`kdasr prune`: the weights of least magnitude become zero, for good."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.prune.settings import SCHEMES, Pruning

EXAMPLES = """examples:
  # four weights in five, whichever are smallest
  kdasr prune --model exp/student --sparsity 0.8 --out exp/student_pruned80
  # then train on, the mask held
  kdasr train --init exp/student_pruned80 --mask exp/student_pruned80/mask.pth --config conf/mini_student.yaml \\
      --train dump/fbank/train --targets exp/student/targets --valid dump/fbank/dev --tokens dump/tokens/char \\
      --out exp/student_pruned80_kd --role student
  # the same share of every matrix
  kdasr prune --model exp/student --sparsity 0.5 --scheme uniform --out exp/student_pruned50
  # by standard deviations, small parameters (attention energies, convolutions) left whole
  kdasr prune --model exp/student --sparsity 0.8 --scheme distribution --spare 0.01 --out exp/student_pruned80
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr prune`."""
    add = parser.add_argument
    add("--model", required=True, type=Path, metavar="DIR", help="model directory to prune")
    add("--model_file", metavar="NAME", help="checkpoint in it (default valid.acc.ave.pth)")
    add("--sparsity", required=True, type=float, help="share of the prunable weights to set to zero, 0.8 for 80 %%")
    add("--scheme", choices=SCHEMES, default="blind", help="which weights compete with which (default blind)")
    add("--spare", type=float, default=0.0, metavar="SHARE", help="leave classes whole that have less of the weights")
    add("--out", required=True, type=Path, metavar="DIR", help="model directory to write")
    add("--label", default="", help="what the report calls it (default: the model's label, pruned N %%)")


def run(args: argparse.Namespace) -> None:
    """Prune, write the directory, print what is left of each parameter."""
    from kdasr.prune.prune import prune

    prune(Pruning(**vars(args)))
