"""`kdasr feats`: a Kaldi data directory -> features of a kind, frame counts, durations and CMVN statistics."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from kdasr.bin.audio_arguments import add_audio_arguments, read_audio_arguments
from kdasr.data.feats_settings import KINDS, FeatsSettings

EXAMPLES = """\
examples:
  # filterbanks of one set, two processes; again: says that they are there
  kdasr feats --data data/train_si284 --out dump/fbank/train_si284 --nj 2
  # the same as 16 cluster jobs (J = 1 ... 16), then their tables put together
  kdasr feats --data data/train_si284 --out dump/fbank/train_si284 --job J/16
  kdasr feats --data data/train_si284 --out dump/fbank/train_si284 --merge
  # three speeds, normalised by speaker
  kdasr feats --data data/train_si284 --out dump/fbank/train_sp --speed 0.9,1.0,1.1 --cmvn speaker
  # log spectrograms, as Mun'im et al. 2018 take them
  kdasr feats --data data/train_si284 --out dump/spectrogram/train_si284 --type spectrogram
  # calls of two channels at 8 kHz: the second one, at 16 kHz
  kdasr feats --data data/calls --out dump/fbank/calls --channel 2 --resample
  # clips shorter than a tenth of a second (or than a frame) counted and left out, not refused
  kdasr feats --data data/crawled --out dump/fbank/crawled --min_duration 0.1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr feats`."""
    parser.add_argument(
        "--data", required=True, type=Path, help="Kaldi data directory: wav.scp, utt2spk, [text, segments]"
    )
    parser.add_argument("--out", required=True, type=Path, help="feature directory to write")
    parser.add_argument("--nj", type=int, default=2, help="processes on this machine (default 2)")
    parser.add_argument("--job", metavar="J/N", help="do the J-th of N parts only; --merge follows when all are done")
    parser.add_argument("--merge", action="store_true", help="put the tables of finished --job parts together")
    parser.add_argument(
        "--speed", default="1.0", help="speed factors, as 0.9,1.0,1.1; ids get Kaldi's prefix sp0.9- (default 1.0)"
    )
    parser.add_argument(
        "--cmvn",
        choices=["global", "speaker"],
        default="global",
        help="global: statistics only, features stay as they are; speaker: normalise them by speaker (default global)",
    )
    parser.add_argument(
        "--rate", type=int, default=16000, help="sampling rate of the audio, Hz; another is refused (default 16000)"
    )
    parser.add_argument(
        "--type", choices=KINDS, default="fbank", help="log-mel filterbanks or log spectrograms (default fbank)"
    )
    add_audio_arguments(parser)
    parser.add_argument("--bins", type=int, help="mel bins of fbank (default 80)")
    parser.add_argument(
        "--min_duration",
        type=float,
        metavar="SECONDS",
        help="leave out, and count, what is shorter than this or than a frame (default: what has no frame is refused)",
    )


def run(args: argparse.Namespace) -> None:
    """Make what is missing of a feature directory, and say what is in it."""
    # One thread a process: the matrices are small, and threads would only take other jobs' cores. numpy looks at this
    # once, when it is loaded.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from kdasr.data.feats import make_features

    reading = read_audio_arguments(args)
    words = {name: value for name, value in vars(args).items() if name not in ("resample", "channel")}
    make_features(FeatsSettings(**words, reading=reading))
