"""`kdasr report`: the systems of an `exp` directory as RESULTS.md and as a page: how small, how fast, how good."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.report import figures
from kdasr.report.collect import in_order, systems
from kdasr.report.compare import against_references, summary_table
from kdasr.report.provenance import environment, recorded_commands
from kdasr.report.table import main_table, plain, render

EXAMPLES = """examples:
  # every model of exp, with its decoded and scored sets: tables, and one page to look at in a browser
  kdasr report exp -o RESULTS.md -o report.html
  # with what was said, to listen to
  kdasr report exp -o report.html --audio data/test_dev93 data/test_eval92
  # with a caution under the title, and the command that makes it all
  kdasr report exp -o RESULTS.md --note 'embedded corpus: says nothing about WSJ' --command './run.sh'
  # with what was measured elsewhere or earlier, which is kept in a file; then from the file alone
  kdasr report exp --figures figures.jsonl -o RESULTS.md
  kdasr report --figures figures.jsonl -o RESULTS.md
"""
SUFFIXES = (".md", ".html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr report`."""
    parser.add_argument("exp", nargs="?", metavar="EXP", help="directory of model directories, each with a kdasr.json")
    parser.add_argument(
        "--figures",
        metavar="FILE",
        help="file of what systems measured: those of EXP are put into it, and those that only it has are shown too",
    )
    parser.add_argument(
        "-o", "--out", action="append", required=True, metavar="FILE",
        help="file to write, tables (.md) or a page (.html); may be given several times",
    )  # fmt: skip
    parser.add_argument("--title", default="RESULTS", help="heading of the file (default RESULTS)")
    parser.add_argument("--note", action="append", default=[], help="text under the title; may be given several times")
    parser.add_argument("--command", action="append", default=[], help="command line that regenerates the results")
    parser.add_argument(
        "--audio", nargs="+", default=[], metavar="DIR",
        help="data directories (or wav.scp files) whose audio the page plays; the utterances that changed most first",
    )  # fmt: skip
    parser.add_argument(
        "--audio_mb",
        type=float,
        default=2.0,
        metavar="MB",
        help="room for audio in the page (default 2)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the files and print the first table."""
    if not args.exp and not args.figures:
        raise UserError("nothing to report; name a directory of models (EXP) or a file of figures (--figures)")
    for out in args.out:
        if Path(out).suffix not in SUFFIXES:
            raise UserError(f"--out {out}: expected a name that ends in {' or '.join(SUFFIXES)}")
    if args.audio and not any(Path(out).suffix == ".html" for out in args.out):
        raise UserError("--audio: only a page plays it; add --out report.html")
    every = systems(args.exp) if args.exp else []
    if args.figures:
        every = in_order(figures.merged(every, args.figures))
        if args.exp:
            figures.write(every, args.figures)
    found = against_references(every)
    # A recipe's command makes everything; without one, each score's own is named.
    commands = [*(args.command or recorded_commands(every)), again(args)]
    here = environment()
    for out in args.out:
        if Path(out).suffix == ".md":
            data = render(every, found, args.title, args.note, here, commands).encode("utf-8", "replace")
        else:
            from kdasr.report import page

            about = page.About(args.title, args.note, here, commands, args.exp, args.audio, args.audio_mb)
            data = page.render(every, found, page.read_texts(every), about)
        with atomic_write(out, "wb") as stream:
            stream.write(data)
    summary = summary_table(every, found)
    print(plain(summary if len(summary) > 1 else main_table(every)))
    for out in args.out:
        print(f"{out}: written", file=sys.stderr)


def again(args: argparse.Namespace) -> str:
    """The command line that writes these files from what is there."""
    words = ["kdasr", "report", *([args.exp] if args.exp else [])]
    words += ["--figures", args.figures] if args.figures else []
    words += ["--audio", *args.audio] if args.audio else []
    for out in args.out:
        words += ["-o", out]
    return shlex.join(words)
