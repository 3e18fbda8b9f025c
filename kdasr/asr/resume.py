"""Repair what a kill between two files of ESPnet's trainer leaves.

At the end of an epoch the trainer writes checkpoint.pth, then the epoch's weights as Nepoch.pth, then links to
the latest and the best epoch. Killed after the first of these, it would continue with the next epoch, and miss the
file when it averages the best epochs at the end.
"""

from __future__ import annotations

from pathlib import Path

import torch

from kdasr import checkpoints, torch_files
from kdasr.asr.worker import whole
from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.files import read_yaml


def repair(out: Path) -> None:
    """Write what belongs to checkpoint.pth and is missing: its epoch's weights, and the links to them.

    Args:
        out: directory of a training run; one that has no checkpoint yet is left alone.
    """
    if not (out / "checkpoint.pth").is_file():
        return
    checkpoints.check_noted(out / "checkpoint.pth")
    states = torch_files.load(out / "checkpoint.pth")
    reporter = name("espnet2.train.reporter:Reporter")()
    try:
        reporter.load_state_dict(states["reporter"])
        best = read_yaml(out / "config.yaml")["best_model_criterion"]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UserError(
            f"{out}: its checkpoint.pth or config.yaml is not of an ESPnet training; remove {out} and train again"
        ) from None
    file = f"{reporter.get_epoch()}epoch.pth"
    if not (out / file).is_file():
        whole(torch.save)(states["model"], out / file)
    links = {"latest.pth": file}
    for phase, key, mode in best:
        if reporter.has(phase, key):
            links[f"{phase}.{key}.best.pth"] = f"{reporter.get_best_epoch(phase, key, mode)}epoch.pth"
    for link, target in links.items():
        if not (out / link).is_symlink() or (out / link).readlink() != Path(target):
            (out / link).unlink(missing_ok=True)
            (out / link).symlink_to(target)
