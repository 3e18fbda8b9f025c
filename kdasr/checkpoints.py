"""Checksums of models: whether a file is still what was written.

While a model is trained, `checksums.json` holds the checksums of its checkpoints. When it is finished, `kdasr.json` in
its directory holds, as "sha256", the checksum of each checkpoint, mask and token file. They are compared when a file
is loaded; for a model that kdasr did not train, a line says that no checksum is known.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import open_now, read_json, write_json

RECORD = "kdasr.json"
NOTES = "checksums.json"
KEPT = ("*.pth", "*.npz", "tokens/*", "src_tokens/*")  # what a record holds the checksums of, under a model directory
NAMED = ("config.yaml",)  # and files that a person may edit: a change is reported, not refused


def sha256(path: str | Path) -> str:
    """A file's SHA-256, 64 hex digits; UserError if it cannot be read."""
    try:
        with open_now(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy it again") from None


def checksums(directory: str | Path, patterns: Iterable[str] = (*KEPT, *NAMED)) -> dict[str, str]:
    """The "sha256" of a finished directory's record: relative name -> checksum."""
    directory = Path(directory)
    hashed: dict[Path, str] = {}  # links to the same checkpoint are read once
    found: dict[str, str] = {}
    for path in sorted(path for pattern in patterns for path in directory.glob(pattern)):
        if path.is_file() and not path.name.startswith("."):
            real = path.resolve()
            if real not in hashed:
                hashed[real] = sha256(real)
            found[str(path.relative_to(directory))] = hashed[real]
    return found


def write_record(directory: str | Path, record: Mapping[str, Any]) -> None:
    """Write kdasr.json of a model that is finished, with the checksums of its files."""
    directory = Path(directory)
    write_json(directory / RECORD, {**record, "sha256": checksums(directory)})
    (directory / NOTES).unlink(missing_ok=True)


def compare(directory: str | Path, sums: Any, remedy: str) -> None:
    """Compare files of a directory with the "sha256" that its record has of them, if it has any.

    Args:
        directory: of the files.
        sums: name -> checksum, as `checksums` gives them, or None.
        remedy: how to make the files again.

    Raises:
        UserError: one was changed, or cannot be read.
    """
    for name, expected in (sums if isinstance(sums, dict) else {}).items():
        path = Path(directory) / name  # a missing file is reported by its reader
        if path.is_file() and sha256(path) != expected:
            raise UserError(f"{path}: was changed after it was written (its sha256 is another); {remedy}")


def recorded(path: str | Path) -> str | None:
    """The checksum that a model directory's record has for one of its files; None if it has none."""
    path = Path(path)
    for directory in (path.parent, path.parent.parent):
        if (directory / RECORD).is_file():
            sums = read_json(directory / RECORD).get("sha256")
            name = str(path.relative_to(directory))
            return sums.get(name) if isinstance(sums, dict) else None
    return None


def check(path: str | Path) -> str:
    """Compare a checkpoint, mask or token file with its model's record, and return its checksum.

    Raises:
        UserError: it was changed after the model was finished.
    """
    expected, found = recorded(path), sha256(path)
    if expected is None:
        _say(path, "no checksum is known of it (kdasr.json beside it has none), so that it is taken as it is")
    elif found != expected:
        if Path(path).name in NAMED:
            _say(path, f"was changed after the training ended; its checksum is another than in {RECORD}")
        else:
            raise UserError(
                f"{path}: was changed after the training ended (its sha256 is not that of {RECORD}); copy it again, or "
                "train again"
            )
    return found


def note(path: str | Path, written: str | Path) -> None:
    """Note the checksum of a checkpoint that is about to be put in place, beside that of the one it replaces.

    Args:
        path: where it will be, in a directory of a training.
        written: where it is, complete.
    """
    path = Path(path)
    notes = _notes(path.parent)
    notes[path.name] = [sha256(written), *notes.get(path.name, [])[:1]]
    write_json(
        path.parent / NOTES,
        {name: sums for name, sums in notes.items() if name == path.name or (path.parent / name).is_file()},
    )


def check_noted(path: str | Path) -> None:
    """Compare a checkpoint of a training that is not finished with what was noted of it, if anything was.

    Raises:
        UserError: it was changed since.
    """
    path = Path(path)
    known = _notes(path.parent).get(path.name)
    if known and sha256(path) not in known:
        raise UserError(
            f"{path}: was changed after it was written (its sha256 is not that of {NOTES}); remove {path.parent} and "
            "train again"
        )


def _notes(directory: Path) -> dict[str, list[str]]:
    return read_json(directory / NOTES) if (directory / NOTES).is_file() else {}


def check_known(path: str | Path) -> None:
    """As `check`, for a file that its model's record has; others are not checked."""
    if recorded(path) is not None:
        check(path)


def _say(path: str | Path, what: str) -> None:
    """Print a line about a file, once even through several links, by one worker only; to stdout, as it is no error."""
    real = Path(path).resolve()
    if real not in _said and multiprocessing.parent_process() is None:
        print(f"{path}: {what}")
    _said.add(real)


_said: set[Path] = set()  # files that a line was printed for
