"""The training loop of a classifier. Axes: N examples of the transfer set, B of a batch, P inputs, C classes."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from kdasr import torch_files
from kdasr.classify.nets import Classifier
from kdasr.classify.settings import CHECKPOINT, NetSettings
from kdasr.errors import UserError
from kdasr.losses.word import mixed, word_losses

SAVE_SECONDS = 60  # between checkpoints, which are written after an epoch: a disk may take seconds


class Loop:
    """Training as far as it has come: all that a checkpoint holds."""

    def __init__(
        self,
        model: Classifier,
        settings: NetSettings,
        inputs: Callable[[Tensor], Tensor],
        labels: Tensor,
        soft: Tensor | None,
        out: Path,
        judge: Callable[[], float] | None = None,
    ) -> None:
        """Begin, or continue from the checkpoint in `out`.

        Args:
            model: with its first weights.
            settings: of the optimisation.
            inputs: gives (B, P) of the examples of these numbers (B,), as often as it is asked.
            labels: (N,) of the transfer set.
            soft: (N, C) the teacher's log-probabilities at a temperature of one; None: learn from the labels.
            out: model directory.
            judge: gives the model's quality after each epoch; the best weights are kept. None: the last are.
        """
        self.model, self.settings, self.out = model, settings, out
        self.inputs, self.labels, self.soft, self.judge = inputs, labels, soft, judge
        # fused: one pass over the weights, a fourth of the time
        self.optimizer = torch.optim.Adam(model.parameters(), settings.rate, betas=(0.9, 0.99), fused=True)
        self.epoch, self.seconds = 0, 0.0
        self.best: tuple[int, float, dict[str, Tensor]] | None = None  # epoch, what the judge gave, weights
        if (out / CHECKPOINT).exists():
            self.load(torch_files.resume(out / CHECKPOINT, {"model", "epoch", "random"}))

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
                shown = f"epoch {self.epoch}, loss {summed / batches:.4f}"
                if self.judge is not None:
                    shown += f", judged {self.judged():.4f}"
                bar.set_postfix_str(shown)
                if time.monotonic() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
        if self.best is not None:
            self.model.load_state_dict(self.best[2])
        self.model.eval()

    def judged(self) -> float:
        """The judge's value for the model as it is; the weights are kept if it is the best so far."""
        began = time.process_time()
        assert self.judge is not None
        value = self.judge()
        if self.best is None or value > self.best[1]:
            self.best = self.epoch, value, copy.deepcopy(self.model.state_dict())
        self.seconds += time.process_time() - began
        return value

    def set_rate(self, done: float) -> None:
        """The rate after that share of the updates."""
        warmup = self.settings.warmup
        share = done / warmup if done < warmup else (1 - done) / (1 - warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * max(share, 0.01)

    def update(self, chosen: Tensor) -> float:
        """Learn from the examples `chosen` (B,); their loss."""
        settings = self.settings
        logits = self.model(self.inputs(chosen), settings.drop_input, settings.drop_hidden)  # (B, C)
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
            "best": self.best,
        }
        torch_files.save(self.out / CHECKPOINT, kept)

    def load(self, kept: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.epoch, self.seconds, self.best = kept["epoch"], kept["seconds"], kept["best"]
        torch.set_rng_state(kept["random"])
