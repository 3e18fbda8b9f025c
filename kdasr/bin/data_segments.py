"""`kdasr data segments`: long recordings -> a Kaldi data directory of utterances, cut at pauses."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.data.utterances import Reading

EXAMPLES = """examples:
  # a folder of interviews; data/interviews gets wav.scp, segments and utt2spk, and no audio
  kdasr data segments --in interviews --out data/interviews
  # a Kaldi directory of calls, the second channel of each, in four processes
  kdasr data segments --in kaldi/calls --out data/calls --channel 2 --nj 4
  # only what is longer than 30 seconds is cut, into utterances of 15 seconds at most
  kdasr data segments --in kaldi/calls --out data/calls --whole_up_to 30 --max_seconds 15
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr data segments`."""
    add = parser.add_argument
    add(
        "--in",
        dest="source",
        required=True,
        type=Path,
        metavar="DIR",
        help="data directory (wav.scp, perhaps segments and utt2spk), or a folder of audio files, of any sampling rate",
    )
    add("--out", required=True, type=Path, metavar="DIR", help="the data directory: wav.scp, segments, utt2spk")
    add("--max_seconds", type=float, default=20.0, metavar="S", help="of an utterance (default 20)")
    add("--min_pause", type=float, default=0.5, metavar="S", help="silence that ends an utterance (default 0.5)")
    add("--margin", type=float, default=0.25, metavar="S", help="silence kept at both ends of one (default 0.25)")
    add("--whole_up_to", type=float, default=0.0, metavar="S", help="leave what is no longer as it is (default 0)")
    add("--channel", type=int, metavar="N", help="channel, from 1, of recordings of several whose lists name none")
    add("--nj", type=int, default=2, metavar="N", help="processes on this machine (default 2)")


def run(args: argparse.Namespace) -> None:
    """Cut, write the data directory, and print its size."""
    from kdasr.data.segments import Cutting, write_segments  # loads scipy, which --help need not wait for

    how = Cutting(args.max_seconds, args.min_pause, args.margin, args.whole_up_to)
    write_segments(args.source, args.out, how, Reading(channel=args.channel), args.nj)
