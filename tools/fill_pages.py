#!/usr/bin/env python3
"""Write the tables of pages anew: each stands between two marks, the first of which says where it comes from.

  tools/fill_pages.py README.md docs/findings.md docs/papers.md    # what changed is said
  tools/fill_pages.py --check README.md docs/*.md                  # writes nothing; exit status 1 if a table is old

A mark is a comment of one line, `fill` and a mapping; the table ends at `<!-- end of fill -->`:

  <!-- fill {claims: docs/claims.yaml, front: true} -->            claims with `front`: the front page's table
  <!-- fill {claims: claims.yaml, names: [demo, an4]} -->          the claims of these names
  <!-- fill {table: ../egs/mnist/RESULTS.md, under: Specialists, rows: [teacher, "student, 2x800|teacher|20"],
             columns: [network, paper, test errors]} -->           rows of a table that another command has written

Files are named from the page. A table is the first one under the heading `under`, or of the file; a row is named by its
beginning, without the first bar; rows and columns stand in the order in which they are named, all where none is.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from kdasr import shape
from kdasr.errors import UserError, script_status
from kdasr.files import atomic_write
from kdasr.report.claim_pages import MOST, front_table, short_table
from kdasr.report.claims import judged
from kdasr.report.table import markdown
from kdasr.shape import FLAG, TEXT

BLOCK = re.compile(r"(<!-- fill (\{.*?\}) -->\n)(.*?)(<!-- end of fill -->)", re.DOTALL)
SOURCE = {
    **{"claims": TEXT, "names": [TEXT], "front": FLAG},
    **{"table": TEXT, "under": TEXT, "rows": [TEXT], "columns": [TEXT]},
}


def filled(page: Path, text: str) -> str:
    """The text of a page with its tables as their sources have them now.

    Raises:
        UserError: a mark or its source is not as the top of this file says; the page and the mark are named.
    """
    if text.count("<!-- fill ") != len(BLOCK.findall(text)):
        raise UserError(f"{page}: a mark `<!-- fill {{...}} -->` without its `<!-- end of fill -->`; write both")
    return BLOCK.sub(lambda found: f"{found[1]}{table(page, found[2])}\n{found[4]}", text)


def table(page: Path, mark: str) -> str:
    """The table that a mark asks for, as Markdown."""
    where = f"{page}: {' '.join(mark.split())}"
    try:
        told = yaml.safe_load(mark)
    except yaml.YAMLError:
        raise UserError(f"{where}: is no YAML; see the top of tools/fill_pages.py") from None
    shape.check(told, SOURCE, where, "see the top of tools/fill_pages.py")
    if unknown := set(told) - set(SOURCE):
        raise UserError(f"{where}: has no key {unknown.pop()!r}; expected {', '.join(SOURCE)}")
    if "claims" in told:
        return _claims(page, told, where)
    if "table" not in told:
        raise UserError(f"{where}: names no source; say `claims:` or `table:`")
    return _rows(page.parent / told["table"], told, where)


def _claims(page: Path, told: dict[str, Any], where: str) -> str:
    _, found = _judged(page.parent / told["claims"])
    if told.get("front"):
        rows = front_table(found)
        if len(rows) - 1 > MOST:
            raise UserError(f"{where}: {len(rows) - 1} claims have `front`; a visitor reads {MOST}")
        return markdown(rows)
    if "names" not in told:
        raise UserError(f"{where}: say `front: true`, or the claims' `names:`")
    try:
        return markdown(short_table(found, told["names"]))
    except KeyError as error:
        raise UserError(f"{where}: no claim has the name {error}; give it one in {told['claims']}") from None


_judged = functools.cache(judged)  # a page asks for the same file again and again


def _rows(source: Path, told: dict[str, Any], where: str) -> str:
    """Rows and columns of a table as they stand in a file."""
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise UserError(f"{where}: {source} cannot be read; name it from {source.parent}") from None
    if under := told.get("under"):
        heads = [place for place, line in enumerate(lines) if line.startswith("#") and line.lstrip("# ") == under]
        if not heads:
            raise UserError(f"{where}: {source} has no heading {under!r}")
        lines = lines[heads[0] :]
    first = next((place for place, line in enumerate(lines) if line.startswith("|")), len(lines))
    last = next((place for place in range(first, len(lines)) if not lines[place].startswith("|")), len(lines))
    head, rule, *body = lines[first:last] or ["", ""]
    names = _cells(head)
    shown = []
    for name in told.get("rows", [line[1:] for line in body]):
        of_it = [line for line in body if line[1:].startswith(name)]
        if len(of_it) != 1:
            raise UserError(f"{where}: {len(of_it)} rows of {source} begin with {name!r}; name one, as it stands there")
        shown += of_it
    places = []
    for name in told.get("columns", names):
        if names.count(name) != 1:
            raise UserError(f"{where}: {source} has no column {name!r}; it has {', '.join(names)}")
        places.append(names.index(name))
    rows = [[_cells(line)[place] for place in places] for line in (head, rule, *shown)]
    return "\n".join("|" + "|".join(row) + "|" for row in rows)


def _cells(row: str) -> list[str]:
    """The cells of a row; a bar that is escaped is part of one."""
    return re.split(r"(?<!\\)\|", row.strip()[1:-1])


def main() -> None:
    """Fill the pages that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE", help="Markdown file")
    parser.add_argument("--check", action="store_true", help="only say which are old")
    args = parser.parse_args()
    old = []
    for page in args.pages:
        text = page.read_text(encoding="utf-8")
        new = filled(page, text)
        if new == text:
            continue
        old.append(page)
        if not args.check:
            with atomic_write(page) as stream:
                stream.write(new)
        print(f"{page}: {'has old tables' if args.check else 'written'}")
    if args.check and old:
        raise UserError("run tools/fill_pages.py with these pages, and look at what it changed")


if __name__ == "__main__":
    sys.exit(script_status(main, "fill_pages.py"))
