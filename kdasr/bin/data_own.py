"""`kdasr data own`: somebody's own data directories -> the sets of a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.own import UNLABELLED, write_sets
from kdasr.errors import UserError

EXAMPLES = """examples:
  # three sets with transcripts, and calls that nobody has transcribed
  kdasr data own --train kaldi/train --valid kaldi/dev --test kaldi/test --unlabelled kaldi/calls --out data
  # two test sets: data/test_phone and data/test_room
  kdasr data own --train kaldi/train --valid kaldi/dev --test kaldi/phone kaldi/room --out data
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data own`."""
    add = parser.add_argument
    add("--train", required=True, type=Path, metavar="DIR", help="data directory (wav.scp, text, utt2spk) to train on")
    add("--valid", required=True, type=Path, metavar="DIR", help="one to choose epochs by")
    add("--test", required=True, nargs="+", type=Path, metavar="DIR", help="those to test on; out/test_NAME each")
    add("--unlabelled", type=Path, metavar="DIR", help="one that nobody has transcribed, or a folder of audio")
    add(
        "--base", type=Path, default=Path(), metavar="DIR", help="relative paths of audio are taken from it (default .)"
    )
    add("--out", type=Path, default=Path("data"), metavar="DIR", help="where the copies go (default: data)")


def run(args: argparse.Namespace) -> None:
    """Copy the sets, and print their sizes."""
    sets = {"train": args.train, "valid": args.valid}
    for source in args.test:
        name = f"test_{source.resolve().name}"
        if name in sets:
            raise UserError(f"--test {source}: another test set is called {name}, too; give them different names")
        sets[name] = source
    write_sets(sets | ({UNLABELLED: args.unlabelled} if args.unlabelled else {}), args.out, args.base)
