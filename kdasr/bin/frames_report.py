"""`kdasr frames report`: frame accuracies and word error rates of an exp directory as a page."""

from __future__ import annotations

import argparse

from kdasr.bin.page_arguments import add_page_arguments, read_page
from kdasr.frames.report import results
from kdasr.report.pages import write_from_figures, write_page

EXAMPLES = """examples:
  kdasr frames report --exp exp/frames --out exp/frames/RESULTS.md
  # what was measured is kept in a file; then the table is written from the file alone
  kdasr frames report --exp exp/frames --figures figures_frames.jsonl --out RESULTS_FRAMES.md
  kdasr frames report --figures figures_frames.jsonl --out RESULTS_FRAMES.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames report`."""
    add_page_arguments(parser, "networks (kdasr frames train)")


def run(args: argparse.Namespace) -> None:
    """Write the tables, and print them."""
    page = read_page(args, "kdasr frames report")
    if not args.exp:
        print(write_from_figures(page))
        return
    parts, shown, summary = results(args.exp)
    write_page(page, "RESULTS: framewise acoustic models", parts)
    print(f"{shown}\n{args.out}: {summary}")
