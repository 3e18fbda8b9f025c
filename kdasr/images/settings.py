"""What a classifier of images is and how it learns: one flat YAML file, checked before anything is trained."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from kdasr.errors import UserError
from kdasr.settings import read


@dataclass(frozen=True)
class ImageSettings:
    """A configuration. Defaults are those of a student: no regularisation at all."""

    # network (kdasr.images.nets)
    hidden: int = 800  # units of each hidden layer
    layers: int = 2  # hidden layers
    # regularisation
    drop_input: float = 0.0  # share of the pixels
    drop_hidden: float = 0.0  # share of the hidden units
    max_norm: float = 0.0  # longest vector of weights into a hidden unit (0: any)
    jitter: int = 0  # pixels by which an image is moved at most, in each direction
    # optimisation: Adam, its rate rising from zero and falling back to it along straight lines
    epochs: int = 20
    batch: int = 250
    rate: float = 1e-3  # the highest
    warmup: float = 0.1  # share of the updates during which the rate rises
    # distillation; of use with teachers only
    temperature: float = 20.0
    soft_weight: float = 0.9  # of the teacher's distribution; the labels have the rest


def read_settings(path: str | Path | None, changes: list[str]) -> ImageSettings:
    """Settings of a file, with `NAME=VALUE` over them.

    Raises:
        UserError: as kdasr.settings.read, or for the first value that cannot be.
    """
    settings = read(ImageSettings, path, changes, "conf/ of egs/mnist")
    where = path or "--set"
    for name, value in dataclasses.asdict(settings).items():
        if not math.isfinite(value):
            raise UserError(f"{where}: {name} is {value}, expected a finite number")
        if name in ("hidden", "layers", "epochs", "batch") and value < 1:
            raise UserError(f"{where}: {name} is {value}, expected 1 or more")
        if name in ("rate", "temperature") and value <= 0:
            raise UserError(f"{where}: {name} is {value}, expected a number above 0")
        if name in ("max_norm", "jitter") and value < 0:
            raise UserError(f"{where}: {name} is {value}, expected 0 or more")
        if name.startswith("drop_") and not 0 <= value < 1:
            raise UserError(f"{where}: {name} is {value}, expected a share from 0 to below 1")
        if name in ("warmup", "soft_weight") and not 0 <= value <= 1:
            raise UserError(f"{where}: {name} is {value}, expected a share from 0 to 1")
    return settings
