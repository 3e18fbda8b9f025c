"""`kdasr tokens`: transcripts, or a finished model -> the tokens of a model: characters, sentencepiece or words."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """\
examples:
  # characters, with every <...> word of the text as one token
  kdasr tokens --text dump/fbank/train_si284/text --out dump/tokens/char
  # 100 sentencepiece units; which tokens of the test sets are unknown to them
  kdasr tokens --text dump/fbank/train_si284/text --out dump/tokens/bpe100 --type bpe --vocab 100 \\
      --check dump/fbank/test_dev93/text dump/fbank/test_eval92/text
  # the 10,000 most frequent words of the source of parallel text; a list of both sides has both texts
  kdasr tokens --text data/train/text.src --out dump/tokens/en --type word --vocab 10000
  # those of a finished ESPnet model, for students that learn from its hypotheses
  kdasr tokens --model /models/asr_wsj --out dump/tokens/of_asr_wsj
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr tokens`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--text", nargs="+", type=Path, help="transcripts of the training set, Kaldi's text form")
    source.add_argument("--model", type=Path, metavar="DIR", help="take the tokens of this ESPnet model instead")
    parser.add_argument("--source", action="store_true", help="of --model, which translates: the tokens that it reads")
    parser.add_argument("--out", required=True, type=Path, help="token directory to write")
    parser.add_argument(
        "--type", choices=["char", "unigram", "bpe", "word"], default="char", help="kind of tokens (default char)"
    )
    parser.add_argument(
        "--vocab",
        type=int,
        help="size of the list: unigram and bpe (default 100), the most frequent words (default all)",
    )
    parser.add_argument(
        "--nlsyms", type=Path, help="further words that are one token, one a line (every <...> word is one anyway)"
    )
    parser.add_argument("--check", nargs="+", type=Path, default=[], help="texts to look for unknown tokens in")


def run(args: argparse.Namespace) -> None:
    """Make a token directory, unless it is there, and check texts against it."""
    from kdasr.data.make_tokens import TokenSettings, make_tokens

    make_tokens(TokenSettings(**vars(args)))
