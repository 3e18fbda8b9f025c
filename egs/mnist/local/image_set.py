"""Images and their labels, from the file that local/images_data.py writes.

The file is an .npz with {train,test}_images (N, H, W) and {train,test}_labels (N,), all uint8, and `name`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from idx import PARTS
from torch import Tensor
from torch.nn import functional as F

from kdasr.arrays import read_npz
from kdasr.errors import UserError


@dataclass(frozen=True)
class Images:
    """One part, as tensors: images (N, H, W) uint8, labels (N,) int64."""

    images: Tensor
    labels: Tensor

    def only(self, classes: list[int]) -> Images:
        """Those of some classes."""
        kept = torch.isin(self.labels, torch.tensor(classes))
        return Images(self.images[kept], self.labels[kept])

    def inputs(self, chosen: Tensor) -> Tensor:
        """What a network reads of the images of these numbers (B,): (B, H W) uint8."""
        return self.images[chosen].flatten(1)

    def moving(self, reach: int) -> Callable[[Tensor], Tensor]:
        """As `inputs`, every image moved by up to `reach` pixels, anew each time."""
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
    padded = F.pad(images, (reach,) * 4)
    count, rows, columns = padded.shape
    steps = 2 * reach + 1
    return padded.as_strided((count, steps, steps, *images.shape[1:]), (rows * columns, columns, 1, columns, 1))


def load(path: str | Path) -> dict[str, Images]:
    """What `local/images_data.py` wrote, by part; UserError if it is absent or something else."""
    arrays = _stored(path)
    kinds = {name: (array.dtype.kind, array.ndim) for name, array in arrays.items() if name != "name"}
    for name, (kind, axes) in kinds.items():
        if kind not in "uif" or axes != (1 if name.endswith("labels") else 3):
            raise UserError(f"{path}: its {name} are no {name.partition('_')[2]}; make it again (local/images_data.py)")
    return {
        part: Images(torch.from_numpy(arrays[f"{part}_images"]), torch.from_numpy(arrays[f"{part}_labels"]).long())
        for part in PARTS
    }


def name_of(path: str | Path) -> str:
    """What images they are, as in MNIST; UserError as `load`."""
    return str(_stored(path)["name"])


def _stored(path: str | Path) -> dict[str, np.ndarray]:
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; make it first: local/images_data.py")
    names = ["name", *(f"{part}_{kind}" for part in PARTS for kind in ("images", "labels"))]
    return read_npz(path, names, "make it again (local/images_data.py)")
