"""`kdasr frames train`: a framewise acoustic model that learns from an alignment, or from predictions as well.

The loss on predictions is kdasr.losses.word's, both distributions at a temperature T, times T^2; beside it counts the
cross entropy with the alignment (Hinton et al. 2015, section 4). The epoch that is right on most frames of the
validation set is kept, which is the early stopping that few data need.

A killed run goes on from the last epoch and ends with the same weights as one that was not killed.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdasr import checkpoints
from kdasr.classify.settings import CHECKPOINT, MODEL, RECORD
from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, write_json
from kdasr.frames.settings import FrameSettings, read_settings
from kdasr.settings import check_begun

if TYPE_CHECKING:
    from torch import Tensor

    from kdasr.classify.nets import Classifier
    from kdasr.frames.data import Frames

EXAMPLES = """examples:
  kdasr frames train --data dump/frames/train --valid dump/frames/dev --conf conf/frames.yaml \\
      --out exp/frames/baseline_s1
  # from what several of them predict together (kdasr frames predict)
  kdasr frames train --data dump/frames/train --valid dump/frames/dev --conf conf/frames.yaml \\
      --soft exp/frames/ensemble/predict_train --set temperature=2 --out exp/frames/distilled_T2_s1
  # from 3 % of the utterances
  kdasr frames train ... --share 0.03 --out exp/frames/hard_s1
"""
READ = 10_000  # frames read together where nothing is learnt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames train`."""
    add = parser.add_argument
    add("--data", required=True, metavar="DIR", help="frames to learn from (kdasr frames data)")
    add("--valid", required=True, metavar="DIR", help="frames to choose the epoch by, likewise")
    add("--conf", metavar="FILE", help="YAML of kdasr.frames.settings")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings over those of --conf")
    add("--out", required=True, metavar="DIR", help="model directory to write")
    add("--soft", metavar="DIR", help="what to learn from beside the labels (kdasr frames predict, of --data)")
    add("--share", type=float, default=1.0, help="share of --data, as whole utterances drawn by --seed (default 1)")
    add("--label", help="what the model is, for reports")
    add("--seed", type=int, default=1, help="of weights, order, dropout and --share (default 1)")


def run(args: argparse.Namespace) -> None:
    """Train, unless it is done."""
    from kdasr.frames.data import identity
    from kdasr.frames.predict import of_data

    settings = read_settings(args.conf, args.set)
    if args.seed < 0 or not 0 < args.share <= 1:
        raise UserError("--seed: expected 0 or more; --share: above 0, up to 1")
    out = Path(args.out)
    made = {
        "settings": dataclasses.asdict(settings),
        "seed": args.seed,
        "share": args.share,
        "data": identity(args.data),
        "valid": identity(args.valid),
        "soft": of_data(args.soft, args.data)["name"] if args.soft else None,
    }
    with only_writer(out):
        check_begun(out, made)
        if (out / RECORD).exists():
            print(
                f"{out}: trained already, {read_json(out / RECORD)['valid_accuracy']:.2f} % of validation frames right"
            )
            return
        write_json(out / "settings.json", made)
        record = train(args, settings)
        checkpoints.write_record(out, record)
    print(
        f"{out}: {record['parameters']:,} parameters, best after {record['best_epoch']} of {record['epochs']} epochs, "
        f"{record['valid_accuracy']:.2f} % of validation frames right, {record['cpu_seconds']:.0f} CPU s"
    )


def train(args: argparse.Namespace, settings: FrameSettings) -> dict[str, Any]:
    """Train to the end, or go on with what is in `args.out`; what kdasr.json is to say of the model."""
    import numpy as np
    import torch

    from kdasr.classify.loop import Loop
    from kdasr.classify.nets import Classifier
    from kdasr.frames.data import load
    from kdasr.frames.predict import load_predictions, of_data

    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    data, valid, out = load(args.data), load(args.valid), Path(args.out)
    if data.states != valid.states:
        raise UserError(f"{args.valid}: has other states than {args.data}; make it with --like {args.data}")
    soft = None
    about: dict[str, Any] = {}
    if args.soft:
        about = of_data(args.soft, args.data)
        soft = load_predictions(args.soft)  # (all, C)
    if args.share < 1:
        whole, data = data, data.only(args.share, args.seed)
        if soft is not None:
            soft = soft[torch.from_numpy(np.searchsorted(whole.starts, data.starts))]  # (N, C)
    model = Classifier(data.inputs(torch.tensor([0])).size(1), settings.hidden, settings.layers, len(data.states))
    loop = Loop(model, settings, data.inputs, data.labels, soft, out, lambda: accuracy(model, valid))
    loop.run()
    assert loop.best is not None
    checkpoints.save(out / MODEL, model.state_dict())
    (out / CHECKPOINT).unlink(missing_ok=True)
    return {
        "label": args.label or out.name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "hidden": settings.hidden,
        "layers": settings.layers,
        "temperature": settings.temperature if args.soft else None,
        "soft_weight": settings.soft_weight if args.soft else None,
        "teachers": len(about.get("models", [])),
        "share": args.share,
        "frames": len(data.labels),
        "seed": args.seed,
        "epochs": settings.epochs,
        "best_epoch": loop.best[0],
        "train_accuracy": round(accuracy(model, data), 3),
        "valid_accuracy": round(loop.best[1], 3),
        "cpu_seconds": round(loop.seconds, 1),
    }


def accuracy(model: Classifier, frames: Frames) -> float:
    """Frames whose state is the most probable one, in percent."""
    return 100 * sum(int((model(x).argmax(1) == y).sum()) for x, y in batches(frames)) / len(frames.labels)


def batches(frames: Frames) -> Iterator[tuple[Tensor, Tensor]]:
    """All frames in order, (B, P) and their labels (B,), where nothing is learnt."""
    import torch

    with torch.inference_mode():
        for chosen in torch.arange(len(frames.labels)).split(READ):
            yield frames.inputs(chosen), frames.labels[chosen]
