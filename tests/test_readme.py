"""The README shows the results that a command wrote, not numbers typed by hand."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def first_table(markdown: str) -> list[str]:
    """The rows of the first table after the heading `## Summary` (or of the text)."""
    _, _, text = markdown.rpartition("## Summary") if "## Summary" in markdown else ("", "", markdown)
    rows = []
    for line in text.splitlines():
        if line.startswith("|"):
            rows.append(line)
        elif rows:
            break
    return rows


@pytest.mark.parametrize("results_file", ["egs/wsj/RESULTS.md", "egs/wsj/RESULTS_AUG.md"])
def test_the_rows_shown_are_those_of_results(results_file):
    """Some of its rows, in its order, both as committed: `make demo` writes a RESULTS.md of its own."""

    def committed(path: str) -> str:
        shown = subprocess.run(["git", "-C", ROOT, "show", f"HEAD:{path}"], capture_output=True, text=True, check=False)
        if shown.returncode != 0:
            pytest.skip("no git repository to read the committed files from")
        return shown.stdout

    shown = first_table(committed("README.md").partition(f"<!-- rows of {results_file}")[2])
    results = first_table(committed(results_file))
    assert shown[:2] == results[:2]  # the columns
    assert shown == [row for row in results if row in shown]
    for trained in ("teacher", "student on references", "oracle, references of all audio"):
        assert any(row.startswith(f"|{trained}|") for row in shown)


def test_every_file_the_readme_links_to_exists():
    import re

    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link
