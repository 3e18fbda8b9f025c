"""`kdasr data folder`: a folder of audio files without lists -> a Kaldi data directory without text."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.folder import write_folder

EXAMPLES = """examples:
  # calls/2024/a b.wav becomes the utterance 2024-a_b
  kdasr data folder --in calls --out data/calls
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data folder`."""
    parser.add_argument(
        "--in", dest="folder", required=True, type=Path, metavar="DIR", help="audio files, in subfolders or not"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="the data directory: wav.scp, utt2spk")


def run(args: argparse.Namespace) -> None:
    """Write the data directory and print its size."""
    write_folder(args.folder, args.out)
