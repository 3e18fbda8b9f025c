"""What a classifier is and how it learns: one flat YAML file, checked before anything is trained."""

from __future__ import annotations

import argparse
import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kdasr.errors import UserError
from kdasr.settings import read

CHECKPOINT, MODEL, RECORD, LOGITS = "checkpoint.pth", "model.pth", "kdasr.json", "logits.npz"  # of a model directory


@dataclass(frozen=True)
class NetSettings:
    """A configuration. Defaults are those of a student: no regularisation at all."""

    # network (kdasr.classify.nets)
    hidden: int = 800  # units of each hidden layer
    layers: int = 2  # hidden layers
    # regularisation
    drop_input: float = 0.0  # share of the inputs
    drop_hidden: float = 0.0  # share of the hidden units
    max_norm: float = 0.0  # longest vector of weights into a hidden unit (0: any)
    # optimisation: Adam, its rate rising from zero and falling back to it along straight lines
    epochs: int = 20
    batch: int = 250
    rate: float = 1e-3  # the highest
    warmup: float = 0.1  # share of the updates during which the rate rises
    # distillation; of use with teachers only
    temperature: float = 20.0
    soft_weight: float = 0.9  # of the teacher's distribution; the labels have the rest


Settings = TypeVar("Settings", bound=NetSettings)


def read_settings(kind: type[Settings], path: str | Path | None, changes: list[str], examples: str) -> Settings:
    """Settings of a file, with `NAME=VALUE` over them.

    Args:
        kind, path, changes, examples: as kdasr.settings.read takes them.

    Raises:
        UserError: as kdasr.settings.read, or for the first value that cannot be.
    """
    settings = read(kind, path, changes, examples)
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


def add_specialist_arguments(parser: argparse.ArgumentParser) -> None:
    """How groups are found and specialists trained."""
    add = parser.add_argument
    add("--groups", type=int, default=3, help="groups of classes, a specialist each (default 3)")
    add("--temperature", type=float, default=4.0, help="of the predictions that groups are found in (default 4)")
    add("--best", type=int, default=1, help="specialists asked: those with one of so many best classes (default 1)")
    add("--epochs", type=float, default=5.0, help="of training, as many examples as the training set has (default 5)")
    add(
        "--rate",
        type=float,
        default=5e-4,
        help="learning rate of Adam at the beginning; it falls to zero (default 5e-4)",
    )
    add("--batch", type=int, default=250, help="examples of a batch (default 250)")
    add("--seed", type=int, default=1, help="of groups, batches and new weights (default 1)")


def check_specialist_arguments(args: argparse.Namespace) -> None:
    """UserError if an option of `add_specialist_arguments` cannot be."""
    if (
        min(args.groups, args.best, args.batch - 1) < 1
        or min(args.epochs, args.temperature, args.rate) <= 0
        or args.seed < 0
    ):
        raise UserError("--groups, --best: expected 1 or more; --batch: 2; --seed: 0; others: a number above 0")
