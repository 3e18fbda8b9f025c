#!/usr/bin/env python3
"""Take part of a data directory: N utterances spread over it, or those that an option says."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kdasr.data import subset
from kdasr.data.parts import LongDir
from kdasr.errors import UserError, script_status
from kdasr.files import read_lines, split_key

USAGE = """
  subset_data_dir.py [--speakers|--shortest|--first|--last|--per-spk] SRC-DIR NUM-UTT DEST-DIR
  subset_data_dir.py [--spk-list FILE|--utt-list FILE] SRC-DIR DEST-DIR"""


def main() -> None:
    """Parse Kaldi's arguments and do it."""
    parser = argparse.ArgumentParser(description=__doc__, usage=USAGE, allow_abbrev=False)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--speakers", action="store_true", help="random whole speakers until there are NUM-UTT")
    group.add_argument("--shortest", action="store_true", help="the NUM-UTT shortest utterances")
    group.add_argument("--first", action="store_true", help="the first NUM-UTT utterances")
    group.add_argument("--last", action="store_true", help="the last NUM-UTT utterances")
    group.add_argument("--per-spk", action="store_true", help="NUM-UTT utterances of each speaker")
    group.add_argument("--spk-list", type=Path, metavar="FILE", help="the speakers in the first column of FILE")
    group.add_argument("--utt-list", type=Path, metavar="FILE", help="the utterances in the first column of FILE")
    parser.add_argument("arguments", nargs="+", metavar="ARGUMENT", help="see the usage")
    args = parser.parse_args()
    listed = args.spk_list or args.utt_list
    if len(args.arguments) != (2 if listed else 3):
        parser.error("expected SRC-DIR DEST-DIR" if listed else "expected SRC-DIR NUM-UTT DEST-DIR")
    source, target = Path(args.arguments[0]), Path(args.arguments[-1])
    with LongDir(source) as whole:
        if listed:
            keys = filter(None, (split_key(line)[0] for line in read_lines(listed)))
            places = subset.listed(whole, keys, speakers=bool(args.spk_list))
        else:
            places = choose(args, whole, args.arguments[1])
        count = subset.write_subset(whole, places, target)
        print(f"subset_data_dir.py: reducing #utt from {len(whole.utt2spk)} to {count}")


def choose(args: argparse.Namespace, whole: LongDir, number: str) -> Sequence[int]:
    """The places of the utterances that the options and NUM-UTT say."""
    utterances = len(whole.utt2spk)
    if not re.fullmatch("0*[1-9][0-9]{0,17}", number):
        raise UserError(f"NUM-UTT is {number!r}, expected a whole number above 0")
    count = int(number)
    if args.per_spk:
        return subset.of_each_speaker(whole.speaker, count)
    if args.speakers:
        return subset.of_some_speakers(whole.speaker, count)
    if count > utterances:
        raise UserError(f"cannot take {count} utterances of {utterances}; ask for fewer")
    if args.shortest:
        return subset.shortest(whole, count)
    if args.first or args.last:
        return range(count) if args.first else range(utterances - count, utterances)
    return subset.evenly(utterances, count)


if __name__ == "__main__":
    sys.exit(script_status(main, Path(__file__).name))
