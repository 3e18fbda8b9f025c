"""What a model is pruned with: the options of `kdasr prune`, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdasr.errors import UserError

SCHEMES = ("blind", "uniform", "distribution")


@dataclass(frozen=True)
class Pruning:
    """One model to prune.

    Raises:
        UserError: `sparsity` or `spare` is no share.
    """

    model: Path  # model directory
    out: Path  # model directory to write
    sparsity: float  # share of the prunable weights that becomes zero, 0 to below 1
    scheme: str = "blind"  # one of SCHEMES
    spare: float = 0.0  # parameters with less than this share of the weights are left whole
    model_file: str | None = None  # checkpoint in `model`; None for the averaged best
    label: str = ""  # what the report calls it; "" for the model's label and the share

    def __post_init__(self) -> None:
        for name, example in (("sparsity", "0.8"), ("spare", "0.01")):
            share = getattr(self, name)
            if not 0.0 <= share < 1.0:
                raise UserError(f"--{name} {share}: expected a share from 0 to below 1, as {example}")
