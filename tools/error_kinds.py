#!/usr/bin/env python3
"""Which errors a decoding makes that another of the same set does not make, by kind: what greedy search lacks.

Both directories are of kdasr score. The kinds are explained in kdasr/score/kinds.py; rates are percent of the words.

Examples:
  tools/error_kinds.py exp/student_refs_s1/decode_greedy/test/score_wer exp/student_refs_s1/decode_beam/test/score_wer
"""

# ruff: noqa: E402 (kdasr is found from here)
from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kdasr.errors import UserError
from kdasr.score.kinds import compare, read_steps, table


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="DIR", help="a score, as of greedy decoding")
    parser.add_argument("second", metavar="DIR2", help="another score of the same set, as of a beam")
    parser.add_argument(
        "--names", nargs=2, default=["greedy", "beam"], metavar="NAME", help="what the table calls them"
    )
    args = parser.parse_args()
    try:
        first, second = (read_steps(directory) for directory in (args.first, args.second))
        if odd := next(iter(sorted(first.keys() ^ second.keys())), None):
            raise UserError(f"{args.second}: {odd} is in one of the two scores alone; score the same set")
    except UserError as error:
        sys.exit(f"error_kinds.py: {error}")
    print(table(compare(first, second), tuple(args.names)), end="")


if __name__ == "__main__":
    main()
