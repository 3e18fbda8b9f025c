"""The options that reports of language models, frames and images share."""

from __future__ import annotations

import argparse

from kdasr.report.pages import Page


def add_page_arguments(parser: argparse.ArgumentParser, models: str) -> None:
    """The options that these reports have; `models` says what lies in --exp."""
    add = parser.add_argument
    add("--exp", metavar="DIR", help=f"directory of {models}; without it the page comes from --figures")
    add("--out", required=True, metavar="FILE", help="Markdown file to write")
    add("--figures", metavar="FILE", help="file of figures: what --exp gives is added to it")
    add("--note", action="append", default=[], help="text under the title; may be given several times")
    add("--command", action="append", default=[], help="command line that regenerates the results")


def read_page(args: argparse.Namespace, command: str) -> Page:
    """The page that the options describe; `command` writes it."""
    return Page(command, args.out, args.figures, tuple(args.note), tuple(args.command))
