"""Which files are there: the questions that a plan asks."""

from __future__ import annotations

from pathlib import Path

from kdasr.errors import UserError


def has_text(path: str) -> bool:
    """Whether a file is there and not empty."""
    return bool(path) and Path(path).is_file() and Path(path).stat().st_size > 0


def need_config(option: str, path: str) -> None:
    """UserError where a configuration is not there."""
    if not Path(path).is_file():
        raise UserError(f"--{option} {path}: no such file; there are: {' '.join(found('conf', '*.yaml'))}")


def need_model(directory: str) -> None:
    """UserError where --teacher_dir is a directory that is no model."""
    if not Path(directory, "config.yaml").is_file():
        raise UserError(f"--teacher_dir {directory}: no config.yaml there; expected an ESPnet ASR model's directory")


def found(folder: str, pattern: str) -> list[str]:
    """Paths in a folder that a pattern fits, sorted."""
    return sorted(str(path) for path in Path(folder).glob(pattern))
