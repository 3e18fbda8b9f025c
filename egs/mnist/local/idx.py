"""IDX files, the form in which MNIST comes: big-endian sizes, then bytes; gzipped or not.

A file is 0, 0, TYPE, DIMENSIONS (a byte each), a 4-byte size for each dimension, and the values, the last dimension's
next to each other.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from kdasr.errors import UserError

UNSIGNED_BYTES = 0x08  # the only type that MNIST uses
PARTS = {"train": "train", "test": "t10k"}  # its names of files
CLASSES = 10
LARGEST = 255  # value of a pixel


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The values of a file, uint8, of the shape that it says.

    Args:
        path: the file.
        dimensions: how many it has to have.

    Raises:
        UserError: not IDX, of another type or number of dimensions, cut short, or longer than it says.
    """
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise UserError(f"{path}: is not whole ({error}); fetch it again") from None
    expected = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    if data[:4] != expected:
        raise UserError(
            f"{path}: begins with {data[:4].hex(' ') or 'nothing'}, expected {expected.hex(' ')} "
            f"(IDX, bytes, {dimensions} dimensions); name the directory of MNIST's own files"
        )
    if len(data) < 4 + 4 * dimensions:
        raise UserError(f"{path}: ends within its header; fetch it again")
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions)
    if len(values) != math.prod(shape):
        raise UserError(
            f"{path}: holds {len(values)} values, its header says {' x '.join(map(str, shape))}; fetch it again"
        )
    return values.reshape(shape)


def read_mnist(directory: str | Path) -> dict[str, np.ndarray]:
    """MNIST's four files: {train,test}_images (N, H, W) and {train,test}_labels (N,), all uint8.

    Raises:
        UserError: a file is missing or bad, or what belongs together does not fit together.
    """
    found: dict[str, np.ndarray] = {}
    for part, name in PARTS.items():
        pictures, answers = (_file(Path(directory), name, kind) for kind in ("images-idx3", "labels-idx1"))
        images, labels = read_idx(pictures, 3), read_idx(answers, 1)
        if len(images) != len(labels):
            raise UserError(f"{pictures}: holds {len(images)} images, {answers} {len(labels)} labels; fetch both again")
        if not images.size:
            raise UserError(f"{pictures}: holds no image; fetch it again")
        if labels.max() >= CLASSES:
            place = int(np.argmax(labels >= CLASSES))
            raise UserError(f"{answers}: label {place + 1} is {labels[place]}, expected 0 to {CLASSES - 1}")
        found |= {f"{part}_images": images, f"{part}_labels": labels}
    sizes = [found[f"{part}_images"].shape[1:] for part in PARTS]
    if sizes[0] != sizes[1]:
        raise UserError(f"{directory}: training images are {sizes[0]}, test images {sizes[1]}; fetch the files again")
    return found


def _file(directory: Path, name: str, kind: str) -> Path:
    """MNIST's file of that name, as it is spelled on the disk."""
    spellings = [f"{name}-{kind}-ubyte", f"{name}-{kind.replace('-', '.')}-ubyte"]
    for spelling in spellings:
        for path in (directory / spelling, directory / f"{spelling}.gz"):
            if path.is_file():
                return path
    raise UserError(f"{directory / spellings[0]}: no such file, .gz neither; name the directory of MNIST's four files")
