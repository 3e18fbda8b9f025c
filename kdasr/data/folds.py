"""Cut a data or feature directory into N parts for cross-fitting.

A teacher knows the audio it was trained on by heart, so its hypotheses of that audio tell a student little that
the references do not, and all but the first are wrong. Cross-fitted hypotheses are those of teachers that did not
hear the audio: for each part one is trained on all the others (rest1, rest2, ...) and decodes the part (fold1,
fold2, ...); `kdasr targets` takes the N archives together.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.holdout import shuffled
from kdasr.data.kaldi_dir import CMVN, keep_utterances, put_dir, read_dir
from kdasr.errors import UserError

EXAMPLES = """examples:
  # two parts: a teacher trained on rest1 decodes fold1, one trained on rest2 decodes fold2
  kdasr data folds dump/fbank/train --folds 2 --out dump/fbank/train_folds2
  # ten parts, another draw: each teacher hears nine tenths
  kdasr data folds dump/fbank/train --folds 10 --seed 7 --out dump/fbank/train_folds10
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data folds`."""
    parser.add_argument("source", type=Path, metavar="SRC", help="a data directory, or one with features")
    parser.add_argument("--folds", type=int, default=2, metavar="N", help="number of parts (default: 2)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw; the same seed draws the same (default: 1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="gets fold1 ... foldN, rest1 ... restN")


def run(args: argparse.Namespace) -> None:
    """Write the parts and what is left without each."""
    tables = read_dir(args.source)
    groups = shuffled(tables["utt2spk"], args.seed, tables.get("utt2uniq", {}))
    if not 2 <= args.folds <= len(groups):
        raise UserError(
            f"--folds {args.folds}: {args.source} has {len(groups)} utterances (copies at other speeds aside); "
            "give 2 or more, up to that number"
        )
    places = {f"{kind}{n}": args.out / f"{kind}{n}" for kind in ("fold", "rest") for n in range(1, args.folds + 1)}
    if args.source.resolve() in {place.resolve() for place in places.values()}:
        raise UserError(f"{args.source}: would be replaced by a part of itself; name another --out")
    others = sorted({path.name for kind in ("fold", "rest") for path in args.out.glob(f"{kind}[0-9]*")} - places.keys())
    if others:
        raise UserError(
            f"{args.out}: holds {others[0]} of a cut into more parts than {args.folds}; remove the directory, "
            "or name another --out"
        )
    # As in holdout: statistics of the whole come from the audio alone, so a teacher of the rest may use them.
    cmvn = (args.source / CMVN).read_bytes() if (args.source / CMVN).is_file() else None
    for n in range(1, args.folds + 1):
        part = {utterance for group in groups[n - 1 :: args.folds] for utterance in group}
        rest = tables["utt2spk"].keys() - part
        made = put_dir(places[f"fold{n}"], keep_utterances(tables, part))
        made |= put_dir(places[f"rest{n}"], keep_utterances(tables, rest), cmvn)
        print(
            f"{places[f'fold{n}']}: {len(part)} utterances; {places[f'rest{n}']}: the other {len(rest)}"
            + ("" if made else " (there already)")
        )
