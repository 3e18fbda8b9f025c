"""The project's Markdown: its pages, their headings, links, and blocks of commands."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = r"(?:kdasr|make|cd|pip|python3?|git|apt-get|eval|for|mkdir|\.|\S*/\S+\.(?:sh|py)|\S+/bin/\S+|zcat|cat)"
COMMAND = re.compile(rf"(?:\w+=\S+ )*{PROGRAMS}(?= |$)|ids=")
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->")
FENCE = re.compile(r"( *)(`{3,})(\w*)")


@dataclass(frozen=True)
class Block:
    """Lines of code on a page."""

    page: Path
    line: int  # of its first line, from 1
    language: str  # behind the fence; empty if it has none, or is indented
    text: str
    not_run: str  # the reason, if a comment before it says that it cannot run

    @property
    def commands(self) -> list[str]:
        """Its commands, without comments; a line that ends in a backslash goes on. Empty: it is something else."""
        if self.language not in ("", "bash", "shell", "console"):
            return []
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        if not any(COMMAND.match(line.strip()) for line in lines):
            return []
        return [line for line in (re.sub(r"(^|\s+)# .*", "", line).strip() for line in lines) if line]

    @property
    def where(self) -> str:
        """The place as messages name it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every Markdown file that git knows, or would add."""
    words = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    names = found.stdout.split("\n") if found.returncode == 0 else []
    every = [ROOT / name for name in names if name] or list(ROOT.glob("*.md")) + list(ROOT.glob("[de]*/**/*.md"))
    return sorted({path for path in every if path.is_file()})


def blocks(page: Path) -> list[Block]:
    """Its blocks of code: fenced, or indented by four blanks behind an empty line (six in a list)."""
    found = []
    for kind, line, language, text, before in _parts(page.read_text(encoding="utf-8")):
        if kind == "code":
            told = NOT_RUN.search(before)
            found.append(Block(page, line, language, text, told[1] if told else ""))
    return found


def prose(page: Path) -> str:
    """Its text without blocks of code."""
    return "".join(text for kind, _, _, text, _ in _parts(page.read_text(encoding="utf-8")) if kind == "text")


def headings(page: Path) -> list[str]:
    """Its headings as they are read: without marks of code, emphasis and links."""
    found = re.findall(r"^#{1,6} (.+?)\s*#*$", prose(page), re.MULTILINE)
    return [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", one).replace("`", "").replace("*", "") for one in found]


def links(page: Path) -> list[str]:
    """Where its links and pictures lead."""
    text = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", prose(page), flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    return re.findall(r"\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)", text)


def anchors(page: Path) -> set[str]:
    """What GitHub calls its headings, as far as the site (Python-Markdown) calls them the same, and no other so."""
    found, github, site = set(), Counter[str](), Counter[str]()
    for one in headings(page):
        ours = re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-")
        ascii_only = one.encode("ascii", "ignore").decode().lower()
        theirs = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip())
        if ours == theirs and not github[ours] and not site[theirs]:
            found.add(ours)
        github[ours] += 1
        site[theirs] += 1
    return found


def _parts(text: str) -> Iterator[tuple[str, int, str, str, str]]:
    """(code or text, first line, language, its lines, the line of text before it) of a page."""
    lines = text.split("\n")
    place, begun, before = 0, 0, ""
    while place < len(lines):
        line = lines[place]
        fence = FENCE.match(line)
        indent = re.match(r" {4,}(?=\S)", line)
        code: list[str] = []
        end = place
        if fence:
            end = next((k for k in range(place + 1, len(lines)) if lines[k].strip() == fence[2]), len(lines))
            code, language = lines[place + 1 : end], fence[3]
            end += 1
        elif indent and (place == 0 or not lines[place - 1].strip()):
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith(indent[0])):
                end += 1
            while not lines[end - 1].strip():
                end -= 1
            code, language = lines[place:end], ""
        if end == place:
            before = line if line.strip() else before
            place += 1
            continue
        yield "text", begun + 1, "", "".join(f"{one}\n" for one in lines[begun:place]), ""
        width = min((len(one) - len(one.lstrip()) for one in code if one.strip()), default=0)
        first = place + 1 + bool(fence)
        yield "code", first, language, "".join(f"{one[width:]}\n" for one in code), before
        begun = place = end
        before = ""
    yield "text", begun + 1, "", "\n".join(lines[begun:]), ""
