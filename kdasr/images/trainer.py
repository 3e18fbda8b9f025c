"""The training loop of `kdasr images train`. Axes: N images of the transfer set, B of a batch, P pixels, C classes."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.images.data import Images, load
from kdasr.images.nets import Classifier, logits_of, shifts
from kdasr.images.settings import ImageSettings
from kdasr.images.train import CHECKPOINT, LOGITS, MODEL
from kdasr.losses.ensemble import combined
from kdasr.losses.word import mixed, word_losses

SAVE_SECONDS = 60  # between checkpoints, which are written after an epoch: a disk may take seconds


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
    model = Classifier(whole.images[0].numel(), settings.hidden, settings.layers)
    loop = Loop(model, settings, whole.only(classes), None if soft is None else soft[kept], out)
    loop.run()
    began = time.process_time()
    logits = {part: logits_of(model, parts[part].images) for part in parts}  # (all, C), (tests, C)
    with atomic_write(out / LOGITS, "wb") as stream:
        np.savez(stream, **{part: values.numpy() for part, values in logits.items()})
    write(out / MODEL, model.state_dict())
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
        "images": len(loop.labels),
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
        with np.load(Path(directory) / LOGITS) as stored:
            logits = torch.from_numpy(stored["train"])
        if len(logits) != images:
            raise UserError(f"{directory}: has {len(logits)} training images, --data {images}; train it on --data")
        each.append(torch.log_softmax(logits, -1))
    return combined(torch.stack(each), [1 / len(each)] * len(each), mean)


class Loop:
    """Training as far as it has come: all that a checkpoint holds."""

    def __init__(
        self, model: Classifier, settings: ImageSettings, data: Images, soft: Tensor | None, out: Path
    ) -> None:
        """Begin, or take up the checkpoint in `out`.

        Args:
            model: with its first weights.
            settings: of the optimisation.
            data: the transfer set.
            soft: (N, C) the teacher's log-probabilities at a temperature of one; None: learn from the labels.
            out: model directory.
        """
        self.model, self.settings, self.out = model, settings, out
        self.labels, self.soft = data.labels, soft
        self.moved = shifts(data.images, settings.jitter)  # (N, 2 jitter + 1, 2 jitter + 1, H, W)
        # fused: one pass over the weights, a fourth of the time
        self.optimizer = torch.optim.Adam(model.parameters(), settings.rate, betas=(0.9, 0.99), fused=True)
        self.epoch, self.seconds = 0, 0.0
        if (out / CHECKPOINT).exists():
            self.load(torch.load(out / CHECKPOINT, weights_only=True))

    def run(self) -> None:
        """Train until the last epoch."""
        batches = math.ceil(len(self.labels) / self.settings.batch)
        total = self.settings.epochs * batches
        with tqdm(total=total, initial=self.epoch * batches, unit="batch", desc=self.out.name, disable=None) as bar:
            saved = time.monotonic()
            while self.epoch < self.settings.epochs:
                began = time.process_time()
                summed = 0.0
                for place, chosen in enumerate(torch.randperm(len(self.labels)).tensor_split(batches)):
                    self.set_rate((self.epoch * batches + place) / total)
                    summed += self.update(chosen)
                    bar.update()
                self.epoch += 1
                self.seconds += time.process_time() - began
                bar.set_postfix_str(f"epoch {self.epoch}, loss {summed / batches:.4f}")
                if time.monotonic() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
        self.model.eval()

    def set_rate(self, done: float) -> None:
        """The rate after that share of the updates."""
        warmup = self.settings.warmup
        share = done / warmup if done < warmup else (1 - done) / (1 - warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * max(share, 0.01)

    def update(self, chosen: Tensor) -> float:
        """Learn from the images `chosen` (B,); their loss."""
        settings = self.settings
        down, right = torch.randint(0, 2 * settings.jitter + 1, (2, len(chosen)))
        images = self.moved[chosen, down, right].flatten(1)  # (B, P)
        logits = self.model(images, settings.drop_input, settings.drop_hidden)  # (B, C)
        loss = F.cross_entropy(logits, self.labels[chosen])
        if self.soft is not None:
            soft = word_losses(logits, None, self.soft[chosen], settings.temperature).mean()
            loss = mixed(loss, soft, settings.soft_weight)
        if not math.isfinite(value := loss.item()):
            raise UserError(
                f"{self.out}: the loss is {value} in epoch {self.epoch + 1}; train with a lower rate "
                f"(--set rate={settings.rate / 2:g}) in another directory"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        if settings.max_norm:
            self.model.bound(settings.max_norm)
        return value

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        kept = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "seconds": self.seconds,
            "random": torch.get_rng_state(),
        }
        write(self.out / CHECKPOINT, kept)

    def load(self, kept: dict[str, Any]) -> None:
        """Take up a checkpoint."""
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.epoch, self.seconds = kept["epoch"], kept["seconds"]
        torch.set_rng_state(kept["random"])


def write(path: Path, value: dict[str, Any]) -> None:
    """torch.save, whole or not at all."""
    with atomic_write(path, "wb") as stream:
        torch.save(value, stream)
