#!/usr/bin/env python3
"""Check a data directory against the rules that Kaldi's tools rely on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kdasr.data.kaldi_check import validate
from kdasr.errors import script_status


def main() -> None:
    """Parse Kaldi's arguments and do it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--no-feats", action="store_true", help="feats.scp may be absent")
    parser.add_argument("--no-text", action="store_true", help="text may be absent")
    parser.add_argument("--no-wav", action="store_true", help="wav.scp may be absent")
    parser.add_argument("--no-spk-sort", action="store_true", help="utt2spk need not be in the speakers' order")
    parser.add_argument("data_dir", metavar="DATA-DIR", type=Path)
    args = parser.parse_args()
    warnings = validate(args.data_dir, not args.no_feats, not args.no_text, not args.no_wav, not args.no_spk_sort)
    for warning in warnings:
        print(f"validate_data_dir.py: warning: {warning}", file=sys.stderr)
    print(f"validate_data_dir.py: Successfully validated data-directory {args.data_dir}")


if __name__ == "__main__":
    sys.exit(script_status(main, Path(__file__).name))
