"""Read numpy's files without unpickling anything, and with a clear message where they are damaged."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kdasr.errors import UserError

# what numpy and zipfile raise of a file that is cut short or damaged, or is none
UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, SyntaxError)
UNREADABLE += (
    RuntimeError,
    OverflowError,
    MemoryError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: str | Path, names: Iterable[str], remedy: str) -> dict[str, np.ndarray]:
    """Arrays of an .npz, which has a zip's checksums inside.

    Args:
        path: the file.
        names: of the arrays.
        remedy: how to make it again.

    Raises:
        UserError: no such file, damaged, without one of these arrays, or with an array of Python objects.
    """
    _check_file(path, remedy)
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in names}
        if not all(isinstance(array, np.ndarray) for array in found.values()):  # bytes of a member that is no .npy
            raise ValueError("no array")
        return found
    except UNREADABLE as error:
        raise UserError(f"{path}: is not the file that was written ({_said(error)}); {remedy}") from None


def read_npy(path: str | Path, remedy: str, mapped: bool = False) -> np.ndarray:
    """The array of an .npy; `mapped` leaves it on the disk until it is used. Raises as `read_npz`."""
    _check_file(path, remedy)
    try:
        array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("an .npz")
        return array
    except UNREADABLE as error:
        raise UserError(f"{path}: is not the file that was written ({_said(error)}); {remedy}") from None


def _check_file(path: str | Path, remedy: str) -> None:
    if not Path(path).is_file():
        what = "is no file" if Path(path).exists() else "no such file"
        raise UserError(f"{path}: {what}; {remedy}")


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")[:120]
