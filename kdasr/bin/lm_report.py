"""`kdasr lm report`: perplexities and rescoring error rates of an exp directory as a page."""

from __future__ import annotations

import argparse

from kdasr.bin.page_arguments import add_page_arguments, read_page
from kdasr.lm.report import results
from kdasr.report.pages import write_from_figures, write_page

EXAMPLES = """examples:
  kdasr lm report --exp exp/lm --out exp/lm/RESULTS.md
  # what was measured is kept in a file; then the table is written from the file alone
  kdasr lm report --exp exp/lm --figures figures_lm.jsonl --out RESULTS_LM.md
  kdasr lm report --figures figures_lm.jsonl --out RESULTS_LM.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr lm report`."""
    add_page_arguments(parser, "language models, with ppl/TEXT.json in them")


def run(args: argparse.Namespace) -> None:
    """Write the tables, and print the main one."""
    page = read_page(args, "kdasr lm report")
    if not args.exp:
        print(write_from_figures(page))
        return
    parts, shown = results(args.exp)
    write_page(page, "RESULTS", parts)
    print(shown)
