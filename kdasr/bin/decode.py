"""`kdasr decode`: the best hypothesis of each utterance of a set, in ESPnet's output layout."""

from __future__ import annotations

import argparse

from kdasr.bin.search_arguments import add_io_arguments, add_search_arguments, read_arguments
from kdasr.nbest import best

EXAMPLES = """examples:
  # attention and CTC, beam 5
  kdasr decode --model exp/student --data dump/fbank/test --out exp/student/decode_b5/test
  # greedy: no beam, no CTC
  kdasr decode --model exp/student --data dump/fbank/test --out exp/student/decode_greedy/test --beam 1 --ctc_weight 0
  # with a language model over the same tokens
  kdasr decode --model exp/student --lm exp/lm --lm_weight 0.5 --data dump/fbank/test --out exp/student/decode_lm/test
  # two cluster jobs, then their union
  kdasr decode --model exp/student --data dump/fbank/test --out exp/student/decode_b5/test --job 1/2
  kdasr decode --model exp/student --data dump/fbank/test --out exp/student/decode_b5/test --merge
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr decode`."""
    add_io_arguments(parser, "directory to write, as exp/NAME/decode_TAG/SET")
    add_search_arguments(parser, nbest=False)


def run(args: argparse.Namespace) -> None:
    """Decode what is missing, and write the result once all is there."""
    best.run(read_arguments(args))
