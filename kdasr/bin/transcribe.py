"""`kdasr transcribe`: audio -> text, by an exported student (or an ESPnet model)."""

from __future__ import annotations

import argparse

from kdasr.bin.bundle_arguments import add_bundle_arguments, add_search_arguments
from kdasr.runtime.settings import FORMATS, Transcribing

EXAMPLES = """examples:
  # a line for each file: its path, a tab, its text
  kdasr transcribe --model student.zip a.wav b.flac
  # all audio under a folder, as JSON with times of words, or as subtitles beside each other in a directory
  kdasr transcribe --model student.zip --format json recordings > texts.jsonl
  kdasr transcribe --model student.zip --format srt --out subtitles recordings
  # greedy, the int8 network; an ESPnet model directory, which needs torch
  kdasr transcribe --model student.zip --precision int8 --beam 1 --ctc_weight 0 a.wav
  kdasr transcribe --model exp/student a.wav
  # a set: the same hypotheses as kdasr decode, with scores by sclite's rules
  kdasr transcribe --model student.zip --data dump/fbank/test > hyp
  kdasr score --ref dump/fbank/test/text --hyp hyp --utt2spk dump/fbank/test/utt2spk --dir score_wer
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr transcribe`."""
    add = parser.add_argument
    add("audio", nargs="*", metavar="FILE", help="audio files, or folders of them")
    add_bundle_arguments(parser)
    add("--data", metavar="DIR", help="Kaldi data directory instead of files: its features, or else its audio")
    add("--format", choices=FORMATS, default="text", help="what is written of each (default text)")
    add(
        "--out",
        metavar="DIR",
        help="directory for a file of each instead of one stream (needed by srt and vtt of several)",
    )
    add("--longest", type=float, default=20.0, metavar="S", help="seconds; longer files are cut at pauses (default 20)")
    group = add_search_arguments(parser, "hypotheses", "encoder frames")
    group.add_argument("--ctc_weight", type=float, help="weight of CTC prefix scores, 0 to 1")


def run(args: argparse.Namespace) -> None:
    """Transcribe, and write."""
    from kdasr.runtime.transcribe import transcribe  # numpy, which --help need not wait for

    given = {name: value for name, value in vars(args).items() if name != "audio"}
    transcribe(Transcribing(audio=tuple(args.audio), **given))
