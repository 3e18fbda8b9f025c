"""What `kdasr images train` does once its options are checked. Axes: N images of the transfer set, C classes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdasr import checkpoints
from kdasr.arrays import read_npz
from kdasr.classify.loop import Loop
from kdasr.classify.nets import Classifier, logits_of
from kdasr.classify.settings import CHECKPOINT, LOGITS, MODEL
from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.images.data import LARGEST, load
from kdasr.images.idx import CLASSES
from kdasr.images.settings import ImageSettings
from kdasr.losses.ensemble import combined


def train(args: argparse.Namespace, settings: ImageSettings, classes: list[int]) -> dict[str, Any]:
    """Train to the end, or go on with what is in `args.out`; what kdasr.json is to say of the model.

    Args:
        args: of the command.
        settings: of the network and its training.
        classes: that the transfer set has.
    """
    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    parts, out = load(args.data), Path(args.out)
    whole = parts["train"]
    kept = torch.isin(whole.labels, torch.tensor(classes))  # (all,)
    if not kept.any():
        raise UserError(f"{args.data}: has no training image of the classes {classes}; choose others")
    soft = teacher_of(args.teachers, args.mean, len(whole.labels))  # (all, C) or None
    model = Classifier(whole.images[0].numel(), settings.hidden, settings.layers, CLASSES, LARGEST)
    own = whole.only(classes)
    loop = Loop(model, settings, own.moving(settings.jitter), own.labels, None if soft is None else soft[kept], out)
    loop.run()
    began = time.process_time()
    # (all, C), (tests, C)
    logits = {part: logits_of(model, parts[part].inputs, len(parts[part].labels)) for part in parts}
    with atomic_write(out / LOGITS, "wb") as stream:
        np.savez(stream, **{part: values.numpy() for part, values in logits.items()})
    checkpoints.save(out / MODEL, model.state_dict())
    (out / CHECKPOINT).unlink(missing_ok=True)
    labels = parts["test"].labels
    return {
        "label": args.label or out.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "hidden": settings.hidden,
        "layers": settings.layers,
        "temperature": settings.temperature if args.teachers else None,
        "soft_weight": settings.soft_weight if args.teachers else None,
        "teachers": [Path(one).name for one in args.teachers],
        "classes": classes,
        "images": len(own.labels),
        "seed": args.seed,
        "epochs": settings.epochs,
        "errors": int((logits["test"].argmax(1) != labels).sum()),
        "tested": len(labels),
        "cpu_seconds": round(loop.seconds + time.process_time() - began, 1),
    }


def teacher_of(directories: list[str], mean: str, images: int) -> Tensor | None:
    """What the teachers together expect of each training image: log-probabilities (all, C); None without teachers.

    Raises:
        UserError: a teacher has seen other images.
    """
    if not directories:
        return None
    each = []
    for directory in directories:
        checkpoints.check_known(Path(directory) / LOGITS)
        stored = read_npz(Path(directory) / LOGITS, ["train"], "train the teacher again (kdasr images train)")["train"]
        if stored.dtype.kind != "f" or stored.ndim != 2:
            raise UserError(f"{directory}/{LOGITS}: holds no logits (images, classes); train the teacher again")
        logits = torch.from_numpy(stored)
        if len(logits) != images:
            raise UserError(f"{directory}: has {len(logits)} training images, --data {images}; train it on --data")
        each.append(torch.log_softmax(logits, -1))
    return combined(torch.stack(each), [1 / len(each)] * len(each), mean)
