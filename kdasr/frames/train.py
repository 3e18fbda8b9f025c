"""A framewise acoustic model that learns from an alignment, or from predictions as well.

The loss on predictions is kdasr.losses.word's, both distributions at a temperature T, times T^2; beside it counts the
cross entropy with the alignment (Hinton et al. 2015, section 4). The epoch that is right on most frames of the
validation set is kept, which is the early stopping that little data needs.

A killed run continues from the last epoch and ends with the same weights as one that was not killed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdasr import checkpoints, torch_files
from kdasr.classify.loop import Loop
from kdasr.classify.nets import Classifier
from kdasr.classify.settings import CHECKPOINT, MODEL, RECORD
from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, write_json
from kdasr.frames.data import Frames, batches, identity, load
from kdasr.frames.predict import load_predictions, of_data
from kdasr.frames.settings import FrameSettings
from kdasr.revision import revision
from kdasr.settings import check_begun


@dataclass(frozen=True)
class TrainOptions:
    """What a framewise model is trained on, and where it goes."""

    data: str  # frames to learn from (kdasr frames data)
    valid: str  # frames to choose the epoch by, likewise
    out: str  # model directory to write
    soft: str | None = None  # predictions to learn from beside the labels (kdasr frames predict, of `data`)
    share: float = 1.0  # of the frames, as whole utterances drawn by `seed`
    label: str | None = None  # what reports call the model; None: the name of its directory
    recipe: str = ""  # models of one name are runs of one kind: distilled, ...
    baseline: bool = False  # whether others are compared with it
    seed: int = 1  # of weights, order, dropout and `share`


def train(options: TrainOptions, settings: FrameSettings) -> None:
    """Train, unless it is done.

    Raises:
        UserError: options that cannot be, frames or predictions that are missing or do not belong together, or a
            directory begun with other settings.
    """
    if options.seed < 0 or not 0 < options.share <= 1:
        raise UserError("--seed: expected 0 or more; --share: above 0, up to 1")
    if options.baseline and not options.recipe:
        raise UserError("--baseline: expected --recipe too, the name that all its runs share")
    out = Path(options.out)
    made = {
        "settings": dataclasses.asdict(settings),
        "seed": options.seed,
        "share": options.share,
        "data": identity(options.data),
        "valid": identity(options.valid),
        "soft": of_data(options.soft, options.data)["name"] if options.soft else None,
    }
    with only_writer(out):
        check_begun(out, made)
        if (out / RECORD).exists():
            print(
                f"{out}: trained already, {read_json(out / RECORD)['valid_accuracy']:.2f} % of validation frames right"
            )
            return
        write_json(out / "settings.json", made)
        record = _trained(options, settings)
        checkpoints.write_record(out, record)
    print(
        f"{out}: {record['parameters']:,} parameters, best after {record['best_epoch']} of {record['epochs']} epochs, "
        f"{record['valid_accuracy']:.2f} % of validation frames right, {record['cpu_seconds']:.0f} CPU s"
    )


def _trained(options: TrainOptions, settings: FrameSettings) -> dict[str, Any]:
    """Train to the end, or go on with what is in the directory; what kdasr.json is to say of the model."""
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    data, valid, out = load(options.data), load(options.valid), Path(options.out)
    if data.states != valid.states:
        raise UserError(f"{options.valid}: has other states than {options.data}; make it with --like {options.data}")
    soft = None
    about: dict[str, Any] = {}
    if options.soft:
        about = of_data(options.soft, options.data)
        soft = load_predictions(options.soft)  # (all, C)
    if options.share < 1:
        whole, data = data, data.only(options.share, options.seed)
        if soft is not None:
            soft = soft[torch.from_numpy(np.searchsorted(whole.starts, data.starts))]  # (N, C)
    model = Classifier(data.inputs(torch.tensor([0])).size(1), settings.hidden, settings.layers, len(data.states))
    loop = Loop(model, settings, data.inputs, data.labels, soft, out, lambda: accuracy(model, valid))
    loop.run()
    assert loop.best is not None
    torch_files.save(out / MODEL, model.state_dict())
    (out / CHECKPOINT).unlink(missing_ok=True)
    return {
        "label": options.label or out.name,
        **({"recipe": options.recipe, "baseline": options.baseline} if options.recipe else {}),
        "parameters": sum(p.numel() for p in model.parameters()),
        "hidden": settings.hidden,
        "layers": settings.layers,
        "temperature": settings.temperature if options.soft else None,
        "soft_weight": settings.soft_weight if options.soft else None,
        "teachers": len(about.get("models", [])),
        "share": options.share,
        "frames": len(data.labels),
        "seed": options.seed,
        "epochs": settings.epochs,
        "best_epoch": loop.best[0],
        "train_accuracy": round(accuracy(model, data), 3),
        "valid_accuracy": round(loop.best[1], 3),
        "cpu_seconds": round(loop.seconds, 1),
        "git": revision(),
    }


def accuracy(model: Classifier, frames: Frames) -> float:
    """Frames whose state is the most probable one, in percent."""
    return 100 * sum(int((model(x).argmax(1) == y).sum()) for x, y in batches(frames)) / len(frames.labels)
