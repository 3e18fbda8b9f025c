"""Set part of a data or feature directory aside as if nobody had transcribed it.

Distillation can learn from untranscribed speech (the teacher transcribes it). To measure what that is worth,
a share of a transcribed set is cut off and loses its `text`, so that nothing later can use it by accident.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from kdasr.data.kaldi_dir import CMVN, keep_utterances, put_dir, read_dir
from kdasr.errors import UserError

EXAMPLES = """examples:
  # half of the training set stays transcribed, the other half becomes untranscribed speech
  kdasr data holdout --transcribed 0.5 --seed 1 dump/fbank/train \\
      --labelled dump/fbank/train_lab --unlabelled dump/fbank/train_unlab
  # one hour in ten keeps its transcripts
  kdasr data holdout --transcribed 0.1 dump/fbank/train --labelled dump/fbank/train_10 --unlabelled dump/fbank/train_90
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data holdout`."""
    parser.add_argument("source", type=Path, metavar="SRC", help="a data directory, or one with features")
    parser.add_argument(
        "--transcribed",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="part of the utterances that keeps its text (default: 0.5)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the draw; the same seed draws the same (default: 1)")
    parser.add_argument("--labelled", type=Path, required=True, metavar="DIR", help="where the transcribed part goes")
    parser.add_argument("--unlabelled", type=Path, required=True, metavar="DIR", help="where the rest goes")


def run(args: argparse.Namespace) -> None:
    """Write both parts."""
    places = {path.resolve() for path in (args.source, args.labelled, args.unlabelled)}
    if len(places) < 3:
        raise UserError(f"{args.source}, {args.labelled}, {args.unlabelled}: name three different directories")
    tables = read_dir(args.source)
    if "text" not in tables:
        raise UserError(f"{args.source}/text: no such file; a directory without transcripts has nothing to set aside")
    kept = draw(tables["utt2spk"], args.transcribed, args.seed, tables.get("utt2uniq", {}))
    away = tables["utt2spk"].keys() - kept
    labelled = keep_utterances(tables, kept)
    unlabelled = keep_utterances(tables, away)
    del unlabelled["text"]
    # The labelled part takes the whole's CMVN statistics as they are: they come from the audio alone, and
    # untranscribed audio may be used. manifest.json tells of the features' making, not of the parts'.
    cmvn = args.source / CMVN
    put_dir(args.labelled, labelled, cmvn.read_bytes() if cmvn.is_file() else None)
    put_dir(args.unlabelled, unlabelled)
    print(f"{args.labelled}: {len(labelled['utt2spk'])} utterances, transcribed")
    print(f"{args.unlabelled}: {len(away)} utterances, without text")


def draw(utterances: Iterable[str], share: float, seed: int, originals: Mapping[str, str]) -> set[str]:
    """A seeded draw of this share of the utterances.

    Copies of an utterance at other speeds go where it goes, or its words would be in both parts: those that
    `originals` (utt2uniq) says, and those whose ids begin like sp0.9-.

    Raises:
        UserError: one of the two parts would be empty.
    """
    groups = shuffled(utterances, seed, originals)
    count = round(share * len(groups)) if 0 < share < 1 else 0
    if not 0 < count < len(groups):
        raise UserError(
            f"--transcribed {share}: leaves one part of {len(groups)} utterances empty; give one between 0 and 1"
        )
    return {utterance for group in groups[:count] for utterance in group}


def shuffled(utterances: Iterable[str], seed: int, originals: Mapping[str, str]) -> list[list[str]]:
    """Each utterance with its copies at other speeds (see `draw`), in an order that the seed determines."""
    groups: dict[str, list[str]] = {}
    for utterance in utterances:
        original = originals.get(utterance, re.sub(r"^sp\d+(\.\d+)?-", "", utterance))
        groups.setdefault(original, []).append(utterance)
    # In the order of their hashes: unlike random.shuffle's, it is the same in every version of Python, and a
    # larger share takes all that a smaller one does.
    return [groups[name] for name in sorted(groups, key=lambda n: hashlib.sha256(f"{seed} {n}".encode()).digest())]
