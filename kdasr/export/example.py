"""The line that an export ends with: a command that uses what was just written."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from kdasr.data.places import parse_table
from kdasr.files import read_table

SOME, TEXT = "recording.wav", "sentences.txt"  # where no file is known


def try_it(bundle: Path, data: Path | None) -> str:
    """A command with whole paths, so that it works from anywhere.

    Args:
        bundle: what was written.
        data: a data directory; its first recording that is a file of its own is taken.
    """
    audio = recording(data) if data else None
    words = [program(), "transcribe", "--model", str(bundle.absolute()), str(audio or SOME)]
    return f"To transcribe a recording:\n  {shlex.join(words)}"


def translate_it(bundle: Path) -> str:
    """The same for a model that translates."""
    words = [program(), "translate", "--model", str(bundle.absolute()), TEXT]
    return f"To translate a text, a sentence a line:\n  {shlex.join(words)}"


def program() -> str:
    """How this program is called."""
    called = Path(sys.argv[0])
    return str(called.absolute()) if called.name == "kdasr" else "kdasr"


def recording(data: Path) -> Path | None:
    """The first recording of a set that is a file of its own; None where all are pipes or parts of an archive."""
    table = data / "wav.scp"
    if not table.is_file():
        return None
    places = parse_table(read_table(table), table).values()
    files = (Path(place.path).absolute() for place in places if not place.command and place.offset is None)
    return next((file for file in files if file.is_file()), None)
