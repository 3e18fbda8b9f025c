#!/usr/bin/env python3
"""Cut a data directory into DATA-DIR/splitN/1..N, by speakers; with --per-utt into splitNutt."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kdasr.data.split import split_dir
from kdasr.errors import script_status


def main() -> None:
    """Parse Kaldi's arguments and do it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--per-utt", action="store_true", help="cut anywhere, not only between speakers")
    parser.add_argument("data_dir", metavar="DATA-DIR", type=Path)
    parser.add_argument("parts", metavar="NUM-TO-SPLIT", type=int)
    args = parser.parse_args()
    split_dir(args.data_dir, args.parts, args.per_utt)


if __name__ == "__main__":
    sys.exit(script_status(main, Path(__file__).name))
