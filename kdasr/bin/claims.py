"""`kdasr claims`: claims of a file beside the figures that were committed: confirmed, not seen or refuted."""

from __future__ import annotations

import argparse

from kdasr.errors import UserError

EXAMPLES = """examples:
  # each claim with both systems, their difference and its interval over seeds and utterances together
  kdasr claims docs/claims.yaml -o claims.md
  # those of them that have a panel as a picture: size and score of teacher, student alone and student taught
  kdasr claims docs/claims.yaml --picture docs/claims.svg
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr claims`."""
    parser.add_argument("claims", metavar="FILE", help="YAML file of claims, and where their figures are")
    parser.add_argument("-o", "--out", metavar="FILE", help="Markdown file to write")
    parser.add_argument("--picture", metavar="FILE", help="SVG file to write, of the claims with `front: {panel: ...}`")


def run(args: argparse.Namespace) -> None:
    """Write the table, the picture or both, and print the verdicts."""
    from kdasr.report.claim_picture import write_picture
    from kdasr.report.claims import write_claims
    from kdasr.report.markdown import visible

    if not (args.out or args.picture):
        raise UserError("nothing to write; name a file: -o FILE or --picture FILE")
    if args.picture:
        write_picture(args.claims, args.picture)
    if args.out:
        for line in write_claims(args.claims, args.out).splitlines():
            print(visible(line))
