"""Making good what a kill between two files of ESPnet's trainer leaves.

At the end of an epoch the trainer writes checkpoint.pth, then the epoch's weights as Nepoch.pth, then links to
the latest and the best epoch. Killed after the first of these, it would go on with the next epoch, and miss the
file when it averages the best epochs at the end.
"""

from __future__ import annotations

from pathlib import Path

from kdasr import checkpoints
from kdasr.errors import UserError
from kdasr.files import read_yaml


def mend(out: Path) -> None:
    """Write what belongs to checkpoint.pth and is not there: its epoch's weights, and the links to them.

    Args:
        out: directory of a training run; one that has no checkpoint yet is left alone.
    """
    import torch
    from espnet2.train.reporter import Reporter

    from kdasr.asr.worker import whole

    if not (out / "checkpoint.pth").is_file():
        return
    checkpoints.check_noted(out / "checkpoint.pth")
    states = checkpoints.load(out / "checkpoint.pth")
    reporter = Reporter()
    try:
        reporter.load_state_dict(states["reporter"])
        best = read_yaml(out / "config.yaml")["best_model_criterion"]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UserError(
            f"{out}: its checkpoint.pth or config.yaml is not of a training of ESPnet's; remove {out} and train again"
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
