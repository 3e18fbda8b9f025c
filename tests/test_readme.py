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


def test_the_demos_table_is_that_of_results():
    """Both as committed: `make demo` writes a RESULTS.md of its own."""

    def committed(path: str) -> str:
        shown = subprocess.run(["git", "-C", ROOT, "show", f"HEAD:{path}"], capture_output=True, text=True, check=False)
        if shown.returncode != 0:
            pytest.skip("no git repository to read the committed files from")
        return shown.stdout

    shown = committed("README.md").partition("<!-- the table of egs/wsj/RESULTS.md")[2]
    assert len(first_table(shown)) > 3
    assert first_table(shown) == first_table(committed("egs/wsj/RESULTS.md"))


def test_every_file_the_readme_links_to_exists():
    import re

    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link
