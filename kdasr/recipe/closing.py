"""How a run of the main recipe ends: what came of it, the page to look at, and what to type next."""

from __future__ import annotations

from pathlib import Path

import kdasr
from kdasr.recipe.exports import exported
from kdasr.recipe.plan import Plan

OWN = Path(kdasr.__file__).parents[1] / "egs/own/run.sh"


def closing(plan: Plan) -> list[str]:
    """Lines for the stages that ran: the students' cards, the headline, the page, and the next two commands.

    Paths are whole, so that they can be pasted wherever `make` was called.
    """
    given = plan.options
    cards, commands = bundles(plan) if 11 in given.stages else ([], [])
    lines = ["", *cards] if cards else []
    report, page = Path(given.expdir, "report.txt"), Path(given.expdir, "report.html")
    if 10 in given.stages and report.is_file() and page.is_file():
        headline = report.read_text().rpartition("\n\n")[2].strip()
        lines += ["", *([headline] if "\n" not in headline else []), f"Look at it: {page.absolute()}"]
    if commands:
        lines += ["", *commands]
        if OWN.is_file() and not given.teacher_dir and not given.translates:
            lines += [
                "To distil an ESPnet model of yours, on recordings that nobody has transcribed:",
                f"  {OWN} --teacher_dir MODEL --unlabelled FOLDER --cut_seconds 20 --test DATA_DIR",
            ]
    return lines


def bundles(plan: Plan) -> tuple[list[str], list[str]]:
    """What the exports say: lines of their cards, and of the commands that use them."""
    cards, commands = [], []
    for recipe in exported(plan):
        told = Path(plan.dirs(recipe, plan.configs(recipe)[0])[0], "bundle.txt")
        lines = told.read_text().splitlines() if told.is_file() else []
        begins = next((number for number, line in enumerate(lines) if line.startswith("To ")), len(lines))
        cards += lines[:begins]
        commands += lines[begins:]
    return cards, commands
