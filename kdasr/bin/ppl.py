"""`kdasr ppl`: how well a model's attention decoder predicts references."""

from __future__ import annotations

import argparse

from kdasr.bin.audio_arguments import add_audio_arguments, read_audio_arguments
from kdasr.bin.prompt_arguments import add_prompt_arguments, read_prompt

EXAMPLES = """examples:
  # where `kdasr report` looks for it
  kdasr ppl --model exp/student --data dump/fbank/test --out exp/student/ppl/test.json
  # on a GPU
  kdasr ppl --model exp/teacher --data dump/fbank/test --out exp/teacher/ppl/test.json --ngpu 1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr ppl`."""
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="directory of a trained ESPnet2 model")
    add("--model_file", metavar="NAME", help="checkpoint in it (default valid.acc.ave.pth)")
    add("--data", required=True, metavar="DIR", help="data directory with feats.scp (or wav.scp) and text")
    add("--out", required=True, metavar="FILE", help="JSON file to write, as exp/NAME/ppl/SET.json")
    add("--batch_frames", type=int, default=40000, help="padded input frames (10 ms) in a batch (default 40000)")
    add_audio_arguments(parser)
    add_prompt_arguments(parser)
    add("--ngpu", type=int, default=0, help="0: CPU; 1: a GPU (default 0)")


def run(args: argparse.Namespace) -> None:
    """Compute what is not there yet, and write it."""
    from kdasr.search.perplexity import write_perplexity

    how = (args.model_file, args.batch_frames, args.ngpu, read_audio_arguments(args), read_prompt(args))
    write_perplexity(args.model, args.data, args.out, *how)
