#!/usr/bin/env python3
"""Sort a data directory's tables and drop what not all of them cover (old files: DATA-DIR/.backup)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kdasr.data.mend import fix_dir
from kdasr.errors import script_status


def main() -> None:
    """Parse Kaldi's arguments and do it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("data_dir", metavar="DATA-DIR", type=Path)
    args = parser.parse_args()
    kept, before = fix_dir(args.data_dir)
    if kept == before:
        print(f"fix_data_dir.py: kept all {before} utterances.")
    else:
        print(f"fix_data_dir.py: kept {kept} utterances out of {before}")
    print(f"fix_data_dir.py: old files are kept in {args.data_dir}/.backup")


if __name__ == "__main__":
    sys.exit(script_status(main, Path(__file__).name))
