"""A classifier that learns from labels, or from a teacher's soft targets on a transfer set.

The loss on soft targets is kdasr.losses.word's, both distributions at a temperature T, times T^2; beside it counts the
cross entropy with the labels (Hinton et al. 2015, section 2). The transfer set is the training images, or those that
--without and --only leave. What is left behind: the network, its logits on all training and test images (what a
student learns from, and what biases are corrected on), and a record.

A killed run continues from the last epoch and ends with the same weights as one that was not killed.

Axes: N images of the transfer set, C classes.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from idx import CLASSES, LARGEST
from image_set import load
from image_settings import ImageSettings
from torch import Tensor

from kdasr import checkpoints, torch_files
from kdasr.arrays import read_npz
from kdasr.classify.loop import Loop
from kdasr.classify.nets import Classifier, logits_of
from kdasr.classify.settings import CHECKPOINT, LOGITS, MODEL, RECORD
from kdasr.errors import UserError
from kdasr.files import atomic_write, only_writer, read_json, write_json
from kdasr.losses.ensemble import combined
from kdasr.revision import revision
from kdasr.settings import check_begun
from kdasr.shards import digest


@dataclass(frozen=True)
class TrainOptions:
    """What a classifier is trained on, and where it goes."""

    data: str  # file of local/images_data.py
    out: str  # model directory to write
    teachers: Sequence[str] = ()  # directories of networks to learn from
    mean: str = "arithmetic"  # of several teachers, one of kdasr.losses.MEANS
    without: Sequence[int] = ()  # classes to leave out of the training set
    only: Sequence[int] = ()  # the only classes of the training set; (): all
    role: str = "student"  # or teacher
    label: str | None = None  # what reports call it; None: the name of its directory
    seed: int = 1  # of weights, order, dropout and jitter


def train(options: TrainOptions, settings: ImageSettings) -> None:
    """Train, unless it is done.

    Raises:
        UserError: options that cannot be, files that are missing or do not belong together, or a directory begun with
            other settings.
    """
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: expected 0 or more")
    if not Path(options.data).is_file():
        raise UserError(f"{options.data}: no such file; make it first: local/images_data.py")
    for one in options.teachers:
        if not (Path(one) / LOGITS).is_file():
            raise UserError(f"{one}/{LOGITS}: no such file; train the teacher first: local/images_train.py")
    out = Path(options.out)
    made = {
        "settings": dataclasses.asdict(settings),
        "seed": options.seed,
        "classes": transfer_classes(options.without, options.only),
        "data": digest(options.data),
        "teachers": [digest(Path(one) / LOGITS) for one in options.teachers],
        "mean": options.mean,
    }
    with only_writer(out):
        check_begun(out, made)
        if (out / RECORD).exists():
            print(f"{out}: trained already, {read_json(out / RECORD)['errors']} test errors; again: rm -r {out}")
            return
        write_json(out / "settings.json", made)
        record = _trained(options, settings, made["classes"])
        checkpoints.write_record(out, record)
    print(
        f"{out}: {record['parameters']:,} parameters, {record['errors']} errors on {record['tested']} test images, "
        f"{record['cpu_seconds']:.0f} CPU s"
    )


def _trained(options: TrainOptions, settings: ImageSettings, classes: list[int]) -> dict[str, Any]:
    """Train to the end, or go on with what is in the directory, on the images of some classes; the record of it."""
    torch.set_flush_denormal(True)
    torch.manual_seed(options.seed)
    parts, out = load(options.data), Path(options.out)
    whole = parts["train"]
    kept = torch.isin(whole.labels, torch.tensor(classes))  # (all,)
    if not kept.any():
        raise UserError(f"{options.data}: has no training image of the classes {classes}; choose others")
    soft = teacher_of(options.teachers, options.mean, len(whole.labels))  # (all, C) or None
    model = Classifier(whole.images[0].numel(), settings.hidden, settings.layers, CLASSES, LARGEST)
    own = whole.only(classes)
    loop = Loop(model, settings, own.moving(settings.jitter), own.labels, None if soft is None else soft[kept], out)
    loop.run()
    began = time.process_time()
    # (all, C), (tests, C)
    logits = {part: logits_of(model, parts[part].inputs, len(parts[part].labels)) for part in parts}
    with atomic_write(out / LOGITS, "wb") as stream:
        np.savez(stream, **{part: values.numpy() for part, values in logits.items()})
    torch_files.save(out / MODEL, model.state_dict())
    (out / CHECKPOINT).unlink(missing_ok=True)
    labels = parts["test"].labels
    return {
        "role": options.role,
        "label": options.label or out.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "hidden": settings.hidden,
        "layers": settings.layers,
        "temperature": settings.temperature if options.teachers else None,
        "soft_weight": settings.soft_weight if options.teachers else None,
        "teachers": [Path(one).name for one in options.teachers],
        "classes": classes,
        "images": len(own.labels),
        "seed": options.seed,
        "epochs": settings.epochs,
        "errors": int((logits["test"].argmax(1) != labels).sum()),
        "tested": len(labels),
        "cpu_seconds": round(loop.seconds + time.process_time() - began, 1),
        "git": revision(),
    }


def teacher_of(directories: Sequence[str], mean: str, images: int) -> Tensor | None:
    """What the teachers together expect of each training image: log-probabilities (all, C); None without teachers.

    Raises:
        UserError: a teacher has seen other images.
    """
    if not directories:
        return None
    each = []
    for directory in directories:
        checkpoints.check_known(Path(directory) / LOGITS)
        stored = read_npz(Path(directory) / LOGITS, ["train"], "train the teacher again (local/images_train.py)")[
            "train"
        ]
        if stored.dtype.kind != "f" or stored.ndim != 2:
            raise UserError(f"{directory}/{LOGITS}: holds no logits (images, classes); train the teacher again")
        logits = torch.from_numpy(stored)
        if len(logits) != images:
            raise UserError(f"{directory}: has {len(logits)} training images, --data {images}; train it on --data")
        each.append(torch.log_softmax(logits, -1))
    return combined(torch.stack(each), [1 / len(each)] * len(each), mean)


def transfer_classes(without: Sequence[int], only: Sequence[int]) -> list[int]:
    """The classes that are in the training set, ascending; UserError if there is no such class, or none is left."""
    for number in [*without, *only]:
        if not 0 <= number < CLASSES:
            raise UserError(f"--without, --only: class {number}, expected 0 to {CLASSES - 1}")
    left = [one for one in range(CLASSES) if one not in without and (not only or one in only)]
    if not left:
        raise UserError("--without: leaves no class; leave fewer out")
    return left
