"""`kdasr lm train`: a language model on running text, by itself or from teachers.

The text is cut into streams that are read side by side; the gradient goes back through pieces of about `steps` words,
whose length varies, and the state goes on from piece to piece. SGD at a constant rate until the validation perplexity
has not improved for `patience` epochs, then averaged SGD (NT-ASGD, Merity et al. 2018, algorithm 1). What is left is
the best model by validation perplexity, which is computed over every token.

A killed run goes on from the last checkpoint and ends with the same weights as one that was not killed.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from kdasr import checkpoints
from kdasr.errors import UserError
from kdasr.files import only_writer, read_json
from kdasr.lm.settings import read_settings
from kdasr.settings import check_begun
from kdasr.shards import digest

EXAMPLES = """examples:
  # a teacher; another one for an ensemble is the same with another seed
  kdasr lm train --conf conf/teacher.yaml --words dump/words --train ptb.train.txt --valid ptb.valid.txt \\
      --out exp/teacher_s1
  # a student of two teachers by trust regularization, which read along; then by what `kdasr lm soft` has stored
  kdasr lm train --conf conf/student.yaml --words dump/words --train ptb.train.txt --valid ptb.valid.txt \\
      --teachers exp/teacher_s1 exp/teacher_s2 --set objective=trust alpha=0.1 --out exp/student_trust_s1
  kdasr lm train ... --soft exp/teacher_s1/soft --out exp/student_trust_s1
  # finetuning: averaged SGD at once, from a finished model
  kdasr lm train --conf conf/finetune.yaml ... --init exp/teacher_s1 --out exp/teacher_s1_ft
"""
CHECKPOINT, MODEL, RECORD = "checkpoint.pth", "valid.loss.best.pth", "kdasr.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr lm train`."""
    add = parser.add_argument
    add("--conf", metavar="FILE", help="YAML of kdasr.lm.settings (default: those of a Penn Treebank teacher)")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings over those of --conf")
    add("--words", required=True, metavar="DIR", help="vocabulary (kdasr lm words), or tokens (kdasr tokens)")
    add("--train", required=True, metavar="FILE", help="training text, a sentence a line")
    add("--valid", required=True, metavar="FILE", help="text to choose the best epoch by")
    add("--out", required=True, metavar="DIR", help="model directory to write")
    add("--teachers", nargs="+", default=[], metavar="DIR", help="language models to learn from, which read along")
    add("--soft", metavar="DIR", help="what teachers expect in --train, stored by kdasr lm soft")
    add("--init", metavar="DIR", help="begin with the weights of this model, as finetuning does")
    add("--label", help="what the model is, for reports")
    add("--seed", type=int, default=1, help="of weights, dropout and lengths of pieces (default 1)")
    add("--save_minutes", type=float, default=10.0, help="minutes between checkpoints within an epoch (default 10)")
    add("--ngpu", type=int, default=0, help="0: CPU; 1: a GPU (default 0)")


def run(args: argparse.Namespace) -> None:
    """Train, unless it is done."""
    settings = read_settings(args.conf, args.set)
    if args.teachers and args.soft:
        raise UserError("--teachers, --soft: the one or the other; the stored targets come from teachers already")
    if args.seed < 0 or args.ngpu not in (0, 1) or args.save_minutes < 0:
        raise UserError("--seed, --save_minutes: expected 0 or more; --ngpu: 0 or 1")
    out = Path(args.out)
    made = {
        "settings": dataclasses.asdict(settings),
        "seed": args.seed,
        **{name: named(getattr(args, name), "give a text, a sentence a line") for name in ("train", "valid")},
        "words": named(Path(args.words) / "tokens.txt", "make the vocabulary: kdasr lm words"),
        "teachers": [model_name(one) for one in args.teachers],
        "soft": named(Path(args.soft) / "soft.json", "store targets there: kdasr lm soft") if args.soft else None,
        "init": model_name(args.init) if args.init else None,
    }
    with only_writer(out):
        check_begun(out, made)
        if (out / RECORD).exists():
            ppl = read_json(out / RECORD)["valid_ppl"]
            print(f"{out}: trained already, validation perplexity {ppl:.2f}; to train again: rm -r {out}")
            return
        from kdasr.lm.trainer import train

        record = train(args, settings, out, made)
        checkpoints.write_record(out, record)
    print(
        f"{out}: {record['parameters']:,} parameters, {record['epochs']} epochs, validation perplexity "
        f"{record['valid_ppl']:.2f}, {record['cpu_seconds'] / 60:.1f} CPU minutes"
    )


def model_name(directory: str | Path) -> str:
    """Sixteen hex digits that name a trained language model's weights; UserError if there is none."""
    return named(Path(directory) / MODEL, "train a language model there: kdasr lm train")


def named(path: str | Path, remedy: str) -> str:
    """Sixteen hex digits that name the bytes of a file; UserError if there is none."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; {remedy}")
    return digest(path)
