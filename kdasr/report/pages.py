"""Tables around text as a Markdown file, and as a line of a file of figures: language models, frames, images.

A report of these measures models that are at hand (--exp), and with --figures puts what the page holds into a file: a
JSON object a line, `{"page": {"title", "notes", "parts", "commands", "environment"}}`, where a part is Markdown, or a
table (a list of rows of texts). Lines are only added, and the last one is the page: without --exp it is written from
there.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr import shape
from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.report import jsonl
from kdasr.report.compare import Table
from kdasr.report.markdown import block, inert, paragraph
from kdasr.report.provenance import environment
from kdasr.report.table import markdown
from kdasr.shape import TEXT, Must

PAGE = {"page": Must({"title": Must(TEXT)} | dict.fromkeys(("notes", "commands", "environment"), Must([TEXT])))}


@dataclass(frozen=True)
class Page:
    """Where a page goes, and what stands around its tables."""

    command: str  # that writes it, as `kdasr lm report`
    out: str  # Markdown file
    figures: str | None = None  # file of figures
    notes: tuple[str, ...] = ()  # texts under the title
    commands: tuple[str, ...] = ()  # command lines that regenerate the results


def write_from_figures(asked: Page) -> str:
    """Write the page that the file of figures ends with, and return its tables.

    Raises:
        UserError: there is no file of figures, it has no page, or it is damaged.
    """
    if not asked.figures:
        raise UserError("nothing to report; name a directory of models (--exp) or a file of figures (--figures)")
    page = last(asked.figures)
    if page is None:
        raise UserError(f"{asked.figures}: holds no page; add one with --exp")
    _write(asked, page)
    return "\n\n".join(markdown(part) for part in page["parts"] if not isinstance(part, str))


def write_page(asked: Page, title: str, parts: list[str | Table]) -> None:
    """Write the page in Markdown: title, notes, parts, the commands that make it again, and the environment.

    With figures the page is put there first, unless it is the last one already but for its environment.
    """
    page = {
        "title": title,
        "notes": list(asked.notes),
        "parts": parts,
        "commands": list(asked.commands),
        "environment": environment(),
    }
    if asked.figures:
        there = last(asked.figures) if Path(asked.figures).exists() else None
        if there is not None and there | {"environment": None} == page | {"environment": None}:
            page = there
        else:
            jsonl.append(asked.figures, [{"page": page}])
    _write(asked, page)


def last(path: str | Path) -> dict[str, Any] | None:
    """The last page of a file of figures; None if it has none. UserError if a line is no page; the line is named."""
    page = None
    for where, value in jsonl.read(path):
        shape.check(value, PAGE, f"{where}: is no line of figures", jsonl.REMEDY)
        parts = value["page"].get("parts")
        if not isinstance(parts, list) or not all(isinstance(part, str) or _is_table(part) for part in parts):
            raise jsonl.wrong(where)
        page = value["page"]
    return page


def _is_table(part: Any) -> bool:
    """Whether it is rows of texts, all of one length."""
    rows = isinstance(part, list) and part and all(isinstance(row, list) and row for row in part)
    return rows and all(len(row) == len(part[0]) and all(isinstance(cell, str) for cell in row) for row in part)


def _write(asked: Page, page: dict[str, Any]) -> None:
    again = (
        [shlex.join([*asked.command.split(), "--figures", asked.figures, "--out", asked.out])] if asked.figures else []
    )
    commands = [*page["commands"], *again]
    parts = [part if isinstance(part, str) else markdown(part) for part in page["parts"]]
    ending = [block(commands)] if commands else []
    ending += ["## Environment", "\n".join(f"- {line}" for line in page["environment"])]
    text = "\n\n".join([f"# {inert(page['title'])}", *map(paragraph, page["notes"]), *parts, *ending]) + "\n"
    with atomic_write(asked.out, "wb") as stream:
        stream.write(text.encode("utf-8", "replace"))  # a name of a file may hold what is no UTF-8
