"""Specialists for groups of classes that a network, the generalist, confuses (Hinton et al. 2015, section 5).

kdasr.losses.specialists says what a specialist is. Each begins with the generalist's weights, learns from labels in
half-special batches, and has its dustbin corrected.

Axes: N examples, P numbers of one, C classes, S special classes of one specialist, whose dustbin stands last.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, log_softmax
from torch.nn import functional as F
from tqdm import tqdm

from kdasr import checkpoints, torch_files
from kdasr.classify.nets import Classifier, logits_of
from kdasr.classify.settings import MODEL, RECORD, SpecialistSettings
from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.losses.specialists import confusable, corrected, half_special, oversampling, together, with_dustbin

ASKED = 2_000  # examples that are predicted together


class Examples(Protocol):
    """Images, or frames."""

    labels: Tensor  # (N,)

    def inputs(self, chosen: Tensor) -> Tensor:
        """(B, P) of the examples of these numbers (B,)."""


class Generalist(NamedTuple):
    """A network that tells all classes apart."""

    name: str
    weights: dict[str, Tensor]
    hidden: int
    layers: int
    largest: float  # as Classifier takes it


def read_generalist(directory: str | Path, largest: float = 1.0) -> Generalist:
    """The network of a model directory."""
    about, weights = trained(directory)
    return Generalist(about["label"], weights, about["hidden"], about["layers"], largest)


def trained(directory: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Record and weights of a model directory; UserError if one is missing, changed or not of a classifier."""
    about = read_json(Path(directory) / RECORD)
    whole = all(isinstance(about.get(name), int) for name in ("hidden", "layers")) and isinstance(
        about.get("label"), str
    )
    if not whole:
        raise UserError(f"{directory}/{RECORD}: is no record of a classifier; train it again")
    checkpoints.check(Path(directory) / MODEL)
    weights = torch_files.load_weights(Path(directory) / MODEL)
    first = weights.get("layers.0.weight")
    fits = first is not None and first.dim() == 2 and (not about["layers"] or len(first) == about["hidden"])
    complete = f"layers.{about['layers']}.bias" in weights and len(weights) == 2 * (about["layers"] + 1)
    if not fits or not complete:
        raise UserError(f"{directory}/{MODEL}: holds weights of another network than {RECORD} says; train it again")
    return about, weights


def beside(
    settings: SpecialistSettings,
    general: Generalist,
    train: Examples,
    seen: Tensor,
    test: Examples,
    said: Tensor,
    out: str | Path,
) -> dict[str, Any]:
    """Find groups, train a specialist for each, and predict the test examples with all of them.

    Args:
        settings: of groups and specialists.
        general: the generalist.
        train, test: what specialists learn from, and what is predicted.
        seen: (any, C) the generalist's logits on examples that groups are found in, of the training set.
        said: (N, C) on those of `test`.
        out: what stands before each line that is printed.

    Returns:
        What specialists.json says: the groups, each with the errors of its specialist, and the errors of the generalist
        alone and of all together.
    """
    torch.manual_seed(settings.seed)
    began = time.process_time()
    groups = confusable(torch.softmax(seen / settings.temperature, 1).numpy(), settings.groups, settings.seed)
    every, about = [], []
    for classes in groups:
        model = specialist(settings, general, train, classes)
        special = torch.isin(train.labels, torch.tensor(classes))
        logits = corrected(logits_of(model, test.inputs, len(test.labels)), oversampling(special))
        every.append(log_softmax(logits, 1))
        errors = int((logits.argmax(1) != with_dustbin(test.labels, classes)).sum())
        about.append({"classes": classes, "errors_with_dustbin": errors})
        print(f"{out}: specialist of {len(classes)} classes, {errors} errors, its dustbin counted as a class")
    right = 0
    for rows in torch.arange(len(said)).split(ASKED):
        q = together(log_softmax(said[rows], 1), [one[rows] for one in every], groups, settings.best)
        right += int((q.argmax(1) == test.labels[rows]).sum())
    return {
        "generalist": general.name,
        "temperature": settings.temperature,
        "specialists": about,
        "alone": int((said.argmax(1) != test.labels).sum()),
        "together": len(said) - right,
        "tested": len(said),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def specialist(settings: SpecialistSettings, general: Generalist, train: Examples, classes: list[int]) -> Classifier:
    """A specialist of `classes` that starts from the generalist's weights; the dustbin's are new."""
    inputs = general.weights["layers.0.weight"].size(1)
    model = Classifier(inputs, general.hidden, general.layers, len(classes) + 1, general.largest)
    fresh = model.state_dict()
    for name, value in general.weights.items():
        if name.startswith(f"layers.{general.layers}."):
            fresh[name][:-1] = value[classes]  # of the last layer, what the special classes have
        else:
            fresh[name] = value
    model.load_state_dict(fresh)
    labels = with_dustbin(train.labels, classes)
    special = labels < len(classes)
    optimizer = torch.optim.Adam(model.parameters(), settings.rate, fused=True)
    steps = max(1, round(settings.epochs * len(labels) / settings.batch))
    for step in tqdm(range(steps), unit="batch", desc=f"{len(classes)} classes", disable=None):
        optimizer.param_groups[0]["lr"] = settings.rate * (1 - step / steps)
        chosen = half_special(special, settings.batch)
        loss = F.cross_entropy(model(train.inputs(chosen)), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return model
