"""`kdasr data wsj`: WSJ (LDC93S6, LDC94S13) -> Kaldi data directories, the sets of Kaldi's egs/wsj/s5."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.wsj import WSJ0_SPEAKERS, write_sets

EXAMPLES = """examples:
  # the two corpora as LDC ships them, each a directory of discs (11-1.1 ... 13-34.1)
  kdasr data wsj --out data /corpora/LDC93S6B /corpora/LDC94S13B
  # every disc by its own name
  kdasr data wsj --out data /cdroms/11-1.1 /cdroms/11-2.1 /cdroms/11-13.1 /cdroms/13-34.1
  # merged trees /corpora/csr/wsj0 and /corpora/csr/wsj1, with LDC's list of WSJ0's training speakers
  kdasr data wsj --out data --spkrinfo wsj0-train-spkrinfo.txt /corpora/csr
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data wsj`."""
    parser.add_argument(
        "discs",
        nargs="+",
        type=Path,
        metavar="DISC",
        help="a disc (11-1.1 ... 13-34.1), a merged tree (wsj0, wsj1), or a directory that has such in it",
    )
    parser.add_argument("--out", default=Path("data"), type=Path, help="where the sets go (default: data)")
    parser.add_argument(
        "--spkrinfo",
        type=Path,
        metavar="FILE",
        help=f"LDC's {WSJ0_SPEAKERS}, genders of WSJ0's training speakers (default: looked for beside the discs)",
    )


def run(args: argparse.Namespace) -> None:
    """Write every set that the discs have an index for; nothing, if one of them cannot be made."""
    write_sets(args.discs, args.out, args.spkrinfo)
