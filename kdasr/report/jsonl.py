"""Files of figures: a JSON object a line. Lines are only ever added, so that a file's history stands in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import atomic_write, read_lines

REMEDY = "take the file back from git, or remove it and make it anew"


def read(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(FILE:NUMBER, object) of each line.

    Raises:
        UserError: the file is absent, or a line is no object; the line is named.
    """
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise wrong(where) from None
        if not isinstance(value, dict):
            raise wrong(where)
        yield where, value


def append(path: str | Path, values: Sequence[dict[str, Any]]) -> None:
    """Add lines to a file, which need not be there: all of them or none. Without any the file stays as it is."""
    if not values:
        return
    before = Path(path).read_bytes() if Path(path).exists() else b""
    if before and not before.endswith(b"\n"):
        before += b"\n"
    # a lone surrogate, as in a stranger's label, cannot be written
    lines = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode("utf-8", "replace")
    with atomic_write(path, "wb") as stream:
        stream.write(before + lines)


def wrong(where: str) -> UserError:
    """What to raise of a line that is not one of ours; `where` is FILE:NUMBER."""
    return UserError(f"{where}: is no line of figures; {REMEDY}")
