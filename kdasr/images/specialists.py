"""`kdasr images specialists`: specialists beside a generalist, for groups of classes that it confuses.

Hinton et al. 2015, section 5; what a specialist is, is in kdasr.losses.specialists. Each begins with the generalist's
weights, learns from labels in half-special batches, and has its dustbin corrected. What is written: specialists.json
with the groups, the errors of the generalist alone and of all together on the test images, and of each specialist.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, write_json
from kdasr.images.train import LOGITS, MODEL, RECORD

if TYPE_CHECKING:
    from kdasr.images.data import Images
    from kdasr.images.nets import Classifier

EXAMPLES = """examples:
  kdasr images specialists --data data/images.npz --generalist exp/hard_30_s1 --groups 3 --out exp/specialists_s1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr images specialists`."""
    add = parser.add_argument
    add("--data", required=True, metavar="FILE", help="what kdasr images data wrote")
    add("--generalist", required=True, metavar="DIR", help="a network (kdasr images train)")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add("--groups", type=int, default=3, help="groups of classes, a specialist each (default 3)")
    add("--temperature", type=float, default=4.0, help="of the predictions that groups are found in (default 4)")
    add("--best", type=int, default=1, help="specialists asked: those with one of so many best classes (default 1)")
    add("--epochs", type=float, default=5.0, help="of training, as many images as the training set has (default 5)")
    add(
        "--rate",
        type=float,
        default=5e-4,
        help="learning rate of Adam at the beginning; it falls to zero (default 5e-4)",
    )
    add("--batch", type=int, default=250, help="images of a batch (default 250)")
    add("--seed", type=int, default=1, help="of groups, batches and new weights (default 1)")


def run(args: argparse.Namespace) -> None:
    """Find groups, train a specialist for each, and count errors."""
    if (
        min(args.groups, args.best, args.batch - 1) < 1
        or min(args.epochs, args.temperature, args.rate) <= 0
        or args.seed < 0
    ):
        raise UserError("--groups, --best: expected 1 or more; --batch: 2; --seed: 0; others: a number above 0")
    for name in (LOGITS, MODEL, RECORD):
        if not (Path(args.generalist) / name).is_file():
            raise UserError(f"{args.generalist}/{name}: no such file; train the network first: kdasr images train")
    import torch
    from torch import log_softmax

    from kdasr.images.data import load
    from kdasr.images.nets import logits_of
    from kdasr.losses.specialists import confusable, corrected, oversampling, together, with_dustbin

    torch.set_flush_denormal(True)
    torch.manual_seed(args.seed)
    began = time.process_time()
    parts = load(args.data)
    train, test = parts["train"], parts["test"]
    with np.load(Path(args.generalist) / LOGITS) as stored:
        seen, general = (torch.from_numpy(stored[part]) for part in ("train", "test"))
    if len(seen) != len(train.labels):
        raise UserError(f"{args.generalist}: has {len(seen)} training images, --data {len(train.labels)}")
    groups = confusable(torch.softmax(seen / args.temperature, 1).numpy(), args.groups, args.seed)
    every, about = [], []
    with only_writer(args.out):
        for classes in groups:
            model = specialist(args, train, classes)
            special = torch.isin(train.labels, torch.tensor(classes))
            logits = corrected(logits_of(model, test.images), oversampling(special))
            every.append(log_softmax(logits, 1))
            errors = int((logits.argmax(1) != with_dustbin(test.labels, classes)).sum())
            about.append({"classes": classes, "errors_with_dustbin": errors})
            print(f"{args.out}: specialist of {classes}, {errors} errors, its dustbin counted as a class")
        q = together(log_softmax(general, 1), every, groups, args.best)
        result: dict[str, Any] = {
            "generalist": read_json(Path(args.generalist) / RECORD)["label"],
            "temperature": args.temperature,
            "specialists": about,
            "alone": int((general.argmax(1) != test.labels).sum()),
            "together": int((q.argmax(1) != test.labels).sum()),
            "cpu_seconds": round(time.process_time() - began, 1),
        }
        write_json(Path(args.out) / "specialists.json", result)
    print(f"{args.out}: {result['alone']} test errors of the generalist alone, {result['together']} with specialists")


def specialist(args: argparse.Namespace, train: Images, classes: list[int]) -> Classifier:
    """The generalist trained on as a specialist of `classes`; the dustbin's weights are new."""
    import torch
    from torch.nn import functional as F
    from tqdm import tqdm

    from kdasr.images.nets import Classifier
    from kdasr.losses.specialists import half_special, with_dustbin

    about = read_json(Path(args.generalist) / RECORD)
    weights = torch.load(Path(args.generalist) / MODEL, weights_only=True)
    model = Classifier(train.images[0].numel(), about["hidden"], about["layers"], len(classes) + 1)
    fresh = model.state_dict()
    for name, value in weights.items():
        if name.startswith(f"layers.{about['layers']}."):
            fresh[name][:-1] = value[classes]  # of the last layer, what the special classes have
        else:
            fresh[name] = value
    model.load_state_dict(fresh)
    labels = with_dustbin(train.labels, classes)
    special = labels < len(classes)
    optimizer = torch.optim.Adam(model.parameters(), args.rate, fused=True)
    steps = max(1, round(args.epochs * len(labels) / args.batch))
    for step in tqdm(range(steps), unit="batch", desc=str(classes), disable=None):
        optimizer.param_groups[0]["lr"] = args.rate * (1 - step / steps)
        chosen = half_special(special, args.batch)
        loss = F.cross_entropy(model(train.images[chosen].flatten(1)), labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return model
