"""`kdasr images data`: images and their labels as one file, from MNIST's files or from scikit-learn's digits.

The file is an .npz with {train,test}_images (N, H, W) and {train,test}_labels (N,), all uint8, and `name`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kdasr.arrays import read_npz
from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.images.idx import PARTS, read_mnist

if TYPE_CHECKING:
    from torch import Tensor

EXAMPLES = """examples:
  kdasr images data --mnist /corpora/mnist --out data/images.npz   # four IDX files, gzipped or not
  kdasr images data --out data/images.npz                          # the 1797 digits that scikit-learn carries
  kdasr images data --mnist /corpora/mnist --held_out 10000 --out data/held.npz   # to choose settings on
"""
LARGEST = 255  # value of a pixel
DIGITS_TEST = 450  # of scikit-learn's digits, the last: other writers than the first
DARKEST = 16  # their pixels are from 0 to this


@dataclass(frozen=True)
class Images:
    """One part, as tensors: images (N, H, W) uint8, labels (N,) int64."""

    images: Tensor
    labels: Tensor

    def only(self, classes: list[int]) -> Images:
        """Those of some classes."""
        import torch

        kept = torch.isin(self.labels, torch.tensor(classes))
        return Images(self.images[kept], self.labels[kept])

    def inputs(self, chosen: Tensor) -> Tensor:
        """What a network reads of the images of these numbers (B,): (B, H W) uint8."""
        return self.images[chosen].flatten(1)

    def moving(self, reach: int) -> Callable[[Tensor], Tensor]:
        """As `inputs`, every image moved by up to `reach` pixels, anew each time."""
        import torch

        places = shifts(self.images, reach)

        def inputs(chosen: Tensor) -> Tensor:
            down, right = torch.randint(0, 2 * reach + 1, (2, len(chosen)))
            return places[chosen, down, right].flatten(1)

        return inputs


def shifts(images: Tensor, reach: int) -> Tensor:
    """Every image moved by up to `reach` pixels in each direction, without a copy of any.

    Args:
        images: (N, H, W) uint8.
        reach: pixels; black comes in from the borders.

    Returns:
        (N, 2 reach + 1, 2 reach + 1, H, W); [n, reach, reach] is image n as it was.
    """
    from torch.nn import functional as F

    padded = F.pad(images, (reach,) * 4)
    count, rows, columns = padded.shape
    steps = 2 * reach + 1
    return padded.as_strided((count, steps, steps, *images.shape[1:]), (rows * columns, columns, 1, columns, 1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr images data`."""
    add = parser.add_argument
    add("--mnist", metavar="DIR", help="directory of MNIST's four files (default: scikit-learn's digits)")
    add("--out", required=True, metavar="FILE", help="file to write, .npz")
    add(
        "--held_out",
        type=int,
        default=0,
        metavar="N",
        help="the last N training images stand as the test images, which are left out (default 0: none)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the file and say what is in it."""
    arrays = read_mnist(args.mnist) if args.mnist else digits()
    name = "MNIST" if args.mnist else "digits"
    if args.held_out:
        arrays = held_out(arrays, args.held_out)
        name += ", held out"
    with atomic_write(args.out, "wb") as stream:
        np.savez_compressed(stream, name=np.array(name), **arrays)
    _, height, width = arrays["train_images"].shape
    counts = ", ".join(f"{len(arrays[f'{part}_labels'])} {part}" for part in PARTS)
    print(f"{args.out}: {name}, {counts} images of {height} x {width} pixels")


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


def load(path: str | Path) -> dict[str, Images]:
    """What `kdasr images data` wrote, by part; UserError if it is absent or something else."""
    import torch

    arrays = _stored(path)
    kinds = {name: (array.dtype.kind, array.ndim) for name, array in arrays.items() if name != "name"}
    for name, (kind, axes) in kinds.items():
        if kind not in "uif" or axes != (1 if name.endswith("labels") else 3):
            raise UserError(f"{path}: its {name} are no {name.partition('_')[2]}; make it again (kdasr images data)")
    return {
        part: Images(torch.from_numpy(arrays[f"{part}_images"]), torch.from_numpy(arrays[f"{part}_labels"]).long())
        for part in PARTS
    }


def name_of(path: str | Path) -> str:
    """What images they are, as in MNIST; UserError as `load`."""
    return str(_stored(path)["name"])


def _stored(path: str | Path) -> dict[str, np.ndarray]:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; make it first: kdasr images data")
    names = ["name", *(f"{part}_{kind}" for part in PARTS for kind in ("images", "labels"))]
    return read_npz(path, names, "make it again (kdasr images data)")
