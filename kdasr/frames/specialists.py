"""`kdasr frames specialists`: specialists beside a framewise acoustic model, for groups of states that it confuses.

Hinton et al. 2015, section 5; kdasr.classify.specialists does the work. What is written: specialists.json with the
groups, and on how many test frames the generalist alone is right, and all together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.classify.settings import RECORD, add_specialist_arguments, check_specialist_arguments
from kdasr.errors import UserError
from kdasr.files import only_writer, write_json

EXAMPLES = """examples:
  kdasr frames specialists --data dump/frames/train --test dump/frames/test --generalist exp/frames/baseline_s1 \\
      --groups 8 --epochs 2 --out exp/frames/specialists_s1
"""
GROUPED = 50_000  # training frames, evenly spaced, in whose predictions groups are found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames specialists`."""
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="frames that the generalist was trained on (kdasr frames data)")
    add("--test", required=True, metavar="DIR", help="frames to ask about, likewise")
    add("--generalist", required=True, metavar="DIR", help="a model (kdasr frames train)")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add_specialist_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Find groups, train a specialist for each, and count frames."""
    check_specialist_arguments(args)
    if not (Path(args.generalist) / RECORD).is_file():
        raise UserError(f"{args.generalist}/{RECORD}: no such file; train the model first: kdasr frames train")
    import torch

    from kdasr.classify.nets import logits_of
    from kdasr.classify.specialists import beside, read_generalist
    from kdasr.frames.data import load
    from kdasr.frames.predict import fitting

    torch.set_flush_denormal(True)
    train, test = load(args.data), load(args.test)
    model = fitting(args.generalist, args.data, train)
    fitting(args.generalist, args.test, test)
    some = torch.arange(0, len(train.labels), max(1, len(train.labels) // GROUPED))
    with only_writer(args.out):
        seen = logits_of(model, lambda chosen: train.inputs(some[chosen]), len(some))
        said = logits_of(model, test.inputs, len(test.labels))
        found = beside(args, read_generalist(args.generalist), train, seen, test, said)
        names = train.states.names
        result = {
            "generalist": found["generalist"],
            "groups": [{"states": [names[one] for one in each["classes"]], **each} for each in found["specialists"]],
            "temperature": found["temperature"],
            "alone": found["tested"] - found["alone"],
            "together": found["tested"] - found["together"],
            "tested": found["tested"],
            "cpu_seconds": found["cpu_seconds"],
        }
        write_json(Path(args.out) / "specialists.json", result)
    print(
        f"{args.out}: of {result['tested']} frames {result['alone']} right by the generalist alone, "
        f"{result['together']} with specialists"
    )
