"""`kdasr images specialists`: specialists beside a generalist, for groups of classes that it confuses.

Hinton et al. 2015, section 5; kdasr.classify.specialists does the work. What is written: specialists.json with the
groups, the errors of the generalist alone and of all together on the test images, and of each specialist.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.arrays import read_npz
from kdasr.classify.settings import (
    LOGITS,
    MODEL,
    RECORD,
    add_specialist_arguments,
    check_specialist_arguments,
)
from kdasr.errors import UserError
from kdasr.files import only_writer, write_json

EXAMPLES = """examples:
  kdasr images specialists --data data/images.npz --generalist exp/hard_30_s1 --groups 3 --out exp/specialists_s1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr images specialists`."""
    add = parser.add_argument
    add("--data", required=True, metavar="FILE", help="what kdasr images data wrote")
    add("--generalist", required=True, metavar="DIR", help="a network (kdasr images train)")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add_specialist_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Find groups, train a specialist for each, and count errors."""
    check_specialist_arguments(args)
    for name in (LOGITS, MODEL, RECORD):
        if not (Path(args.generalist) / name).is_file():
            raise UserError(f"{args.generalist}/{name}: no such file; train the network first: kdasr images train")
    import torch

    from kdasr.classify.specialists import beside, read_generalist
    from kdasr.images.data import LARGEST, load

    torch.set_flush_denormal(True)
    parts = load(args.data)
    stored = read_npz(Path(args.generalist) / LOGITS, ["train", "test"], "train it again (kdasr images train)")
    seen, said = (torch.from_numpy(stored[part]) for part in ("train", "test"))
    if len(seen) != len(parts["train"].labels):
        raise UserError(f"{args.generalist}: has {len(seen)} training images, --data {len(parts['train'].labels)}")
    with only_writer(args.out):
        general = read_generalist(args.generalist, LARGEST)
        result = beside(args, general, parts["train"], seen, parts["test"], said)
        write_json(Path(args.out) / "specialists.json", result)
    print(f"{args.out}: {result['alone']} test errors of the generalist alone, {result['together']} with specialists")
