"""The options that `kdasr transcribe` and `kdasr translate` share."""

from __future__ import annotations

import argparse

from kdasr.runtime.settings import PRECISIONS


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """The model, and how it is run."""
    add = parser.add_argument
    add(
        "--model",
        required=True,
        metavar="BUNDLE",
        help="directory or zip of kdasr export, or an ESPnet model directory",
    )
    add("--precision", choices=PRECISIONS, help="network of a bundle that has both (default fp32)")
    add("--threads", type=int, default=1, help="of onnxruntime (default 1)")


def add_search_arguments(parser: argparse.ArgumentParser, found: str, read: str) -> argparse._ArgumentGroup:
    """The search, where it is another than the bundle's.

    Args:
        parser: of the command.
        found: what the N-best are called.
        read: what limits their length: encoder frames, or source tokens.

    Returns:
        The group of these options, for more of them.
    """
    group = parser.add_argument_group("search, as for kdasr decode (default: as the bundle says)")
    group.add_argument("--beam", type=int, help="hypotheses kept a step")
    group.add_argument("--nbest", type=int, help=f"{found} of each, in JSON")
    group.add_argument("--penalty", type=float, help="added for each token")
    group.add_argument("--maxlenratio", type=float, help=f"longest output: 0 = {read}; R = R x {read}; -N = N tokens")
    group.add_argument("--minlenratio", type=float, help="shortest output, likewise")
    group.add_argument(
        "--normalize_length", action="store_true", default=None, help="order hypotheses by score a token"
    )
    return group
