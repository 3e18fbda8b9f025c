"""torch's files: read without running what they hold, written whole, and compared with their checksums."""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.serialization  # by its own name, as a training replaces torch.load

from kdasr.checkpoints import check_noted, note
from kdasr.errors import UserError
from kdasr.files import atomic_write


def load(path: str | Path, what: str = "checkpoint", device: Any = "cpu") -> Any:
    """The tensors and plain values of a file that torch.save wrote; it cannot run anything.

    Args:
        path: of the file.
        what: it should be, for the message.
        device: where the tensors go.

    Raises:
        UserError: it is not there, is no such file, is damaged, or holds objects of other kinds.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; train the model first, or name its directory")
    try:
        with torch.serialization.safe_globals(_values()):
            return torch.serialization.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" not in str(error) and "GLOBAL" not in str(error):
            raise UserError(f"{path}: is no {what}, or is damaged; copy it again from where it was made") from None
        raise UserError(
            f"{path}: holds objects that are no tensors, which could run a program when they are made; save its "
            "weights alone (torch.save(model.state_dict(), ...))"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy it again") from None
    except Exception as error:  # torch raises a dozen kinds of errors for damaged files
        kind = type(error).__name__
        raise UserError(f"{path}: is no {what}, or is damaged ({kind}); copy it again from where it was made") from None


def _values() -> list[Any]:
    """Further classes that a checkpoint may hold: ESPnet's reporter keeps numpy's numbers, and times."""
    kinds = ("Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt32", "UInt64", "Float16", "Float32", "Float64")
    numbers = [getattr(np.dtypes, f"{kind}DType") for kind in kinds]
    return [np._core.multiarray.scalar, np.dtype, *numbers, datetime.timedelta]


def load_weights(path: str | Path, device: Any = "cpu") -> dict[str, Any]:
    """A model's weights, a tensor by name; raises as `load`, or if the file holds something else."""
    weights = load(path, device=device)
    if (
        not isinstance(weights, dict)
        or not weights
        or not all(isinstance(one, torch.Tensor) for one in weights.values())
    ):
        raise UserError(f"{path}: holds no model's weights (a name and a tensor each); name another checkpoint")
    return weights


def write(path: str | Path, value: Any) -> None:
    """torch.save, whole or not at all."""
    with atomic_write(path, "wb") as stream:
        torch.save(value, stream)


def save(path: Path, value: dict[str, Any]) -> None:
    """torch.save of a training's checkpoint, whole or not at all; its checksum is noted."""
    with atomic_write(path, "wb") as stream:
        torch.save(value, stream)
        stream.flush()
        note(path, stream.name)


def resume(path: Path, keys: Set[str], device: Any = "cpu") -> dict[str, Any]:
    """The checkpoint that a training continues from, as `save` wrote it.

    Args:
        path: of the file.
        keys: what it has to hold.
        device: where the tensors go.

    Raises:
        UserError: it is damaged, was changed, or is something else.
    """
    check_noted(path)
    kept = load(path, device=device)
    if not isinstance(kept, dict) or not keys <= kept.keys():
        raise UserError(f"{path}: is not the checkpoint of a training; remove {path.parent} and train again")
    return kept
