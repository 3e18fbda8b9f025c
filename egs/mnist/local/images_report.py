#!/usr/bin/env python3
"""Test errors as tables, and against T as a picture."""

from __future__ import annotations

import argparse
import sys

from kdasr.bin.page_arguments import add_page_arguments, read_page
from kdasr.cli import run_program
from kdasr.errors import UserError
from kdasr.report.pages import write_from_figures, write_page

EXAMPLES = """examples:
  local/images_report.py --data data/images.npz --exp exp --out exp/RESULTS.md --picture exp/temperatures.svg
  # what was measured is kept in a file; then the table is written from the file alone
  local/images_report.py --data data/images.npz --exp exp --figures figures.jsonl --out RESULTS.md
  local/images_report.py --figures figures.jsonl --out RESULTS.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `local/images_report.py`."""
    add_page_arguments(parser, "networks (local/images_train.py)")
    add = parser.add_argument
    add("--data", metavar="FILE", help="what local/images_data.py wrote; with --exp")
    add("--picture", metavar="FILE", help="errors against T, an SVG beside --out")


def run(args: argparse.Namespace) -> None:
    """Write the tables and print them."""
    page = read_page(args, "local/images_report.py")
    if args.picture and not args.exp:
        raise UserError("--picture: is drawn from networks; name their directory (--exp)")
    if not args.exp:
        print(write_from_figures(page))
        return
    if not args.data:
        raise UserError("--data: expected what local/images_data.py wrote, which --exp was trained on")
    import image_tables

    title, parts, shown, summary = image_tables.results(args.exp, args.data, args.picture)
    write_page(page, title, parts)
    print(f"{shown}\n{args.out}: {summary}")


if __name__ == "__main__":
    sys.exit(run_program(sys.modules[__name__]))
