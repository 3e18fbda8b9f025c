"""`kdasr translate`: text -> its translation, by an exported student (or an ESPnet model)."""

from __future__ import annotations

import argparse

from kdasr.runtime.settings import PRECISIONS, TEXT_FORMATS, Translating

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
    add(
        "--model",
        required=True,
        metavar="BUNDLE",
        help="directory or zip of kdasr export, or an ESPnet model directory",
    )
    add("--data", metavar="DIR", help="data directory instead of files: its text.src (kdasr data parallel)")
    add("--format", choices=TEXT_FORMATS, default="text", help="what is written of each (default text)")
    add("--precision", choices=PRECISIONS, help="network of a bundle that has both (default fp32)")
    add("--threads", type=int, default=1, help="of onnxruntime (default 1)")
    group = parser.add_argument_group("search, as for kdasr decode (default: as the bundle says)")
    group.add_argument("--beam", type=int, help="hypotheses kept a step")
    group.add_argument("--nbest", type=int, help="translations of each, in JSON")
    group.add_argument("--penalty", type=float, help="added for each token")
    group.add_argument(
        "--maxlenratio", type=float, help="longest output: 0 = source tokens; R = R x source tokens; -N = N tokens"
    )
    group.add_argument("--minlenratio", type=float, help="shortest output, likewise")
    group.add_argument(
        "--normalize_length", action="store_true", default=None, help="order hypotheses by score a token"
    )


def run(args: argparse.Namespace) -> None:
    """Translate, and write."""
    from kdasr.runtime.translate import translate  # numpy, which --help need not wait for

    given = {name: value for name, value in vars(args).items() if name != "texts"}
    translate(Translating(texts=tuple(args.texts), **given))
