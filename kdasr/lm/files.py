"""Files of a language model's directory, and the names of what a model is made from."""

from __future__ import annotations

from pathlib import Path

from kdasr.errors import UserError
from kdasr.shards import digest

CHECKPOINT, MODEL, RECORD = "checkpoint.pth", "valid.loss.best.pth", "kdasr.json"


def model_name(directory: str | Path) -> str:
    """Sixteen hex digits that name a trained language model's weights; UserError if there is none."""
    return named(Path(directory) / MODEL, "train a language model there: kdasr lm train")


def named(path: str | Path, remedy: str) -> str:
    """Sixteen hex digits that name the bytes of a file; UserError if there is none."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; {remedy}")
    return digest(path)
