"""`kdasr export`: a trained model as a bundle, one file that runs without torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from kdasr.errors import UserError
from kdasr.export.settings import FORMATS, Exporting

EXAMPLES = """examples:
  kdasr export --model exp/student --out student.zip
  # a second network of a quarter of the size; what both do on a set stands on the card, beside the checkpoint
  kdasr export --model exp/student --out student.zip --int8 --data dump/fbank/test
  # for stock sherpa-onnx (C++, Android, iOS, ...): the lines that run it are in the README.md written beside the files
  kdasr export --model exp/student --out student_sherpa --format sherpa-onnx
  # then, on any machine, beside a clone of kdasr's repository: pip install './kdasr[runtime]'
  kdasr transcribe --model student.zip a.wav
  # of a model that translates
  kdasr translate --model student.zip sentences.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr export`."""
    add = parser.add_argument
    add("--model", required=True, type=Path, metavar="DIR", help="directory of a trained ESPnet2 model")
    add("--out", required=True, type=Path, metavar="BUNDLE", help="directory to write, or a zip if its name ends so")
    add("--format", choices=FORMATS, default="bundle", help="for kdasr itself (default), or for sherpa-onnx")
    add("--model_file", metavar="NAME", help="checkpoint in --model (default valid.acc.ave.pth)")
    add("--int8", action="store_true", help="write a network of int8 weights, too")
    add("--zip", action="store_true", help="write a zip beside the directory, too")
    add("--example", type=Path, metavar="DIR", help="data directory whose first recording the last line transcribes")
    add("--licence", default="", metavar="TEXT", help="under which the model may be used, for the card")
    group = parser.add_argument_group("search that the bundle does where nothing else is asked for")
    group.add_argument("--beam", type=int, default=5, help="hypotheses kept a step (default 5)")
    group.add_argument("--ctc_weight", type=float, help="weight of CTC prefix scores (default 0.3; what the model has)")
    group.add_argument("--penalty", type=float, default=0.0, help="added for each token (default 0)")
    group.add_argument("--maxlenratio", type=float, default=0.0, help="longest output, as for kdasr decode (default 0)")
    group.add_argument("--minlenratio", type=float, default=0.0, help="shortest output, likewise (default 0)")
    group.add_argument("--normalize_length", action="store_true", help="order hypotheses by score a token")
    group = parser.add_argument_group("measuring: size, speed and error rates (of a translator BLEU) on the card")
    group.add_argument("--data", type=Path, metavar="DIR", help="a set with references, features or audio or text.src")
    group.add_argument("--nlsyms", type=Path, help="symbols removed before scoring, as for kdasr score")
    group.add_argument("--wsj_filter", action="store_true", help="as for kdasr score")


def run(args: argparse.Namespace) -> None:
    """Export, and print what was measured."""
    given = Exporting(**vars(args))
    try:
        import onnx  # noqa: F401 (here: told before seconds are spent on torch)
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed, which exports need; pip install 'kdasr[export]'") from None
    if given.format == "sherpa-onnx":
        from kdasr.export.sherpa import export  # torch and ESPnet
    else:
        from kdasr.export.write import export

    export(given)
