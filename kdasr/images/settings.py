"""What a classifier of images is and how it learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdasr.classify import settings


@dataclass(frozen=True)
class ImageSettings(settings.NetSettings):
    """A configuration."""

    jitter: int = 0  # pixels by which an image is moved at most, in each direction


def read_settings(path: str | Path | None, changes: list[str]) -> ImageSettings:
    """Settings of a file, with `NAME=VALUE` over them; UserError as kdasr.classify.settings.read_settings."""
    return settings.read_settings(ImageSettings, path, changes, "conf/ of egs/mnist")
