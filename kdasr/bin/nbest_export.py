"""`kdasr nbest export`: an archive as Kaldi tables, ESPnet's directories, JSON lines or a text."""

from __future__ import annotations

import argparse

from kdasr.nbest.forms import FORMS, export_as

EXAMPLES = """examples:
  # text, tokens, score, score_decoder, score_ctc
  kdasr nbest export --nbest exp/teacher/nbest_train --out exp/teacher/nbest_train_kaldi
  # the two best only
  kdasr nbest export --nbest exp/teacher/nbest_train --out two_best --best 2
  # lines {"id": "utt1", "text": "HELLO WORLD", "score": -1.5, "rank": 1}
  kdasr nbest export --nbest exp/teacher/nbest_train --format jsonl --out hyps.jsonl
  # 1best_recog, 2best_recog, ... as ESPnet writes them
  kdasr nbest export --nbest exp/teacher/nbest_train --format espnet --tokens dump/tokens/char --out espnet_lists
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr nbest export`."""
    parser.add_argument("--nbest", required=True, metavar="DIR", help="archive to read (kdasr nbest)")
    parser.add_argument("--out", required=True, metavar="PATH", help="directory (kaldi, espnet) or file to write")
    parser.add_argument(
        "--format", default="kaldi", choices=FORMS, help="what to write (docs/hypotheses.md; default kaldi)"
    )
    parser.add_argument("--best", type=int, default=0, metavar="K", help="only the K best of each (default 0: all)")
    parser.add_argument("--tokens", default="", metavar="DIR", help="espnet: the archive's token directory")


def run(args: argparse.Namespace) -> None:
    """Export, and print a line."""
    export_as(args.format, args.nbest, args.out, args.best, args.tokens)
