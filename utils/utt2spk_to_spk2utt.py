#!/usr/bin/env python3
"""Turn utt2spk into spk2utt: `utt2spk_to_spk2utt.py FILE`, or from standard input, to standard output."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kdasr.data.kaldi_dir import spk2utt_of
from kdasr.errors import script_status
from kdasr.files import read_table


def main() -> None:
    """Read, turn round, print."""
    if len(sys.argv) > 2 or "-h" in sys.argv or "--help" in sys.argv:
        print(__doc__)
        return
    path = sys.argv[1] if len(sys.argv) == 2 and sys.argv[1] != "-" else "/dev/stdin"
    for key, value in spk2utt_of(read_table(path)).items():
        print(key, value)


if __name__ == "__main__":
    sys.exit(script_status(main, Path(__file__).name))
