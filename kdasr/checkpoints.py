"""Checkpoints: read without running what they hold, and compared with what was written.

`kdasr.json` of a model directory holds, as "sha256", the checksum of each checkpoint, mask and token file that was there
when the model was finished. Who loads one compares; of a model that kdasr did not train it is said that none is known.
"""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import sys
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import read_json

RECORD = "kdasr.json"
KEPT = ("*.pth", "tokens/*")  # what a record holds the checksums of, under a model directory
NAMED = ("config.yaml",)  # and what a person may edit: a change is said, not refused


def load(path: str | Path, what: str = "checkpoint", device: Any = "cpu") -> Any:
    """The tensors and plain values of a file that torch.save wrote; nothing else in it is made, let alone run.

    Args:
        path: of the file.
        what: it should be, for the message.
        device: where the tensors go.

    Raises:
        UserError: it is not there, is no such file, is damaged, or holds objects of other kinds.
    """
    import pickle

    import torch

    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; train the model first, or name its directory")
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" not in str(error) and "GLOBAL" not in str(error):
            raise UserError(f"{path}: is no {what}, or is damaged; copy it again from where it was made") from None
        raise UserError(
            f"{path}: holds objects that are no tensors, which could run a program when they are made; save its weights "
            "alone (torch.save(model.state_dict(), ...))"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy it again") from None
    except Exception as error:  # torch raises a dozen kinds for damaged files
        kind = type(error).__name__
        raise UserError(f"{path}: is no {what}, or is damaged ({kind}); copy it again from where it was made") from None


def sha256(path: str | Path) -> str:
    """A file's SHA-256, 64 hex digits; UserError if it cannot be read."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy it again") from None


def checksums(directory: str | Path) -> dict[str, str]:
    """What kdasr.json keeps as "sha256" of a finished model directory: relative name -> checksum."""
    directory = Path(directory)
    hashed: dict[Path, str] = {}  # links to one checkpoint are read once
    found: dict[str, str] = {}
    for path in sorted(path for pattern in (*KEPT, *NAMED) for path in directory.glob(pattern)):
        if path.is_file() and not path.name.startswith("."):
            real = path.resolve()
            hashed.setdefault(real, sha256(real) if real not in hashed else "")
            found[str(path.relative_to(directory))] = hashed[real]
    return found


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
        _say(f"{path}: no checksum is known of it (kdasr.json beside it has none), so that it is taken as it is")
    elif found != expected:
        if Path(path).name in NAMED:
            _say(f"{path}: was changed after the training ended; its checksum is another than in {RECORD}")
        else:
            raise UserError(
                f"{path}: was changed after the training ended (its sha256 is not that of {RECORD}); copy it again, or "
                "train again"
            )
    return found


def check_known(path: str | Path) -> None:
    """As `check`, of a file that its model's record knows; others are passed over without a word."""
    if recorded(path) is not None:
        check(path)


@functools.lru_cache(maxsize=1024)
def _say(line: str) -> None:
    """A line on stderr, once, and not from every worker."""
    if multiprocessing.parent_process() is None:
        print(f"note: {line}", file=sys.stderr)
