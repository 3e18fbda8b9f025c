"""`kdasr images train`: a classifier that learns from labels, or from a teacher's soft targets on a transfer set.

The loss on soft targets is kdasr.losses.word's, both distributions at a temperature T, times T^2; beside it counts the
cross entropy with the labels (Hinton et al. 2015, section 2). The transfer set is the training images, or those that
--without and --only leave. What is left behind: the network, its logits on all training and test images (what a
student learns from, and what biases are corrected on), and a record.

A killed run goes on from the last epoch and ends with the same weights as one that was not killed.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from kdasr import checkpoints
from kdasr.classify.settings import LOGITS, RECORD
from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, write_json
from kdasr.images.idx import CLASSES
from kdasr.images.settings import read_settings
from kdasr.settings import check_begun
from kdasr.shards import digest

EXAMPLES = """examples:
  kdasr images train --data data/images.npz --conf conf/teacher.yaml --out exp/teacher_s1
  kdasr images train --data data/images.npz --conf conf/student.yaml --out exp/hard_s1      # on the labels
  kdasr images train --data data/images.npz --conf conf/student.yaml --teachers exp/teacher_s1 \\
      --set temperature=20 --out exp/soft_T20_s1
  # from images among which there is no 3; from 7s and 8s alone; an ensemble as the teacher
  kdasr images train ... --teachers exp/teacher_s1 --without 3 --out exp/without3_s1
  kdasr images train ... --teachers exp/teacher_s1 --only 7 8 --out exp/only78_s1
  kdasr images train ... --teachers exp/teacher_s1 exp/teacher_s2 --mean geometric --out exp/ensemble_s1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr images train`."""
    from kdasr.losses import MEANS

    add = parser.add_argument
    add("--data", required=True, metavar="FILE", help="what kdasr images data wrote")
    add("--conf", metavar="FILE", help="YAML of kdasr.images.settings (default: those of a student)")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings over those of --conf")
    add("--out", required=True, metavar="DIR", help="model directory to write")
    add("--teachers", nargs="+", default=[], metavar="DIR", help="networks to learn from")
    add("--mean", choices=MEANS, default="arithmetic", help="of several teachers (default arithmetic)")
    some = parser.add_mutually_exclusive_group()
    some.add_argument(
        "--without", nargs="+", type=int, metavar="CLASS", help="classes to leave out of the training set"
    )
    some.add_argument("--only", nargs="+", type=int, metavar="CLASS", help="the only classes of the training set")
    add("--label", help="what the model is, for reports")
    add("--seed", type=int, default=1, help="of weights, order, dropout and jitter (default 1)")


def run(args: argparse.Namespace) -> None:
    """Train, unless it is done."""
    settings = read_settings(args.conf, args.set)
    if args.seed < 0:
        raise UserError(f"--seed {args.seed}: expected 0 or more")
    if not Path(args.data).is_file():
        raise UserError(f"{args.data}: no such file; make it first: kdasr images data")
    for one in args.teachers:
        if not (Path(one) / LOGITS).is_file():
            raise UserError(f"{one}/{LOGITS}: no such file; train the teacher first: kdasr images train")
    out = Path(args.out)
    made = {
        "settings": dataclasses.asdict(settings),
        "seed": args.seed,
        "classes": transfer_classes(args.without, args.only),
        "data": digest(args.data),
        "teachers": [digest(Path(one) / LOGITS) for one in args.teachers],
        "mean": args.mean,
    }
    with only_writer(out):
        check_begun(out, made)
        if (out / RECORD).exists():
            print(f"{out}: trained already, {read_json(out / RECORD)['errors']} test errors; again: rm -r {out}")
            return
        write_json(out / "settings.json", made)
        from kdasr.images.trainer import train

        record = train(args, settings, made["classes"])
        checkpoints.write_record(out, record)
    print(
        f"{out}: {record['parameters']:,} parameters, {record['errors']} errors on {record['tested']} test images, "
        f"{record['cpu_seconds']:.0f} CPU s"
    )


def transfer_classes(without: list[int] | None, only: list[int] | None) -> list[int]:
    """The classes that are in the training set, ascending; UserError if there is no such class, or none is left."""
    for number in [*(without or []), *(only or [])]:
        if not 0 <= number < CLASSES:
            raise UserError(f"--without, --only: class {number}, expected 0 to {CLASSES - 1}")
    left = [one for one in range(CLASSES) if one not in (without or []) and (not only or one in only)]
    if not left:
        raise UserError("--without: leaves no class; leave fewer out")
    return left
