"""Predictions of a framewise acoustic model, or of several together, for each frame.

Writes log_probs.npy, float16 (N, C), in the order of the set's frames, and predict.json with the share of frames whose
most probable state is the alignment's. Several models are combined by the arithmetic or the geometric mean of their
distributions (Hinton et al. 2015, section 2). A decoder reads them, and a distilled model learns from them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from kdasr import checkpoints
from kdasr.arrays import read_npy
from kdasr.classify.nets import Classifier
from kdasr.classify.settings import MODEL, RECORD
from kdasr.classify.specialists import trained
from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, write_json
from kdasr.frames.data import Frames, batches, identity, load
from kdasr.losses.ensemble import combined
from kdasr.settings import check_begun
from kdasr.shards import digest

LOG_PROBS, ABOUT = "log_probs.npy", "predict.json"


def predict(models: Sequence[str], data: str | Path, out: str | Path, mean: str = "arithmetic") -> None:
    """Predict, unless it is done.

    Args:
        models: directories of framewise models.
        data: frames (kdasr frames data).
        out: directory to write.
        mean: of several models, one of kdasr.losses.MEANS.

    Raises:
        UserError: a model or the frames are missing or do not belong together, or `out` was begun with others.
    """
    for one in models:
        if not (Path(one) / RECORD).is_file():
            raise UserError(f"{one}/{RECORD}: no such file; train the model first: kdasr frames train")
    out = Path(out)
    made = {
        "models": [digest(Path(one) / MODEL) for one in models],
        "mean": mean,
        "data": identity(data),
    }
    with only_writer(out):
        check_begun(out, made)
        if not (out / ABOUT).exists():
            write_json(out / "settings.json", made)
            about = {**_predicted(models, data, out, mean), "of_data": made["data"]}
            write_json(out / ABOUT, {**about, "sha256": checkpoints.checksums(out, [LOG_PROBS])})
    about = read_json(out / ABOUT)
    print(f"{out}: {about['accuracy']:.2f} % of {about['frames']} frames right")


def _predicted(directories: Sequence[str], data: str | Path, out: Path, mean: str) -> dict[str, Any]:
    """Write log_probs.npy, whole or not at all; what predict.json says of it."""
    torch.set_flush_denormal(True)
    began = time.process_time()
    frames = load(data)
    models = [fitting(one, data, frames) for one in directories]
    count, right, first = len(frames.labels), 0, 0
    part = out / f"{LOG_PROBS}.part"
    stored = np.lib.format.open_memmap(part, "w+", np.float16, (count, len(frames.states)))
    bar = tqdm(total=count, unit="frame", desc=out.name, disable=None)
    for inputs, labels in batches(frames):
        logp = torch.stack([torch.log_softmax(model(inputs), 1) for model in models])  # (M, B, C)
        told = combined(logp, [1 / len(models)] * len(models), mean)  # (B, C)
        stored[first : first + len(labels)] = told.numpy()
        right += int((told.argmax(1) == labels).sum())
        first += len(labels)
        bar.update(len(labels))
    bar.close()
    stored.flush()
    part.replace(out / LOG_PROBS)
    return {
        "models": [Path(one).name for one in directories],
        "mean": mean,
        "data": Path(data).name,
        "frames": count,
        "right": right,
        "accuracy": round(100 * right / count, 3),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def fitting(directory: str | Path, data: str | Path, frames: Frames) -> Classifier:
    """The network of a model directory; UserError if it is made for other frames."""
    about, weights = trained(directory)
    takes = weights["layers.0.weight"].size(1), weights[f"layers.{about['layers']}.bias"].numel()
    there = frames.inputs(torch.tensor([0])).size(1), len(frames.states)
    if takes != there:
        raise UserError(
            f"{directory}: takes {takes[0]} values a frame and tells {takes[1]} states apart, {data} has {there[0]} "
            f"and {there[1]}; make that with --like of what the model was trained on"
        )
    model = Classifier(takes[0], about["hidden"], about["layers"], takes[1])
    model.load_state_dict(weights)
    return model.eval()


def of_data(predictions: str | Path, data: str | Path) -> dict[str, Any]:
    """predict.json, with a `name` for the predictions; UserError if they are absent, or not of that data."""
    path = Path(predictions) / ABOUT
    if not path.is_file():
        raise UserError(f"{path}: no such file; predict first: kdasr frames predict --data {data}")
    about = read_json(path)
    if about["of_data"] != identity(data):
        raise UserError(f"{predictions}: are predictions of {about['data']} as it was or of another set, not of {data}")
    return {**about, "name": digest(Path(predictions) / "settings.json")}


def load_predictions(predictions: str | Path) -> Tensor:
    """Log-probabilities (N, C), float16."""
    return torch.from_numpy(checked(predictions))


def checked(predictions: str | Path, mapped: bool = False) -> np.ndarray:
    """Log-probabilities (N, C), float16; UserError if they were changed since they were written."""
    remedy = f"remove {predictions} and predict again (kdasr frames predict)"
    checkpoints.compare(predictions, read_json(Path(predictions) / ABOUT).get("sha256"), remedy)
    return read_npy(Path(predictions) / LOG_PROBS, remedy, mapped)
