"""What a classifier of images is and how it learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdasr.classify.settings import RANGES, NetSettings
from kdasr.settings import NOT_NEGATIVE, read


@dataclass(frozen=True)
class ImageSettings(NetSettings):
    """A configuration."""

    jitter: int = 0  # pixels by which an image is moved at most, in each direction


def read_settings(path: str | Path | None, changes: list[str]) -> ImageSettings:
    """Settings of a file, with `NAME=VALUE` over them; UserError as kdasr.settings.read."""
    return read(ImageSettings, path, changes, "conf/ of egs/mnist", RANGES | {"jitter": NOT_NEGATIVE})
