"""The training loop of a language model. Axes: B streams, L words of each."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from kdasr import torch_files
from kdasr.errors import UserError
from kdasr.lm.files import CHECKPOINT, MODEL
from kdasr.lm.perplexity import perplexity
from kdasr.lm.piece import OnlineTeachers, backward
from kdasr.lm.settings import LmSettings
from kdasr.lm.soft import StoredTeacher
from kdasr.lm.text import streams
from kdasr.networks.awd import AwdLstm

SHORTEST, LONGEST, SPREAD, HALVED = 5, 10, 5.0, 0.05  # of a piece: least words, most above `steps`, deviation, share
VALID_STREAMS = 10  # the text is read in so many, each from its own beginning


class Loop:
    """Training as far as it has come: all that a checkpoint holds."""

    def __init__(
        self,
        model: AwdLstm,
        settings: LmSettings,
        ids: np.ndarray,
        teacher: OnlineTeachers | StoredTeacher | None,
        out: Path,
        save_minutes: float = math.inf,
    ) -> None:
        """Begin, or continue from the checkpoint in `out`.

        Args:
            model: with its first weights, on its device.
            settings: of the optimisation.
            ids: (tokens,) of the training text.
            teacher: what it learns from besides.
            out: model directory.
            save_minutes: between checkpoints within an epoch.
        """
        self.model, self.settings, self.teacher, self.out = model, settings, teacher, out
        self.save_seconds = 60 * save_minutes
        self.device = model.out.bias.device
        end = model.embed.num_embeddings - 1
        whole = len(ids) - len(ids) % settings.streams  # what is left over is dropped
        sides = streams(ids[:whole], settings.streams, end)
        self.words, self.target = map(torch.from_numpy, sides)  # (B, L) each
        self.optimizer = torch.optim.SGD(model.parameters(), settings.rate, weight_decay=settings.weight_decay)
        self.average: AveragedModel | None = None if settings.patience else AveragedModel(model)
        self.epoch = self.position = 0
        self.history: list[float] = []  # validation perplexity of each epoch
        self.sums = [0.0, 0.0]  # loss and -log P of the epoch's tokens
        self.seconds = 0.0
        self.restart()
        if (out / CHECKPOINT).exists():
            keys = {"model", "average", "epoch", "position", "random"}
            self.load(torch_files.resume(out / CHECKPOINT, keys, self.device))

    def restart(self) -> None:
        """Go to the beginning of the text."""
        self.position, self.sums = 0, [0.0, 0.0]
        self.state = self.model.zero(len(self.words))
        if isinstance(self.teacher, OnlineTeachers):
            self.teacher.restart(len(self.words))

    def run(self, valid: np.ndarray, log: TextIO) -> None:
        """Train until the last epoch, or until averaging has not helped for `stop` epochs."""
        length = self.words.size(1)
        with tqdm(total=self.settings.epochs * length, unit="words", unit_scale=len(self.words), disable=None) as bar:
            bar.update(self.epoch * length + self.position)
            while not self.done():
                saved = time.monotonic()
                while self.position < length:
                    began = time.process_time()
                    bar.update(self.piece())
                    self.seconds += time.process_time() - began
                    if time.monotonic() - saved > self.save_seconds:
                        self.save()
                        saved = time.monotonic()
                log.write(self.end_epoch(valid) + "\n")
                log.flush()
                bar.set_postfix_str(f"epoch {self.epoch}, validation perplexity {self.history[-1]:.2f}")

    def done(self) -> bool:
        """Whether nothing is left to do."""
        settings, history = self.settings, self.history
        if self.epoch >= settings.epochs:
            return True
        waited = len(history) - 1 - history.index(min(history)) if history else 0
        return bool(settings.stop and self.average is not None and waited >= settings.stop)

    def piece(self) -> int:
        """Learn from the next piece; how long it was."""
        settings = self.settings
        mean = settings.steps if torch.rand(()) >= HALVED else settings.steps / 2
        drawn = int(mean + SPREAD * torch.randn(()))
        length = min(max(SHORTEST, drawn), settings.steps + LONGEST, self.words.size(1) - self.position)
        words, target = (
            part[:, self.position : self.position + length].to(self.device) for part in (self.words, self.target)
        )
        self.model.train()
        if self.teacher is not None:
            self.teacher.read(words, self.position, self.words.size(1))
        loss, nll, self.state = backward(self.model, words, target, self.state, settings, self.teacher)
        if not math.isfinite(loss):
            raise UserError(
                f"{self.out}: the loss is {loss} in epoch {self.epoch + 1}; train with a lower rate "
                f"(--set rate={settings.rate / 2:g}) in another directory"
            )
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.param_groups[0]["lr"] = settings.rate * length / settings.steps
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.position += length
        self.sums = [self.sums[0] + loss * length, self.sums[1] + nll * length]
        return length

    def end_epoch(self, valid: np.ndarray) -> str:
        """Validate, keep the best model, decide on averaging, write a checkpoint; a line for the log."""
        network = self.model if self.average is None else self.average.module
        network.eval()
        ppl = perplexity([network], valid, VALID_STREAMS, progress=False).ppl
        if not self.history or ppl < min(self.history):
            torch_files.save(self.out / MODEL, {f"lm.{name}": value for name, value in network.state_dict().items()})
        before = self.history[: max(0, len(self.history) - self.settings.patience)]
        averaged = self.average is not None
        self.history.append(ppl)
        self.epoch += 1
        if not averaged and ((before and ppl > min(before)) or self.epoch == self.settings.average_after):
            self.average = AveragedModel(self.model)
        loss, nll = (total / self.position for total in self.sums)
        self.restart()
        self.save()
        return (
            f"epoch {self.epoch}: loss {loss:.4f}, training perplexity {math.exp(nll):.2f}, validation perplexity "
            f"{ppl:.2f}{', averaged' if averaged else ''}, {self.seconds:.0f} CPU s"
        )

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        kept = {
            "model": self.model.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "epoch": self.epoch,
            "position": self.position,
            "history": self.history,
            "sums": self.sums,
            "seconds": self.seconds,
            "state": self.state,
            "teachers": self.teacher.states if isinstance(self.teacher, OnlineTeachers) else None,
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }
        torch_files.save(self.out / CHECKPOINT, kept)

    def load(self, kept: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.model.load_state_dict(kept["model"])
        if kept["average"] is not None:
            self.average = AveragedModel(self.model)
            self.average.load_state_dict(kept["average"])
        self.epoch, self.position, self.seconds = kept["epoch"], kept["position"], kept["seconds"]
        self.history, self.sums, self.state = kept["history"], kept["sums"], kept["state"]
        if isinstance(self.teacher, OnlineTeachers):
            self.teacher.states = kept["teachers"]
        torch.set_rng_state(kept["random"].cpu())
        if kept["cuda"] is not None:
            torch.cuda.set_rng_state(kept["cuda"].cpu(), self.device)
