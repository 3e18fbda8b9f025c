"""Text from elsewhere in Markdown: labels, names, notes and settings stand there as they were written, and do nothing.

A model directory may be a stranger's. What could be markup in its texts (a table's bar, code, emphasis, links, images,
HTML) is escaped, so that GitHub shows the characters themselves; text without such characters stays as it is. An
address that stands in a text by itself may still become a link: it shows where it leads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Ends of lines and other control characters; lone surrogates, which no file can hold, and what turns the direction of
# the text around it.
BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
HIDDEN = re.compile("[\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
NUMBER = r"[-+]?\d+(?:\.\d+)?"
INTERVAL = rf"(?P<kept>\[{NUMBER}, {NUMBER}\](?![(\[:]))"  # no link, and our tables are full of them
SPECIAL = re.compile(
    r"(?P<entity>\\|<(?=[A-Za-z/!?])|&(?=#?\w+;))"  # a backslash, HTML, and its characters' names
    r"|(?P<escaped>[|`*~\[]|(?<!\w)_+|_+(?!\w))"  # an underscore within a word is none
)
IN_CELL = re.compile(rf"{INTERVAL}|{SPECIAL.pattern}")
IN_NOTE = re.compile(rf"(?P<kept>(?<!`)`[^`]+`(?!`))|{SPECIAL.pattern}")
ENTITIES = {"\\": "&#92;", "<": "&lt;", "&": "&amp;"}
BEGINNING = re.compile(r"(\d{0,9})([#>+=:.)-])")  # of a heading, a quotation, a list, a rule


def visible(text: str) -> str:
    """A text on one line, without what a reader or a terminal would obey instead of showing it."""
    return HIDDEN.sub("\N{REPLACEMENT CHARACTER}", BREAKS.sub(" ", text))


def inert(text: str) -> str:
    """A text for the middle of a line."""
    return SPECIAL.sub(_escaped, visible(text))


def cell(text: str) -> str:
    """A text for a cell of a table; an interval, [1.0, 2.0], stays as it is."""
    return IN_CELL.sub(_escaped, visible(text))


def paragraph(text: str) -> str:
    """A text that is a paragraph, as a note is; `code` in it stays code, which does nothing either."""
    text = IN_NOTE.sub(_escaped, visible(text)).strip()
    first = BEGINNING.match(text)
    return f"{first[1]}\\{text[first.start(2) :]}" if first else text


def code(text: str) -> str:
    """A text as code within a line."""
    text = visible(text)
    fence = _fence(text, 1)
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text}{room}{fence}"


def block(lines: Iterable[str]) -> str:
    """Lines as a block of code."""
    text = "\n".join(HIDDEN.sub("\N{REPLACEMENT CHARACTER}", line) for line in lines)
    fence = _fence(text, 3)
    return f"{fence}\n{text}\n{fence}"


def _fence(text: str, least: int) -> str:
    """More backticks in a row than the text has."""
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))


def _escaped(match: re.Match[str]) -> str:
    found = match[0]
    if match.lastgroup == "kept":
        return found
    return ENTITIES[found] if found in ENTITIES else "".join(f"\\{letter}" for letter in found)
