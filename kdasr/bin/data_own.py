"""`kdasr data own`: somebody's own data directories -> the sets of a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.bin.audio_arguments import add_audio_arguments, read_audio_arguments
from kdasr.errors import UserError

EXAMPLES = """examples:
  # three sets with transcripts, and calls that nobody has transcribed
  kdasr data own --train kaldi/train --valid kaldi/dev --test kaldi/test --unlabelled kaldi/calls --out data
  # two test sets: data/test_phone and data/test_room
  kdasr data own --train kaldi/train --valid kaldi/dev --test kaldi/phone kaldi/room --out data
  # no transcripts but for the test: a share of the calls becomes data/valid; calls of more than 20 s are cut at pauses
  kdasr data own --unlabelled calls --cut_seconds 20 --test kaldi/phone --out data
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data own`."""
    add = parser.add_argument
    add("--train", type=Path, metavar="DIR", help="data directory (wav.scp, text, utt2spk) to train on")
    add("--valid", type=Path, metavar="DIR", help="one to choose epochs by")
    add("--test", required=True, nargs="+", type=Path, metavar="DIR", help="those to test on; out/test_NAME each")
    add("--unlabelled", type=Path, metavar="DIR", help="one that nobody has transcribed, or a folder of audio")
    add(
        "--cut_seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="cut what is longer in --unlabelled at pauses, into S at most (default: more than 40 are refused)",
    )
    add(
        "--base", type=Path, default=Path(), metavar="DIR", help="relative paths of audio are taken from it (default .)"
    )
    add("--out", type=Path, default=Path("data"), metavar="DIR", help="where the copies go (default: data)")
    add("--nj", type=int, default=2, help="processes that cut (default 2)")
    add_audio_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Copy the sets, and print their sizes."""
    from kdasr.data.own import TRAIN, UNLABELLED, VALID, write_sets  # loads scipy, which --help need not wait for

    if bool(args.train) != bool(args.valid):
        raise UserError("--train and --valid: name both, or neither and --unlabelled")
    if not args.train and not args.unlabelled:
        raise UserError("nothing to train on; name --train and --valid, or --unlabelled that a teacher labels")
    sets = {TRAIN: args.train, VALID: args.valid} if args.train else {}
    for source in args.test:
        name = f"test_{source.resolve().name}"
        if name in sets:
            raise UserError(f"--test {source}: another test set is called {name}, too; give them different names")
        sets[name] = source
    sets |= {UNLABELLED: args.unlabelled} if args.unlabelled else {}
    write_sets(sets, args.out, args.base, args.cut_seconds, read_audio_arguments(args), args.nj)
