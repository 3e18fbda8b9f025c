#!/usr/bin/env python3
"""How right labels of untranscribed audio are, and what normalisation and filters did: a table of several targets.

Each of them was measured against true transcripts (kdasr targets --against); what is read is its targets.json. Students
need no transcripts of this audio; only the table does.

Examples:
  tools/labels_table.py "as Whisper writes=exp/whisper/targets_raw" "normalised=exp/whisper/targets_all" --out LABELS.md
"""

# ruff: noqa: E402 (kdasr is found from here)
from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from kdasr.errors import UserError
from kdasr.files import atomic_write, read_json

HEAD = (
    "labels",
    "utterances kept",
    "WER of the best hypotheses",
    "of the best in each list",
    "of what students learn",
    "hypotheses left out",
)
FOOT = (
    "WER in percent against the true transcripts, whatever the case of letters. The first two are of all utterances, "
    "whatever filters leave; the third is of what they leave, each hypothesis by its weight."
)


def main() -> None:
    """Write the table, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="+", metavar="NAME=DIR", help="what the row is called, and its targets")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="markdown to write")
    parser.add_argument("--title", default="Labels", help="heading (default Labels)")
    parser.add_argument("--note", action="append", default=[], help="text under it; may be given several times")
    parser.add_argument("--command", default="", help="what makes it (default: this command)")
    args = parser.parse_args()
    try:
        rows = [row(*word.partition("=")[::2]) for word in args.targets]
    except UserError as error:
        sys.exit(f"labels_table.py: {error}")
    command = args.command or shlex.join(["tools/labels_table.py", *sys.argv[1:]])
    text = render(args.title, args.note, rows, command)
    with atomic_write(args.out) as file:
        file.write(text)
    print(text, end="")


def row(name: str, directory: str) -> tuple[str, ...]:
    """The cells of one row.

    Args:
        name: what it is called.
        directory: of targets.

    Raises:
        UserError: no such targets, or they were not measured.
    """
    if not directory:
        raise UserError(f"{name}: expected NAME=DIR")
    found = read_json(Path(directory) / "targets.json").get("summary", {})
    measured = found.get("measured")
    if not isinstance(measured, dict) or not measured.get("utterances"):
        raise UserError(f"{directory}: was not measured; make it anew with kdasr targets --against TEXT")
    kept, every = measured["with_targets"], measured["utterances"]
    return (
        name,
        f"{kept} of {every} ({100 * kept / every:.1f} %)",
        f"{measured['wer_1best']:.2f}",
        f"{measured['wer_oracle']:.2f}",
        f"{measured['wer_targets']:.2f}",
        left_out(found.get("dropped", {})),
    )


def left_out(dropped: Mapping[str, int]) -> str:
    """Reasons with their counts."""
    return "; ".join(f"{count} {reason}" for reason, count in sorted(dropped.items(), key=lambda one: -one[1])) or "-"


def render(title: str, notes: Sequence[str], rows: Sequence[Sequence[str]], command: str) -> str:
    """The page."""
    table = [HEAD, ("---", *["---:"] * (len(HEAD) - 2), "---"), *rows]
    lines = [f"# {title}", "", *(line for note in notes for line in (note, ""))]
    lines += [f"|{'|'.join(cells)}|" for cells in table]
    lines += ["", FOOT, ""]
    return "\n".join([*lines, "```", command, "```", ""])


if __name__ == "__main__":
    main()
