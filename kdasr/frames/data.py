"""The frames of a set as kdasr.frames.prepare has written them: inputs and labels of a framewise acoustic model.

Inputs are windows, which are not stored: they are cut out of the features when they are asked for.

| axis | meaning |
|---|---|
| N | frames of all utterances |
| M | rows of features.npy: N, and `left` and `right` repeated frames at the borders of each utterance |
| W | frames of a window |
| F | bins |
| B | frames in a batch |
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdasr import checkpoints
from kdasr.arrays import read_npy
from kdasr.errors import UserError
from kdasr.files import read_table
from kdasr.frames.prepare import FEATURES, LABELS, RECORD, STARTS, record_of
from kdasr.frames.states import States
from kdasr.shards import digest

READ = 10_000  # frames read together where the network is not trained


@dataclass(frozen=True)
class Frames:
    """Frames of utterances, one after the other, and their labels.

    Attributes:
        features: (M, F) float16, of the whole directory, on disk.
        starts: (N,) int64, the row of features at which each frame's window begins.
        labels: (N,) int64, states.
        names: of the utterances.
        sizes: frames of each utterance.
        states: what the labels mean.
        counts: training frames of each state; those of the --like set, if there was one.
        tokens: the aligned tokens of each utterance.
        skipped: utterances without frames here, as they were too short to be aligned.
        left, right: frames of a window before and after the one that is labelled.
    """

    features: np.ndarray
    starts: np.ndarray
    labels: Tensor
    names: list[str]
    sizes: list[int]
    states: States
    counts: list[int]
    tokens: dict[str, list[str]]
    skipped: list[str]
    left: int
    right: int

    @functools.cached_property
    def _windows(self) -> np.ndarray:
        """Views (M - W + 1, W F) of the windows that begin at each row."""
        bins = self.features.shape[1]
        length = (self.left + 1 + self.right) * bins
        return np.lib.stride_tricks.sliding_window_view(self.features.reshape(-1), length)[::bins]

    def inputs(self, chosen: Tensor) -> Tensor:
        """The windows (B, W F) float32 of some frames (B,), oldest frame first."""
        return torch.from_numpy(self._windows[self.starts[chosen.cpu().numpy()]]).float()

    def only(self, share: float, seed: int) -> Frames:
        """Whole utterances in random order until they have a share (0 to 1) of the frames; at least one.

        States, normalisation and counts stay as they are, and so does the order of the utterances that are left.
        """
        enough, kept, frames = share * len(self.starts), [], 0
        for number in np.random.default_rng(seed).permutation(len(self.sizes)).tolist():
            kept.append(number)
            frames += self.sizes[number]
            if frames >= enough:
                break
        kept.sort()
        begins = np.cumsum([0, *self.sizes])
        rows = np.concatenate([np.arange(begins[number], begins[number + 1]) for number in kept])
        names = [self.names[number] for number in kept]
        return replace(
            self,
            starts=self.starts[rows],
            labels=self.labels[torch.from_numpy(rows)],
            names=names,
            sizes=[self.sizes[number] for number in kept],
            tokens={name: self.tokens[name] for name in names},
        )


def load(directory: str | Path) -> Frames:
    """What `kdasr frames data` wrote; UserError if it is absent or something else."""
    directory = Path(directory)
    about = record_of(directory)
    remedy = f"remove {directory} and make it again (kdasr frames data)"
    if not {"states", "counts", "left", "right", "skipped"} <= about.keys():
        raise UserError(f"{directory / RECORD}: not what kdasr frames data writes; {remedy}")
    checkpoints.compare(directory, about.get("sha256"), remedy)
    features = read_npy(directory / FEATURES, remedy, mapped=True)  # (M, F)
    starts, labels = (read_npy(directory / name, remedy) for name in (STARTS, LABELS))  # (N,)
    try:
        sizes = {name: int(size) for name, size in read_table(directory / "utterances").items()}
        tokens = {name: line.split(" ") if line else [] for name, line in _tokens(directory).items()}
        states, counts, left, right = (about[key] for key in ("states", "counts", "left", "right"))
        if not len(starts) == len(labels) == sum(sizes.values()) or list(tokens) != list(sizes):
            raise ValueError("its files do not belong together")
        if len(features) != len(starts) + len(sizes) * (left + right):
            raise ValueError(f"{FEATURES} is not of these utterances")
        return Frames(
            features=features,
            starts=starts,
            labels=torch.from_numpy(labels).long(),
            names=list(sizes),
            sizes=list(sizes.values()),
            states=States.from_dict(states),
            counts=counts,
            tokens=tokens,
            skipped=about["skipped"],
            left=left,
            right=right,
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"{directory}: not what kdasr frames data writes ({error}); make it again") from None


def identity(directory: str | Path) -> str:
    """Sixteen hex digits that name what `kdasr frames data` wrote; UserError if it is absent."""
    record_of(Path(directory))
    return digest(Path(directory) / RECORD)


def batches(frames: Frames) -> Iterator[tuple[Tensor, Tensor]]:
    """All frames in order, (B, P) and their labels (B,), for prediction."""
    with torch.inference_mode():
        for chosen in torch.arange(len(frames.labels)).split(READ):
            yield frames.inputs(chosen), frames.labels[chosen]


def _tokens(directory: Path) -> dict[str, str]:
    return read_table(directory / "tokens", empty=True)
