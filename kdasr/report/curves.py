"""What ESPnet's trainer says after each epoch, for the training curves."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from kdasr import checkpoints
from kdasr.errors import UserError

RESULTS = re.compile(r"INFO: ([0-9]{1,9})epoch results: (.*)")
VALUE = re.compile(r"(\w+)=([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|nan|inf)\b")
LARGEST = 1e15  # pictures have no room for more
SHOWN = {  # phase and key: (title, what it is)
    ("valid", "acc"): (
        "validation accuracy",
        "tokens guessed rightly after the true ones before them",
    ),
    ("valid", "loss"): ("validation loss", "on references, a mean over batches: the same measure for all systems"),
    ("train", "loss"): ("training loss", "each system's own objective: compare its shape, not its height"),
}


@dataclass
class Curve:
    """One training run: a list of (update or epoch, value) for each (phase, key)."""

    points: dict[tuple[str, str], list[tuple[float, float]]] = field(default_factory=dict)


def read(directory: Path) -> Curve:
    """The curves of a model directory, from log/train.log.

    The log of a training that was killed begins with the epoch it went on with; the earlier ones are then taken
    from checkpoint.pth, if it is there and torch can read it.
    """
    epochs = from_log(directory / "log" / "train.log")
    if (epochs and min(epochs) > 1) or not epochs:
        epochs = from_checkpoint(directory / "checkpoint.pth") | epochs
    curve = Curve()
    for epoch, values in sorted(epochs.items()):
        at = values.get(("train", "total_count"), float(epoch))
        for key in SHOWN:
            if key in values and abs(at) < LARGEST and abs(values[key]) < LARGEST:  # which nan is not, either
                curve.points.setdefault(key, []).append((at, values[key]))
    return curve


def from_log(path: Path) -> dict[int, dict[tuple[str, str], float]]:
    """{epoch: {(phase, key): value}}; the later line counts where an epoch stands twice."""
    if not path.is_file():
        return {}
    epochs: dict[int, dict[tuple[str, str], float]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = RESULTS.search(line)
        if not match:
            continue
        values = epochs[int(match[1])] = {}
        for part in re.split(r"(?=\[(?:train|valid)\])", match[2]):
            phase = part[1:6]
            for key, value in VALUE.findall(part[7:]):
                values[phase, key] = float(value)
    return epochs


def from_checkpoint(path: Path) -> dict[int, dict[tuple[str, str], float]]:
    """The same, from the reporter in ESPnet's checkpoint; nothing where there is none, or no torch.

    One that is damaged is said to be left out: a picture may lack a line, and a report is worth more than that.
    """
    if not path.is_file():
        return {}
    try:
        checkpoints.check_known(path)
        from kdasr import torch_files  # torch, for models that have no log any more

        stats: dict[int, Any] = torch_files.load(path)["reporter"]["stats"]
        return {
            int(epoch): {
                (phase, key): float(value)
                for phase, values in phases.items()
                for key, value in values.items()
                if not isinstance(value, timedelta)
            }
            for epoch, phases in stats.items()
        }
    except ImportError:
        return {}
    except Exception as error:  # anything may lie in a whole file
        said = str(error) if isinstance(error, UserError) else type(error).__name__
        print(f"{path}: cannot be read ({said}); the epochs that it tells of are in no picture", file=sys.stderr)
        return {}
