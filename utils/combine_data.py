#!/usr/bin/env python3
"""Join data directories into one; ids that occur in two of them are refused."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kdasr.data.joined import combine_dirs
from kdasr.errors import script_status


def main() -> None:
    """Parse Kaldi's arguments and do it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("target", metavar="DEST-DIR", type=Path)
    parser.add_argument("sources", metavar="SRC-DIR", type=Path, nargs="+")
    args = parser.parse_args()
    count, left_out = combine_dirs(args.target, args.sources)
    for name in left_out:  # segments are made where they are lacking, unless there is nothing to cut
        lacking = "wav.scp" if name == "segments" else "it"
        print(f"combine_data.py: not combining {name}, as some of the directories lack {lacking}")
    print(f"combine_data.py: combined {count} utterances in {args.target}")


if __name__ == "__main__":
    sys.exit(script_status(main, Path(__file__).name))
