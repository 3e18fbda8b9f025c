"""A text for language models: train.txt, valid.txt and test.txt, a sentence a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from kdasr.files import atomic_write


def write_texts(out: str | Path, texts: Mapping[str, Sequence[str]]) -> str:
    """Write `out`/NAME.txt for each text; returns their sizes in words."""
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, lines in texts.items():
        with atomic_write(Path(out) / f"{name}.txt") as stream:
            stream.writelines(f"{line}\n" for line in lines)
    return f"{out}: " + ", ".join(f"{len(lines)} sentences in {name}.txt" for name, lines in texts.items())
