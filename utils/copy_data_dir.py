#!/usr/bin/env python3
"""Copy a data directory, with prefixes or suffixes for its ids; give both prefixes, or the sorting breaks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kdasr.data.joined import copy_dir
from kdasr.data.kaldi_check import validate
from kdasr.errors import script_status


def main() -> None:
    """Parse Kaldi's arguments and do it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for kind in ("spk", "utt"):
        parser.add_argument(f"--{kind}-prefix", default="", help=f"before each {kind} id, as in --{kind}-prefix=a-")
        parser.add_argument(f"--{kind}-suffix", default="", help=f"after each {kind} id")
    parser.add_argument("source", metavar="SRC-DIR", type=Path)
    parser.add_argument("target", metavar="DEST-DIR", type=Path)
    args = parser.parse_args()
    copy_dir(args.source, args.target, (args.spk_prefix, args.spk_suffix), (args.utt_prefix, args.utt_suffix))
    print(f"copy_data_dir.py: copied data from {args.source} to {args.target}")
    feats, text, wav = ((args.target / name).is_file() for name in ("feats.scp", "text", "wav.scp"))
    validate(args.target, feats=feats, text=text, wav=wav)


if __name__ == "__main__":
    sys.exit(script_status(main, Path(__file__).name))
