"""tools/fill_pages.py: a table between two marks is what its source says, the rest stays, errors are named."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import fill_pages

from kdasr.errors import UserError

RESULTS = "# R\n\n|a|b|c|\n|---|---:|---|\n|x|1|p \\| q|\n|y|2|r|\n|y2|3|s|\n\n## Other\n\n|d|\n|---|\n|z|\n|w|\n"
CLAIMS = Path(__file__).resolve().parents[2] / "docs/claims.yaml"


@pytest.fixture
def page(tmp_path):
    (tmp_path / "RESULTS.md").write_text(RESULTS)
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs/page.md"


def fill(page, mark, old="old\n"):
    return fill_pages.filled(page, f"A\n\n<!-- fill {mark} -->\n{old}<!-- end of fill -->\n\nB\n")


@pytest.mark.parametrize(
    ("more", "table"),
    [
        ("", "|a|b|c|\n|---|---:|---|\n|x|1|p \\| q|\n|y|2|r|\n|y2|3|s|\n"),
        (", rows: ['y|', x]", "|a|b|c|\n|---|---:|---|\n|y|2|r|\n|x|1|p \\| q|\n"),
        (", columns: [c, a], rows: [x]", "|c|a|\n|---|---|\n|p \\| q|x|\n"),
        (",\n  under: Other", "|d|\n|---|\n|z|\n|w|\n"),
    ],
)
def test_a_table_of_a_file(page, more, table):
    mark = f"{{table: ../RESULTS.md{more}}}"
    assert fill(page, mark) == f"A\n\n<!-- fill {mark} -->\n{table}<!-- end of fill -->\n\nB\n"
    assert fill(page, mark, "") == fill(page, mark)


def test_claims(page):
    assert fill(page, f"{{claims: {CLAIMS}, front: true}}").count("\n|") >= 4
    text = fill(page, f"{{claims: {CLAIMS}, names: [an4, demo]}}")
    assert text.index("|test, beam") < text.index("|test_eval92, beam") and text.count("\n|") == 4


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("{table: ../RESULTS.md, rows: [y]}", "2 rows of .* begin with 'y'; name one"),
        ("{table: ../RESULTS.md, rows: [q]}", "0 rows of .* begin with 'q'"),
        ("{table: ../RESULTS.md, columns: [e]}", "has no column 'e'; it has a, b, c"),
        ("{table: ../RESULTS.md, under: More}", "has no heading 'More'"),
        ("{table: RESULTS.md}", "docs/RESULTS.md cannot be read"),
        ("{tabel: ../RESULTS.md}", "has no key 'tabel'"),
        ("{columns: [a]}", "names no source"),
        ("{table: [}", "is no YAML"),
        ("{table: [a]}", "expected a text"),
        (f"{{claims: {CLAIMS}, names: [nothing]}}", "no claim has the name 'nothing'"),
        (f"{{claims: {CLAIMS}}}", "say `front: true`, or the claims' `names:`"),
    ],
)
def test_what_is_wrong_is_named(page, mark, said):
    with pytest.raises(UserError, match=said) as error:
        fill(page, mark)
    assert str(error.value).startswith(f"{page}: ")


def test_a_mark_without_its_end(page):
    with pytest.raises(UserError, match="without its"):
        fill_pages.filled(page, "<!-- fill {table: ../RESULTS.md} -->\n")


def test_more_rows_than_a_visitor_reads(page, monkeypatch):
    monkeypatch.setattr(fill_pages, "MOST", 1)
    with pytest.raises(UserError, match="claims have `front`; a visitor reads 1"):
        fill(page, f"{{claims: {CLAIMS}, front: true}}")


def test_check_writes_nothing_and_the_command_what_is_new(page, monkeypatch, capsys):
    text = "<!-- fill {table: ../RESULTS.md, under: Other} -->\n<!-- end of fill -->\n"
    page.write_text(text)
    monkeypatch.setattr(sys, "argv", ["fill_pages.py", "--check", str(page)])
    with pytest.raises(UserError, match=r"run tools/fill_pages\.py"):
        fill_pages.main()
    assert page.read_text() == text and "has old tables" in capsys.readouterr().out
    for said in ("written", ""):
        monkeypatch.setattr(sys, "argv", ["fill_pages.py", str(page)])
        fill_pages.main()
        assert said in capsys.readouterr().out
    assert page.read_text() == text.replace("<!-- end", "|d|\n|---|\n|z|\n|w|\n<!-- end")
