"""`kdasr data transcripts`: a data directory with transcripts from elsewhere, such as a teacher's."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.transcripts import write_transcribed

EXAMPLES = """examples:
  # what the teacher heard in the held-out audio stands for its transcripts
  kdasr data transcripts --in dump/fbank/valid --text exp/teacher/targets_valid/text --out dump/fbank/valid_labels
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data transcripts`."""
    add = parser.add_argument
    add("--in", dest="source", required=True, type=Path, metavar="DIR", help="a data directory, or one with features")
    add("--text", required=True, type=Path, help="transcripts, Kaldi's text form; utterances without one are left out")
    add("--out", required=True, type=Path, metavar="DIR", help="where it goes")


def run(args: argparse.Namespace) -> None:
    """Write the directory and print its size."""
    write_transcribed(args.source, args.text, args.out)
