"""`kdasr shrink`: a smaller network of the same kind with a model's own weights, dense and as fast as its size."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.bin.audio_arguments import add_audio_arguments, read_audio_arguments
from kdasr.shrink.settings import BY, Shrinking, number

EXAMPLES = """examples:
  # a tenth of the teacher: the units that matter least on a set are removed
  kdasr shrink --model exp/teacher --params 200k --data dump/fbank/dev --out exp/teacher_200k
  # then train on, with the training configuration that has its network
  kdasr shrink --model exp/teacher --params 200k --train_config conf/student.yaml --out exp/teacher_200k
  kdasr train --config exp/teacher_200k/train.yaml --init exp/teacher_200k --train dump/fbank/train \\
      --targets exp/teacher/targets --valid dump/fbank/dev --tokens dump/tokens/char --out exp/shrunk --role student
  # the network of a student's configuration, whatever is smaller in it: units, layers, ranks
  kdasr shrink --model exp/teacher --like conf/student.yaml --out exp/teacher_small
  # half of the layers of a conformer, or fewer feed-forward units: stock ESPnet loads the result
  kdasr shrink --model exp/conformer --params 15M --by layers --out exp/conformer_15m
  # maps of low rank, which keep 90 % of what they carry
  kdasr shrink --model exp/teacher --by rank --energy 0.9 --out exp/teacher_rank
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr shrink`."""
    add = parser.add_argument
    add("--model", required=True, type=Path, metavar="DIR", help="model directory to make smaller")
    add("--model_file", metavar="NAME", help="checkpoint in it (default valid.acc.ave.pth)")
    add("--params", metavar="N", help="parameters that the result has at most: 200000, 200k, 1.5M")
    add("--like", type=Path, metavar="CONFIG", help="instead: the configuration whose network it is to have")
    add("--energy", type=float, metavar="SHARE", help="instead, with --by rank: share of each map's energy to keep")
    add("--by", choices=BY, default="units", help="what a budget takes away (default units)")
    add("--data", type=Path, metavar="DIR", help="transcribed set that shows what matters (default: weights' norms)")
    add("--utterances", type=int, default=100, metavar="N", help="of that set, evenly spread (default 100)")
    add("--train_config", type=Path, metavar="CONFIG", help="write OUT/train.yaml: this one, with the smaller network")
    add("--out", required=True, type=Path, metavar="DIR", help="model directory to write")
    add("--label", default="", help="what the report calls it (default: the model's label, shrunk to N parameters)")
    add_audio_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Make the smaller model, write the directory, print its sizes."""
    asked = Shrinking(
        model=args.model,
        out=args.out,
        params=None if args.params is None else number(args.params),
        like=args.like,
        energy=args.energy,
        by=args.by,
        data=args.data,
        utterances=args.utterances,
        train_config=args.train_config,
        model_file=args.model_file,
        label=args.label,
        reading=read_audio_arguments(args),
    )
    from kdasr.shrink.shrink import shrink

    shrink(asked)
