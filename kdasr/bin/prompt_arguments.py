"""The options of commands that use S2T models: what these are asked for."""

from __future__ import annotations

import argparse

from kdasr.s2t import TASK, Prompt


def add_prompt_arguments(parser: argparse.ArgumentParser) -> None:
    """`--lang` and `--task`."""
    adopted = "what kdasr adopt was told"
    parser.add_argument(
        "--lang",
        default="",
        metavar="TOKEN",
        help=f"language of the audio, for S2T models as OWSM alone: eng, or <eng> (default {adopted})",
    )
    parser.add_argument(
        "--task",
        default="",
        metavar="TOKEN",
        help=f"what an S2T model is to do: asr, or another task of it, as st_deu (default {adopted}, else {TASK})",
    )


def read_prompt(args: argparse.Namespace) -> Prompt:
    """What S2T models are asked for."""
    return Prompt(args.lang, args.task)
