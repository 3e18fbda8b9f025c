"""Images and their labels as one file: MNIST's, or the 1797 digits that scikit-learn carries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from idx import LARGEST, PARTS, read_mnist

from kdasr.errors import UserError
from kdasr.files import atomic_write

DIGITS_TEST = 450  # of scikit-learn's digits, the last: other writers than the first
DARKEST = 16  # their pixels are from 0 to this


def write_images(out: str | Path, mnist: str | None = None, last: int = 0) -> None:
    """Write images and labels as one file, and say what is in it.

    Args:
        out: file to write, .npz, as image_set.py reads it.
        mnist: directory of MNIST's four files; None: scikit-learn's digits.
        last: so many of the last training images stand as the test images, which are left out; 0: none.

    Raises:
        UserError: MNIST's files are missing or bad, there is no scikit-learn, or too many images are held out.
    """
    arrays = read_mnist(mnist) if mnist else digits()
    name = "MNIST" if mnist else "digits"
    if last:
        arrays = held_out(arrays, last)
        name += ", held out"
    with atomic_write(out, "wb") as stream:
        np.savez_compressed(stream, name=np.array(name), **arrays)
    _, height, width = arrays["train_images"].shape
    counts = ", ".join(f"{len(arrays[f'{part}_labels'])} {part}" for part in PARTS)
    print(f"{out}: {name}, {counts} images of {height} x {width} pixels")


def digits() -> dict[str, np.ndarray]:
    """scikit-learn's digits, 8 x 8, in the form of `read_mnist`; their pixels are brought to 0 to 255."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UserError(
            "no scikit-learn, which carries the digits: pip install scikit-learn, or name --mnist DIR"
        ) from None
    found = load_digits()
    images = (found.images * (LARGEST / DARKEST)).round().astype(np.uint8)
    labels = found.target.astype(np.uint8)
    cut = len(labels) - DIGITS_TEST
    return {
        "train_images": images[:cut],
        "train_labels": labels[:cut],
        "test_images": images[cut:],
        "test_labels": labels[cut:],
    }


def held_out(arrays: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Those of `read_mnist`, the last `count` training images as the test images; UserError if that leaves none."""
    images, labels = arrays["train_images"], arrays["train_labels"]
    if not 0 < count < len(labels):
        raise UserError(f"--held_out {count}: expected 1 to {len(labels) - 1}, fewer than the training images")
    return {
        "train_images": images[:-count],
        "train_labels": labels[:-count],
        "test_images": images[-count:],
        "test_labels": labels[-count:],
    }
