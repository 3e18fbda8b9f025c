"""What a language model is and how it learns: one flat YAML file, checked before anything is read or trained."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.losses import OBJECTIVES
from kdasr.settings import NOT_NEGATIVE, POSITIVE, SHARE_BELOW_1, at_least, read


@dataclass(frozen=True)
class LmSettings:
    """A configuration. Defaults are those of AWD-LSTM-MoS on Penn Treebank (Yang et al. 2018)."""

    # network (kdasr.networks.awd)
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
    # distillation (kdasr.losses.trust); used with teachers only
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


RANGES = {
    **dict.fromkeys(("embed", "hidden", "last", "layers", "experts", "streams", "epochs"), at_least(1)),
    **dict.fromkeys(
        (f"drop_{kind}" for kind in ("input", "hidden", "output", "latent", "embed", "weight")), SHARE_BELOW_1
    ),
    "steps": at_least(5),
    **dict.fromkeys(("rate", "clip", "temperature", "power"), POSITIVE),
    **dict.fromkeys(("activation", "temporal", "alpha", "weight_decay"), NOT_NEGATIVE),
    **dict.fromkeys(("patience", "average_after", "stop"), NOT_NEGATIVE),
}


def read_settings(path: str | Path | None, changes: list[str]) -> LmSettings:
    """Settings of a file, with `NAME=VALUE` over them.

    Raises:
        UserError: no YAML mapping, an unknown name (the nearest one is named), or a value that cannot be.
    """
    settings = read(LmSettings, path, changes, "conf/ of egs/ptb", RANGES)
    where = path or "--set"
    if settings.objective not in OBJECTIVES:
        raise UserError(f"{where}: objective {settings.objective!r}, expected one of {', '.join(OBJECTIVES)}")
    if settings.experts == 1 and settings.last != settings.embed:
        raise UserError(
            f"{where}: with one expert, last ({settings.last}) has to be embed ({settings.embed}); change one of them"
        )
    return settings
