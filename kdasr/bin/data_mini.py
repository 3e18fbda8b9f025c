"""`kdasr data mini`: the synthetic demo corpus, a miniature pair of WSJ disc sets (LDC93S6, LDC94S13)."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from kdasr.data.mini import WARNING, make_corpus, parse_settings
from kdasr.data.voices import Settings

EXAMPLES = """examples:
  kdasr data mini --out downloads/mini                       # 2 hours of training audio, about a minute
  kdasr data mini --out /tmp/micro --hours 0.05              # some sixty utterances, to try a recipe
  kdasr data mini --out /tmp/hard --set snr_low=5 snr_high=15
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr data mini`."""
    parser.add_argument("--out", required=True, metavar="DISCS", help="directory to make, with a folder for each disc")
    parser.add_argument("--hours", type=float, default=2.0, help="hours of training audio, about (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all chance, 0 or more (default: 0)")
    parser.add_argument("--nj", type=int, default=2, help="processes; changes no byte of the corpus (default: 2)")
    parser.add_argument(
        "--coding",
        choices=("pcm", "shorten"),
        default="shorten",
        help="of the SPHERE files; the real discs are shortened (default: shorten)",
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="change a setting of difficulty: "
        + " ".join(f"{field.name}={field.default}" for field in dataclasses.fields(Settings)),
    )


def run(args: argparse.Namespace) -> None:
    """Make the corpus, or say that it is finished."""
    settings = parse_settings(args.set)
    print(WARNING)
    print(make_corpus(Path(args.out), args.hours, args.seed, args.nj, args.coding, settings))
