"""What a language model is and how it learns: one flat YAML file, checked before anything is read or trained."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.losses import OBJECTIVES
from kdasr.settings import read


@dataclass(frozen=True)
class LmSettings:
    """A configuration. Defaults are those of AWD-LSTM-MoS on Penn Treebank (Yang et al. 2018)."""

    # network (kdasr.lm.awd)
    embed: int = 280
    hidden: int = 960
    last: int = 620
    layers: int = 3
    experts: int = 15
    tie: bool = True
    drop_input: float = 0.4
    drop_hidden: float = 0.225
    drop_output: float = 0.4
    drop_latent: float = 0.29
    drop_embed: float = 0.1
    drop_weight: float = 0.5
    activation: float = 2.0  # activation regularisation: times the mean square of the last layer's output
    temporal: float = 1.0  # temporal activation regularisation: times that of its changes
    # optimisation: SGD, then averaged SGD (NT-ASGD)
    streams: int = 12  # pieces of text read side by side
    steps: int = 70  # words that the gradient goes back through; varies about this
    rate: float = 20.0  # learning rate at `steps` words
    clip: float = 0.25
    weight_decay: float = 1.2e-6
    epochs: int = 1000
    patience: int = 5  # epochs without a better validation perplexity before averaging begins (0: at once)
    average_after: int = 0  # epochs after which averaging begins in any case (0: patience alone decides)
    stop: int = 0  # epochs without a better one, after averaging began, before training ends (0: never)
    # distillation (kdasr.losses.trust); of use with teachers only
    objective: str = "trust"
    alpha: float = 0.1
    power: float = 1.0
    temperature: float = 1.0

    @property
    def network(self) -> dict[str, Any]:
        """The options of the network, ESPnet's lm_conf."""
        names = [field.name for field in dataclasses.fields(self)]
        return {name: getattr(self, name) for name in names[: names.index("activation")]}

    @property
    def optimisation(self) -> dict[str, Any]:
        """All the others."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in self.network}


def read_settings(path: str | Path | None, changes: list[str]) -> LmSettings:
    """Settings of a file, with `NAME=VALUE` over them.

    Raises:
        UserError: no YAML mapping, an unknown name (the nearest one is named), or a value that cannot be.
    """
    return checked(read(LmSettings, path, changes, "conf/ of egs/ptb"), path or "--set")


def checked(settings: LmSettings, where: object) -> LmSettings:
    """The settings; UserError for the first that cannot be."""
    for name, value in dataclasses.asdict(settings).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{where}: {name} is {value}, expected a finite number")
        if name.startswith("drop_") and not 0 <= value < 1:
            raise UserError(f"{where}: {name} is {value}, expected a share from 0 to below 1")
    for name in ("embed", "hidden", "last", "layers", "experts", "streams", "epochs"):
        if getattr(settings, name) < 1:
            raise UserError(f"{where}: {name} is {getattr(settings, name)}, expected 1 or more")
    if settings.steps < 5:
        raise UserError(f"{where}: steps is {settings.steps}, expected 5 or more")
    for name in ("rate", "clip", "temperature", "power"):
        if getattr(settings, name) <= 0:
            raise UserError(f"{where}: {name} is {getattr(settings, name)}, expected a number above 0")
    for name in ("weight_decay", "activation", "temporal", "alpha", "patience", "average_after", "stop"):
        if getattr(settings, name) < 0:
            raise UserError(f"{where}: {name} is {getattr(settings, name)}, expected 0 or more")
    if settings.objective not in OBJECTIVES:
        raise UserError(f"{where}: objective {settings.objective!r}, expected one of {', '.join(OBJECTIVES)}")
    if settings.experts == 1 and settings.last != settings.embed:
        raise UserError(
            f"{where}: with one expert, last ({settings.last}) has to be embed ({settings.embed}); change one of them"
        )
    return settings
