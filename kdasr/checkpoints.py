"""Checkpoints: read without running what they hold, and compared with what was written.

While a model is trained, `checksums.json` has those of its checkpoints. When it is finished, `kdasr.json` of its
directory has, as "sha256", the checksum of each checkpoint, mask and token file. Who loads one compares; of a model
that kdasr did not train it is said that none is known.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import atomic_write, open_now, read_json, write_json

RECORD = "kdasr.json"
NOTES = "checksums.json"
KEPT = ("*.pth", "*.npz", "tokens/*")  # what a record holds the checksums of, under a model directory
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

    import torch.serialization  # by its own name: the trainer's torch.load is this function

    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; train the model first, or name its directory")
    try:
        with torch.serialization.safe_globals(_values()):
            return torch.serialization.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" not in str(error) and "GLOBAL" not in str(error):
            raise UserError(f"{path}: is no {what}, or is damaged; copy it again from where it was made") from None
        raise UserError(
            f"{path}: holds objects that are no tensors, which could run a program when they are made; save its "
            "weights alone (torch.save(model.state_dict(), ...))"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy it again") from None
    except Exception as error:  # torch raises a dozen kinds for damaged files
        kind = type(error).__name__
        raise UserError(f"{path}: is no {what}, or is damaged ({kind}); copy it again from where it was made") from None


def _values() -> list[Any]:
    """What else may be made of a checkpoint: ESPnet's reporter keeps numbers of numpy's, and times."""
    import datetime

    import numpy as np

    kinds = ("Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt32", "UInt64", "Float16", "Float32", "Float64")
    numbers = [getattr(np.dtypes, f"{kind}DType") for kind in kinds]
    return [np._core.multiarray.scalar, np.dtype, *numbers, datetime.timedelta]


def load_weights(path: str | Path, device: Any = "cpu") -> dict[str, Any]:
    """A model's weights, a tensor by name; raises as `load`, or if the file holds something else."""
    import torch

    weights = load(path, device=device)
    if (
        not isinstance(weights, dict)
        or not weights
        or not all(isinstance(one, torch.Tensor) for one in weights.values())
    ):
        raise UserError(f"{path}: holds no model's weights (a name and a tensor each); name another checkpoint")
    return weights


def sha256(path: str | Path) -> str:
    """A file's SHA-256, 64 hex digits; UserError if it cannot be read."""
    try:
        with open_now(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy it again") from None


def checksums(directory: str | Path, patterns: Iterable[str] = (*KEPT, *NAMED)) -> dict[str, str]:
    """What a record keeps as "sha256" of a finished directory: relative name -> checksum."""
    directory = Path(directory)
    hashed: dict[Path, str] = {}  # links to one checkpoint are read once
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
        path = Path(directory) / name  # that one is absent, who needs it says
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


def save(path: Path, value: dict[str, Any]) -> None:
    """torch.save of a training's checkpoint, whole or not at all; its checksum is noted."""
    import torch

    with atomic_write(path, "wb") as stream:
        torch.save(value, stream)
        stream.flush()
        note(path, stream.name)


def resume(path: Path, keys: Set[str], device: Any = "cpu") -> dict[str, Any]:
    """The checkpoint that a training goes on from, as `save` wrote it.

    Args:
        path: of the file.
        keys: what it has to hold.
        device: where the tensors go.

    Raises:
        UserError: it is damaged, was changed, or is something else.
    """
    check_noted(path)
    kept = load(path, device=device)
    if not isinstance(kept, dict) or not keys <= kept.keys():
        raise UserError(f"{path}: is not the checkpoint of a training; remove {path.parent} and train again")
    return kept


def note(path: str | Path, written: str | Path) -> None:
    """Note the checksum of a checkpoint that is about to be put in place, beside that of the one it replaces.

    Args:
        path: where it will stand, in a directory of a training.
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
    """As `check`, of a file that its model's record knows; others are passed over without a word."""
    if recorded(path) is not None:
        check(path)


def _say(path: str | Path, what: str) -> None:
    """A line about a file, once by whatever link, and not from every worker; on stdout: stderr is for an error's."""
    real = Path(path).resolve()
    if real not in _said and multiprocessing.parent_process() is None:
        print(f"{path}: {what}")
    _said.add(real)


_said: set[Path] = set()  # files of which something was said
