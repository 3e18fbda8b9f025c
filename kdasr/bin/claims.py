"""`kdasr claims`: claims of a file beside the figures that were committed: confirmed, not seen or refuted."""

from __future__ import annotations

import argparse

EXAMPLES = """examples:
  # each claim with both systems, their difference and its interval over seeds and utterances together
  kdasr claims docs/claims.yaml -o claims.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr claims`."""
    parser.add_argument("claims", metavar="FILE", help="YAML file of claims, and where their figures are")
    parser.add_argument("-o", "--out", required=True, metavar="FILE", help="Markdown file to write")


def run(args: argparse.Namespace) -> None:
    """Write the table and print the verdicts."""
    from kdasr.report.claims import write_claims
    from kdasr.report.markdown import visible

    for line in write_claims(args.claims, args.out).splitlines():
        print(visible(line))
