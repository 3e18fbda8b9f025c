"""Links of the documentation from the repository to the site that mkdocs.yml describes: where each file is there.

README.md is the home, pages of docs/ keep their names, and what they link to beyond docs/ is below `repo/`: Markdown
as it is, other text as a block of code, a directory as the list of its files.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(\]\()([^)\s#]*)(#[^)\s]*)?(\))")
OUTSIDE = re.compile(r"[a-z]+:|/")  # addresses, and what mkdocs itself refuses
FENCE = re.compile(r"^\s*(```|~~~)")
ITEM = re.compile(r"^(-|\*|\d+\.) ")
IMAGES = (".svg", ".png", ".jpg")


def linked(source: str) -> list[str]:
    """Files and directories of the repository that a Markdown file links to."""
    if not source.endswith(".md") or not (ROOT / source).is_file():
        return []
    text = outside_code((ROOT / source).read_text())
    found = [resolved(source, link[2]) for link in LINK.finditer(text) if link[2] and not OUTSIDE.match(link[2])]
    return [target for target in dict.fromkeys(found) if not target.startswith("..") and (ROOT / target).exists()]


def resolved(source: str, link: str) -> str:
    """What a link in a file names, from the top of the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def site_uri(target: str) -> str:
    """Where the site has a file or directory of the repository."""
    if target == "README.md":
        return "index.md"
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if (ROOT / target).is_dir():
        readme = (ROOT / target / "README.md").is_file()
        return f"repo/{target}/README.md" if readme else f"repo/{target}/index.md"
    return f"repo/{target}" if target.endswith((".md", *IMAGES)) else f"repo/{target}.md"


def content(target: str) -> str:
    """The Markdown of a file or directory of the repository."""
    place = ROOT / target
    if place.is_dir():
        if (place / "README.md").is_file():
            return (place / "README.md").read_text()
        command = ["git", "-C", str(place), "ls-files"]
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return f"# {target}\n\n" + "".join(f"    {name}\n" for name in names)
    text = place.read_text(errors="replace")
    if target.endswith(".md"):
        return text
    return f"# {target}\n\n" + "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())


def with_links(markdown: str, source: str, uri: str) -> str:
    """The links of a page as the site has them."""

    def other(link: re.Match[str]) -> str:
        if not link[2] or OUTSIDE.match(link[2]):
            return link[0]
        target = resolved(source, link[2])
        if target.startswith("..") or not (ROOT / target).exists():
            return link[0]
        there = posixpath.relpath(site_uri(target), posixpath.dirname(uri) or ".")
        return f"{link[1]}{there}{link[3] or ''}{link[4]}"

    return "\n".join(line if code else LINK.sub(other, line) for line, code in lines(markdown))


def spaced(markdown: str) -> str:
    """The same with an empty line before each list: GitHub needs none, Python-Markdown does."""
    out: list[str] = []
    for line, code in lines(markdown):
        if not code and ITEM.match(line) and out and out[-1].strip() and not in_list(out):
            out.append("")
        out.append(line)
    return "\n".join(out)


def in_list(before: list[str]) -> bool:
    """Whether the last lines, up to an empty one, have an item of a list."""
    for line in reversed(before):
        if not line.strip():
            return False
        if ITEM.match(line):
            return True
    return False


def lines(markdown: str) -> list[tuple[str, bool]]:
    """Each line, and whether it is code."""
    found, fenced = [], False
    for line in markdown.split("\n"):
        fence = FENCE.match(line) is not None
        fenced = fenced != fence
        found.append((line, fenced or fence or line.startswith("    ")))
    return found


def outside_code(markdown: str) -> str:
    """The text without its blocks of code."""
    return "\n".join(line for line, code in lines(markdown) if not code)
