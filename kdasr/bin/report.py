"""`kdasr report`: the systems of an `exp` directory as a table, as CSV and as a page: how small, how fast, how good."""

from __future__ import annotations

import argparse

EXAMPLES = """examples:
  # every model of exp, with its decoded and scored sets: a table, all details, and one page to look at in a browser
  kdasr report exp -o exp/RESULTS.md -o exp/RESULTS.csv -o exp/report.html
  # with what was said, to listen to
  kdasr report exp -o exp/report.html --audio data/test_dev93 data/test_eval92
  # with a caution under the title, and the command that makes it all
  kdasr report exp -o exp/RESULTS.md --note 'synthetic demo corpus: says nothing about WSJ' --command './run.sh'
  # with what was measured elsewhere or earlier, which is kept in a file; then from the file alone
  kdasr report exp --figures figures.jsonl -o RESULTS.md -o RESULTS.csv
  kdasr report --figures figures.jsonl -o RESULTS.md -o RESULTS.csv
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr report`."""
    parser.add_argument("exp", nargs="?", metavar="EXP", help="directory of model directories, each with a kdasr.json")
    parser.add_argument(
        "--figures",
        metavar="FILE",
        help="file of what systems measured: those of EXP are added to it, and those that only it has are shown too",
    )
    parser.add_argument(
        "-o", "--out", action="append", required=True, metavar="FILE",
        help="file to write: a table (.md), all details (.csv) or a page (.html); may be given several times",
    )  # fmt: skip
    parser.add_argument("--title", help="heading of the file (default RESULTS, or that of --figures)")
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
    from kdasr.report.write import Report, write_report

    write_report(Report(**vars(args)))
