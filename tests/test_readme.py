"""The README shows the results that a command wrote, not numbers typed by hand."""

from pathlib import Path

ROOT = Path(__file__).parents[1]


def first_table(markdown: str) -> list[str]:
    """The rows of the first table after the heading `## Systems` (or of the text)."""
    _, _, text = markdown.rpartition("## Systems") if "## Systems" in markdown else ("", "", markdown)
    rows = []
    for line in text.splitlines():
        if line.startswith("|"):
            rows.append(line)
        elif rows:
            break
    return rows


def test_the_demos_table_is_that_of_results():
    shown = (ROOT / "README.md").read_text().partition("<!-- the table of egs/wsj/RESULTS.md")[2]
    assert first_table(shown) == first_table((ROOT / "egs" / "wsj" / "RESULTS.md").read_text())


def test_every_file_the_readme_links_to_exists():
    import re

    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link
