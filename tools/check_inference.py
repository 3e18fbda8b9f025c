#!/usr/bin/env python3
"""Models of a recipe in stock ESPnet: whether its own program finds what `kdasr decode` finds.

Examples:
  cd egs/an4; ../../tools/venv/bin/python ../../tools/check_inference.py exp/*_s1 --data dump/fbank/test
  ... --beam 5 --ctc_weight 0.3 --utterances 20        # the first 20 of the set; whole sets take ESPnet long
  cd egs/multi30k; ... exp/NAME/*_s1 --data dump/NAME/text/test --normalize_length --maxlenratio 2 --utterances 200

Each model directory is loaded by espnet2.bin.asr_inference, or mt_inference if it translates, with kdasr's networks
registered (python -m kdasr.networks), and by kdasr; both search with the same options. An utterance is equal if its
1-best text is the same. Exits with 1 if any is not.
"""

# ruff: noqa: E402 (the repository is put on the path before it is imported)
from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kdasr.data.subset import write_listed
from kdasr.errors import forgiving_output
from kdasr.files import read_table, read_yaml
from kdasr.models import find_checkpoint
from kdasr.translation import is_mt


def main() -> int:
    """Run, print the table, and return whether all 1-bests are equal."""
    forgiving_output()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="ESPnet model directories")
    parser.add_argument("--data", type=Path, required=True, help="data directory (feats.scp, or wav.scp)")
    parser.add_argument("--utterances", type=int, default=20, help="of it, the first ones (default 20)")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--ctc_weight", type=float, default=0.3, help="of recognisers (default 0.3)")
    parser.add_argument("--maxlenratio", type=float, default=0.0)
    parser.add_argument("--normalize_length", action="store_true")
    args = parser.parse_args()
    unequal = 0
    print("utterances  equal  empty  model")
    for model in args.models:
        with tempfile.TemporaryDirectory() as scratch:
            data = Path(scratch) / "data"
            write_listed(args.data, data, list(read_table(args.data / "utt2spk"))[: args.utterances])
            options = {"beam": args.beam} | ({} if translates(model) else {"ctc_weight": args.ctc_weight})
            given = {"maxlenratio": args.maxlenratio, "normalize_length": args.normalize_length}
            options |= {name: value for name, value in given.items() if value}
            ours = kdasr_decode(model, data, Path(scratch) / "ours", **options)
            theirs = stock_decode(model, data, Path(scratch) / "theirs", **options)
        equal = sum(ours.get(key) == text for key, text in theirs.items())
        unequal += len(theirs.keys() | ours.keys()) - equal
        print(f"{len(theirs):10}  {equal:5}  {sum(not text for text in theirs.values()):5}  {model}", flush=True)
    return int(unequal > 0)


def kdasr_decode(model: Path, data: Path, out: Path, **options: float) -> dict[str, str]:
    """1-best texts by `kdasr decode`."""
    _run("kdasr.cli", "decode", "--model", model, "--data", data, "--out", out, **options)
    return read_table(out / "text", empty=True)


def translates(model: Path) -> bool:
    """Whether a model directory is of ESPnet's MT task."""
    config = model / "config.yaml"
    return config.is_file() and is_mt(read_yaml(config))


def stock_decode(model: Path, data: Path, out: Path, beam: float, **options: float) -> dict[str, str]:
    """1-best texts by ESPnet's own program; what is not among `options` is as `kdasr decode` has it.

    ESPnet reads whole files alone: a set with segments is none for models that take audio.
    """
    task = "mt" if translates(model) else "asr"
    given: dict[str, object] = {
        "ngpu": 0,
        "batch_size": 1,
        "output_dir": out,
        "data_path_and_name_and_type": f"{data}/{stock_input(model)}",
        "key_file": data / "utt2spk",
        f"{task}_train_config": model / "config.yaml",
        f"{task}_model_file": find_checkpoint(model),
        "beam_size": beam,
        "penalty": 0,
        "maxlenratio": 0,
        "minlenratio": 0,
    }
    _run("kdasr.networks", f"espnet2.bin.{task}_inference", **(given | options))
    return read_table(out / "1best_recog" / "text", empty=True)


def stock_input(model: Path) -> str:
    """File, name and type of what a model reads, as ESPnet wants them told."""
    if translates(model):
        return "text.src,src_text,text"
    config = model / "config.yaml"
    takes_audio = config.is_file() and read_yaml(config).get("input_size", 0) is None
    return "wav.scp,speech,sound" if takes_audio else "feats.scp,speech,kaldi_ark"


def _run(module: str, *words: object, **options: object) -> None:
    """A Python module as a program; what it says is shown only if it fails."""
    line = [sys.executable, "-m", module, *map(str, words)]
    for key, value in options.items():
        line += [f"--{key}"] if value is True and module == "kdasr.cli" else [f"--{key}", str(value)]
    try:
        subprocess.run(line, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(line)}\n{error.stdout}{error.stderr}")


if __name__ == "__main__":
    sys.exit(main())
