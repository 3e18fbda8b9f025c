"""What a framewise acoustic model is and how it learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdasr.classify.settings import RANGES, NetSettings
from kdasr.settings import read


@dataclass(frozen=True)
class FrameSettings(NetSettings):
    """A configuration; temperature and weight as in Hinton et al. 2015, section 4: 1 to 0.5 of the labels."""

    hidden: int = 512
    layers: int = 4
    epochs: int = 10
    batch: int = 256
    temperature: float = 2.0
    soft_weight: float = 0.667


def read_settings(path: str | Path | None, changes: list[str]) -> FrameSettings:
    """Settings of a file, with `NAME=VALUE` over them; UserError as kdasr.settings.read."""
    return read(FrameSettings, path, changes, "conf/ of egs/an4", RANGES)
