"""`kdasr lm train`: a language model on running text, by itself or from teachers."""

from __future__ import annotations

import argparse

from kdasr.lm.settings import read_settings

EXAMPLES = """examples:
  # a teacher; another one for an ensemble is the same with another seed
  kdasr lm train --conf conf/teacher.yaml --words dump/words --train ptb.train.txt --valid ptb.valid.txt \\
      --out exp/teacher_s1
  # a student of two teachers by trust regularization, which run beside it; then by what `kdasr lm soft` has stored
  kdasr lm train --conf conf/student.yaml --words dump/words --train ptb.train.txt --valid ptb.valid.txt \\
      --teachers exp/teacher_s1 exp/teacher_s2 --set objective=trust alpha=0.1 --out exp/student_trust_s1
  kdasr lm train ... --soft exp/teacher_s1/soft --out exp/student_trust_s1
  # finetuning: averaged SGD at once, from a finished model
  kdasr lm train --conf conf/finetune.yaml ... --init exp/teacher_s1 --out exp/teacher_s1_ft
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr lm train`."""
    add = parser.add_argument
    add("--conf", metavar="FILE", help="YAML of kdasr.lm.settings (default: those of a Penn Treebank teacher)")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings over those of --conf")
    add("--words", required=True, metavar="DIR", help="vocabulary (kdasr lm words), or tokens (kdasr tokens)")
    add("--train", required=True, metavar="FILE", help="training text, a sentence a line")
    add("--valid", required=True, metavar="FILE", help="text to choose the best epoch by")
    add("--out", required=True, metavar="DIR", help="model directory to write")
    add(
        "--teachers", nargs="+", default=[], metavar="DIR", help="language models to learn from, run beside the student"
    )
    add("--soft", metavar="DIR", help="the teachers' distributions for --train, stored by kdasr lm soft")
    add("--init", metavar="DIR", help="begin with the weights of this model, as finetuning does")
    add("--role", choices=("teacher", "student"), default="teacher", help="what the model is (default teacher)")
    add("--label", help="what reports call the model")
    add("--seed", type=int, default=1, help="of weights, dropout and lengths of pieces (default 1)")
    add("--save_minutes", type=float, default=10.0, help="minutes between checkpoints within an epoch (default 10)")
    add("--ngpu", type=int, default=0, help="0: CPU; 1: a GPU (default 0)")


def run(args: argparse.Namespace) -> None:
    """Train, unless it is done."""
    from kdasr.lm import train

    options = train.TrainOptions(
        words=args.words,
        train=args.train,
        valid=args.valid,
        out=args.out,
        teachers=tuple(args.teachers),
        soft=args.soft,
        init=args.init,
        role=args.role,
        label=args.label,
        seed=args.seed,
        save_minutes=args.save_minutes,
        ngpu=args.ngpu,
    )
    train.train(options, read_settings(args.conf, args.set))
