"""The systems of an `exp` directory as a table, as CSV and as a page: how small, how fast, how good."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.report import figures
from kdasr.report.collect import System, in_order, remarks, systems
from kdasr.report.compare import against_references, brief_table
from kdasr.report.details import as_csv
from kdasr.report.headline import headline
from kdasr.report.markdown import visible
from kdasr.report.provenance import environment, recorded_commands
from kdasr.report.table import main_table, plain, render

SUFFIXES = (".md", ".csv", ".html")


@dataclass(frozen=True)
class Report:
    """What is reported, and into which files; the options of `kdasr report`."""

    out: Sequence[str]  # files to write, each .md, .csv or .html
    exp: str | None = None  # directory of model directories
    figures: str | None = None  # file of what systems measured
    title: str | None = None  # heading; None: RESULTS, or that of the figures
    note: Sequence[str] = ()  # texts under the title
    command: Sequence[str] = ()  # command lines that regenerate the results; () for those that models recorded
    audio: Sequence[str] = ()  # data directories, or wav.scp files, whose audio the page plays
    audio_mb: float = 2.0  # room for audio in the page, MB


def write_report(asked: Report) -> None:
    """Write the files, and print a table of the main set and the headline.

    Raises:
        UserError: nothing to report, a file of another kind, or what cannot be read.
    """
    if not asked.exp and not asked.figures:
        raise UserError("nothing to report; name a directory of models (EXP) or a file of figures (--figures)")
    for out in asked.out:
        if Path(out).suffix not in SUFFIXES:
            raise UserError(f"--out {out}: expected a name that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if asked.audio and not any(Path(out).suffix == ".html" for out in asked.out):
        raise UserError("--audio: only a page plays it; add --out report.html")
    every = systems(asked.exp) if asked.exp else []
    about = around(asked, every)
    if asked.figures:
        if asked.exp:
            figures.append(every, asked.figures, about)
        about = about_of(asked, about)
        every = in_order(figures.merged(every, asked.figures))
    found = against_references(every)
    said = remarks(every)
    notes, commands = [*about.notes, *said], [*about.commands, again(asked)]
    for out in asked.out:
        if Path(out).suffix == ".md":
            data = render(every, found, about.title, notes, about.environment, commands).encode("utf-8", "replace")
        elif Path(out).suffix == ".csv":
            data = as_csv(every).encode("utf-8", "replace")
        else:
            from kdasr.report import page  # here: tables alone need neither matplotlib nor soundfile, which are slow

            shown = page.About(about.title, notes, about.environment, commands, asked.exp, asked.audio, asked.audio_mb)
            data = page.render(every, found, page.read_texts(every), shown)
        with atomic_write(out, "wb") as stream:
            stream.write(data)
    brief = brief_table(every, found)
    print(plain(brief if len(brief) > 1 else main_table(every)))
    if first := headline(every, found):
        print(f"\n{visible(first.sentence)}")
    for line in [*said, *(f"{out}: written" for out in asked.out)]:
        print(visible(line), file=sys.stderr)


def around(asked: Report, every: list[System]) -> figures.About:
    """What stands around the tables of models that are at hand."""
    # A recipe's command makes everything; without one, each score's own is named.
    return figures.About(
        asked.title or "RESULTS", list(asked.note), list(asked.command) or recorded_commands(every), environment()
    )


def about_of(asked: Report, here: figures.About) -> figures.About:
    """The same of a file of figures: what it was last added with, but for what the options say."""
    there = figures.read(asked.figures).about or here
    return figures.About(
        asked.title or there.title,
        list(asked.note) or there.notes,
        list(asked.command) or there.commands,
        there.environment,
    )


def again(asked: Report) -> str:
    """The command line that writes these files from what is there; of a file of figures, the tables."""
    outs = [out for out in asked.out if not asked.figures or Path(out).suffix != ".html"] or asked.out
    words = ["kdasr", "report", *([asked.exp] if asked.exp and not asked.figures else [])]
    words += ["--figures", asked.figures] if asked.figures else []
    words += ["--audio", *asked.audio] if asked.audio and not asked.figures else []
    for out in outs:
        words += ["-o", out]
    return shlex.join(words)
