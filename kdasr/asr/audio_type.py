"""`audio_16000`: a type of training data that ESPnet does not have: utterances as data directories cut them.

ESPnet's own `sound` reads whole files alone, without segments, channels, speeds or other rates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from kdasr.asr.inputs import OTHER_RATE
from kdasr.data.cut_lists import read_cuts
from kdasr.data.cuts import Recordings, read_cut
from kdasr.espnet import name

DATA_TYPES = name("espnet2.train.dataset:DATA_TYPES")


class Audio(Mapping[str, np.ndarray]):
    """The samples of utterances, float32 (n,) in [-1, 1], read when they are asked for.

    Args:
        path: of kdasr.data.cut_lists.
        rate: Hz.
    """

    def __init__(self, path: str, rate: int) -> None:
        self.rows, self.rate, self.recordings = read_cuts(Path(path)), rate, Recordings()

    def __getitem__(self, key: str) -> np.ndarray:
        samples = read_cut(self.rows[key], self.recordings, self.rate, OTHER_RATE)  # (n,) int16
        return samples.astype(np.float32) / 32768

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def load(path: str, loader_type: str) -> Audio:
    """What ESPnet calls for a path of type `audio_RATE`."""
    return Audio(path, int(loader_type.removeprefix("audio_")))


def register() -> None:
    """Let ESPnet's trainer know the type."""
    DATA_TYPES["audio_[0-9]+"] = {"func": load, "kwargs": ["loader_type"], "help": "utterances of kdasr.data.cut_lists"}
