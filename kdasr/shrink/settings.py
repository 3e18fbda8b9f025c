"""What a model is made smaller by: the options of `kdasr shrink`, read without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kdasr.data.utterances import AS_IT_IS, Reading
from kdasr.errors import UserError

BY = ("units", "layers", "rank")
THOUSANDS = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True)
class Shrinking:
    """One model to make smaller.

    Raises:
        UserError: not one of `params`, `like` and `energy` is given, or a value is out of range.
    """

    model: Path  # model directory
    out: Path  # model directory to write
    params: int | None = None  # parameters that the result has at most
    like: Path | None = None  # a configuration whose network it is to have
    energy: float | None = None  # with `by` rank: share of each map's energy that is kept
    by: str = "units"  # one of BY: what a budget takes away
    data: Path | None = None  # a set to measure importance on; None: by the weights alone
    utterances: int = 100  # of it
    train_config: Path | None = None  # a training configuration to write anew with the network that comes out
    model_file: str | None = None  # checkpoint in `model`; None for the averaged best
    label: str = ""  # what the report calls it; "": the model's label, and what was done
    reading: Reading = AS_IT_IS  # of audio

    def __post_init__(self) -> None:
        given = [name for name in ("params", "like", "energy") if getattr(self, name) is not None]
        if len(given) != 1:
            said = f"--{given[0]} and --{given[1]} are both given" if given else "no size is given"
            raise UserError(f"{said}; give one of --params 200k, --like CONFIG and --by rank --energy 0.9")
        if self.energy is not None and self.by != "rank":
            raise UserError(f"--energy {self.energy}: belongs to --by rank; for --by {self.by} give --params")
        if self.energy is not None and not 0 < self.energy <= 1:
            raise UserError(f"--energy {self.energy}: expected a share above 0, up to 1, as 0.9")
        if self.params is not None and self.params < 1:
            raise UserError(f"--params {self.params}: expected a number of parameters above 0, as 200k")
        if self.utterances < 1:
            raise UserError(f"--utterances {self.utterances}: expected 1 or more")


def number(text: str) -> int:
    """A number of parameters: 200000, 200k, 1.5M; UserError for anything else."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kKmM]?)", text)
    if not match:
        raise UserError(f"--params {text}: expected a number of parameters, as 200000, 200k or 1.5M")
    return round(float(match[1]) * THOUSANDS[match[2].lower()])
