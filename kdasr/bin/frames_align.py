"""`kdasr frames align`: where in the audio each token of a transcript is, by a CTC model."""

from __future__ import annotations

import argparse

from kdasr.bin.audio_arguments import add_audio_arguments, read_audio_arguments

EXAMPLES = """examples:
  kdasr frames align --model exp/teacher --data dump/fbank/train --out exp/frames/ali/train
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames align`."""
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="directory of a trained ESPnet2 model with a CTC layer")
    add("--model_file", metavar="NAME", help="checkpoint in it (default valid.acc.ave.pth)")
    add("--data", required=True, metavar="DIR", help="the model's own features (kdasr feats), or audio, and text")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add_audio_arguments(parser)
    add("--batch_frames", type=int, default=40000, help="padded input frames (10 ms) in a batch (default 40000)")


def run(args: argparse.Namespace) -> None:
    """Align, unless it is done."""
    from kdasr.frames import align

    align.align_set(args.model, args.data, args.out, args.model_file, args.batch_frames, read_audio_arguments(args))
