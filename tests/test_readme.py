"""The README is short; its numbers and its picture, and those of other pages, are what commands write from figures."""

import ast
import re
import subprocess
import sys

import pages
import pytest

from kdasr.cli import COMMANDS
from kdasr.report.claim_picture import write_picture

sys.path.insert(0, str(pages.ROOT / "tools"))

import fill_pages

ROOT = pages.ROOT
README, GLOSSARY = ROOT / "README.md", ROOT / "docs/glossary.md"
FILLED = [page for page in pages.pages() if "<!-- fill {" in pages.prose(page)]
# A measured number: with a point, an interval, a deviation or in percent. Versions, licences and options are none.
MEASURED = re.compile(r"(?<![\w.=-])[-+]?\d+\.\d+(?![\d.]*[\w-])|± ?\d|\d+ ?%|\[-?\d+, -?\d+\]")
MINUTES = re.compile(r"about (\d+) minutes on two cores")


def outside(page):
    """Its prose without filled tables, quotations of papers, and code."""
    text = fill_pages.BLOCK.sub("", pages.prose(page))
    return re.sub(r"`[^`]*`|^>.*$|^<!--.*-->$", "", text, flags=re.MULTILINE)


def test_it_is_short():
    assert len(README.read_text().split()) <= 700  # as wc -w counts
    (front,) = [found[2] for found in fill_pages.BLOCK.findall(README.read_text())]
    assert 1 <= len(front.splitlines()) - 2 <= 6


@pytest.mark.parametrize("page", FILLED, ids=lambda page: page.name)
def test_its_tables_are_what_their_sources_say(page):
    text = page.read_text()
    assert fill_pages.filled(page, text) == text, "run tools/fill_pages.py README.md docs/*.md"


def test_its_picture_is_of_the_committed_figures(tmp_path):
    write_picture(ROOT / "docs/claims.yaml", tmp_path / "claims.svg")
    assert (tmp_path / "claims.svg").read_bytes() == (ROOT / "docs/claims.svg").read_bytes()


def test_pages_with_tables_are_known():
    assert {page.name for page in FILLED} >= {"README.md", "findings.md", "papers.md"}


@pytest.mark.parametrize("page", [README, *FILLED], ids=lambda page: page.name)
def test_no_measured_number_is_typed_by_hand(page):
    text = re.sub(r"Python 3.11|Apache-2.0|arXiv [\d.]+|95 %|\b3 %", "", outside(page))
    assert not MEASURED.search(text), MEASURED.search(text)
    assert MEASURED.search("5.2 % WER") and MEASURED.search("gained -0.7") and not MEASURED.search("two cores, 23 s")


def test_the_demos_minutes_are_told_once():
    """README and quickstart say the same; nothing else says how long it takes."""
    told = {page.name: MINUTES.findall(page.read_text()) for page in pages.pages()}
    told = {name: set(found) for name, found in told.items() if found}
    assert set(told) <= {"README.md", "quickstart.md"} and len(set.union(*told.values())) == 1


def avoided():
    """The last column of the glossary: words that stand for something which has another name here."""
    rows = [row for row in (ROOT / "docs/glossary.md").read_text().splitlines() if row.startswith("| **")]
    last = [re.split(r"(?<!\\)\|", row)[3] for row in rows]
    return sorted({word.strip() for cell in last for word in cell.split(",")} - {""})


def test_one_word_for_one_thing():
    """In the prose of pages, and in the help of commands."""
    helps = [ast.get_docstring(ast.parse(path.read_text())) or "" for path in (ROOT / "kdasr/bin").glob("*.py")]
    text = " ".join([*map(outside, pages.pages()), *helps, *COMMANDS.values()]).replace(outside(GLOSSARY), "").lower()
    assert len(avoided()) > 15 and "ground truth" in avoided()
    assert not [word for word in avoided() if re.search(rf"\b{word}s?\b", text)]


def test_the_check_says_nothing_when_all_is_new():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/fill_pages.py", "--check", README], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
