"""The options of commands that read audio: what is done where a data directory leaves it open."""

from __future__ import annotations

import argparse

from kdasr.data.utterances import Reading


def add_audio_arguments(parser: argparse.ArgumentParser) -> None:
    """`--resample` and `--channel`."""
    parser.add_argument(
        "--resample", action="store_true", help="convert audio of another sampling rate (default: it is refused)"
    )
    parser.add_argument(
        "--channel",
        type=int,
        metavar="N",
        help="channel, from 1, of recordings of several whose lists name none (default: they are refused)",
    )


def read_audio_arguments(args: argparse.Namespace) -> Reading:
    """How audio is to be read; UserError for a channel that cannot be."""
    return Reading(args.resample, args.channel)
