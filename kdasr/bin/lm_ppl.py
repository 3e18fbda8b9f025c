"""`kdasr lm ppl`: perplexity of a text, by a model, by an ensemble, or by a model that learns as it reads."""

from __future__ import annotations

import argparse

EXAMPLES = """examples:
  kdasr lm ppl --model exp/student_trust_s1 --text ptb.test.txt
  # the mean of several models' probabilities
  kdasr lm ppl --model exp/teacher_s1 exp/teacher_s2 --text ptb.valid.txt ptb.test.txt --out exp/ensemble/ppl
  # dynamic evaluation, which needs the training text for the size of its gradients
  kdasr lm ppl --model exp/student_trust_s1 --text ptb.test.txt --dynamic ptb.train.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr lm ppl`."""
    add = parser.add_argument
    add("--model", nargs="+", required=True, metavar="DIR", help="language models; several are averaged")
    add("--text", nargs="+", required=True, metavar="FILE", help="texts, a sentence a line")
    add("--out", metavar="DIR", help="directory for TEXT.json (of dynamic evaluation: TEXT_dynamic.json) of each text")
    add("--dynamic", metavar="FILE", help="dynamic evaluation, with the model's training text")
    add("--dynamic_rate", type=float, default=0.002, help="its learning rate (default 0.002)")
    add("--dynamic_decay", type=float, default=0.075, help="its decay back to the trained weights (default 0.075)")
    add("--ngpu", type=int, default=0, help="0: CPU; 1: a GPU (default 0)")


def run(args: argparse.Namespace) -> None:
    """Compute and print."""
    from kdasr.lm import evaluate

    dynamic = evaluate.Dynamic(args.dynamic, args.dynamic_rate, args.dynamic_decay) if args.dynamic else None
    evaluate.evaluate(args.model, args.text, args.out, dynamic, "cuda:0" if args.ngpu else "cpu")
