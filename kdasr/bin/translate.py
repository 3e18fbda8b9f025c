"""`kdasr translate`: text -> its translation, by an exported student (or an ESPnet model)."""

from __future__ import annotations

import argparse

from kdasr.bin.bundle_arguments import add_bundle_arguments, add_search_arguments
from kdasr.runtime.settings import TEXT_FORMATS, Translating

EXAMPLES = """examples:
  # a sentence a line in, its translation in the same line out
  kdasr translate --model student.zip sentences.txt > translations.txt
  zcat captions.en.gz | kdasr translate --model student.zip -
  # the 5 best with their scores, as JSON; greedy, by the int8 network; an ESPnet model directory, which needs torch
  kdasr translate --model student.zip --format json --nbest 5 sentences.txt
  kdasr translate --model student.zip --precision int8 --beam 1 sentences.txt
  kdasr translate --model exp/student sentences.txt
  # a set: the same hypotheses as kdasr decode, a line each of utterance, tab, text
  kdasr translate --model student.zip --data data/test
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr translate`."""
    add = parser.add_argument
    add("texts", nargs="*", metavar="FILE", help="text files, a sentence a line, UTF-8; - for standard input")
    add_bundle_arguments(parser)
    add("--data", metavar="DIR", help="data directory instead of files: its text.src (kdasr data parallel)")
    add("--format", choices=TEXT_FORMATS, default="text", help="what is written of each (default text)")
    add_search_arguments(parser, "translations", "source tokens")


def run(args: argparse.Namespace) -> None:
    """Translate, and write."""
    from kdasr.runtime.translate import translate  # numpy, which --help need not wait for

    given = {name: value for name, value in vars(args).items() if name != "texts"}
    translate(Translating(texts=tuple(args.texts), **given))
