"""What a classifier is and how it learns: one flat YAML file, checked before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass

from kdasr.errors import UserError
from kdasr.settings import NOT_NEGATIVE, POSITIVE, SHARE, SHARE_BELOW_1, at_least

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
    # distillation; used with teachers only
    temperature: float = 20.0
    soft_weight: float = 0.9  # of the teacher's distribution; the labels have the rest


RANGES = {
    **dict.fromkeys(("hidden", "layers", "epochs", "batch"), at_least(1)),
    **dict.fromkeys(("rate", "temperature"), POSITIVE),
    **dict.fromkeys(("drop_input", "drop_hidden"), SHARE_BELOW_1),
    **dict.fromkeys(("warmup", "soft_weight"), SHARE),
    "max_norm": NOT_NEGATIVE,
}


@dataclass(frozen=True)
class SpecialistSettings:
    """How groups are found, and how specialists are trained and asked."""

    groups: int = 3  # of classes, a specialist each
    temperature: float = 4.0  # of the predictions that groups are found in
    best: int = 1  # specialists asked: those with one of so many best classes
    epochs: float = 5.0  # of training, each of as many examples as the training set has
    rate: float = 5e-4  # learning rate of Adam at the beginning; it falls to zero
    batch: int = 250  # examples
    seed: int = 1  # of groups, batches and new weights

    def check(self) -> None:
        """UserError if one of them cannot be."""
        if (
            min(self.groups, self.best, self.batch - 1) < 1
            or min(self.epochs, self.temperature, self.rate) <= 0
            or self.seed < 0
        ):
            raise UserError("--groups, --best: expected 1 or more; --batch: 2; --seed: 0; others: a number above 0")
