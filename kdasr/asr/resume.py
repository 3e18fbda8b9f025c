"""Making good what a kill between two files of ESPnet's trainer leaves.

At the end of an epoch the trainer writes checkpoint.pth, then the epoch's weights as Nepoch.pth, then links to
the latest and the best epoch. Killed after the first of these, it would go on with the next epoch, and miss the
file when it averages the best epochs at the end.
"""

from __future__ import annotations

from pathlib import Path


def mend(out: Path) -> None:
    """Write what belongs to checkpoint.pth and is not there: its epoch's weights, and the links to them.

    Args:
        out: directory of a training run; one that has no checkpoint yet is left alone.
    """
    import torch
    import yaml
    from espnet2.train.reporter import Reporter

    from kdasr.asr.worker import whole

    if not (out / "checkpoint.pth").is_file():
        return
    states = torch.load(out / "checkpoint.pth", map_location="cpu", weights_only=False)
    reporter = Reporter()
    reporter.load_state_dict(states["reporter"])
    file = f"{reporter.get_epoch()}epoch.pth"
    if not (out / file).is_file():
        whole(torch.save)(states["model"], out / file)
    links = {"latest.pth": file}
    for phase, key, mode in yaml.safe_load((out / "config.yaml").read_text(encoding="utf-8"))["best_model_criterion"]:
        if reporter.has(phase, key):
            links[f"{phase}.{key}.best.pth"] = f"{reporter.get_best_epoch(phase, key, mode)}epoch.pth"
    for link, target in links.items():
        if not (out / link).is_symlink() or (out / link).readlink() != Path(target):
            (out / link).unlink(missing_ok=True)
            (out / link).symlink_to(target)
