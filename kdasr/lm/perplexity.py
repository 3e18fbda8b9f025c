"""`kdasr lm ppl`: perplexity of a text, by a model, by an ensemble, or by a model that learns as it reads.

    PPL = exp(- sum over tokens of ln P(token | tokens before it) / number of tokens)

over every token of the text, the ends of lines among them. A model reads the text as one stream, the first word after
the end of a sentence. `--dynamic` is kdasr.lm.dynamic.

| axis | meaning |
|---|---|
| B | streams |
| T | words of a piece |
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kdasr.errors import UserError
from kdasr.files import write_json

if TYPE_CHECKING:
    from kdasr.lm.awd import AwdLstm

EXAMPLES = """examples:
  kdasr lm ppl --model exp/student_trust_s1 --text ptb.test.txt
  # the mean of several models' probabilities
  kdasr lm ppl --model exp/teacher_s1 exp/teacher_s2 --text ptb.valid.txt ptb.test.txt --out exp/ensemble/ppl
  # dynamic evaluation, which needs the training text for the size of its gradients
  kdasr lm ppl --model exp/student_trust_s1 --text ptb.test.txt --dynamic ptb.train.txt
"""
STEPS = 70  # words of a piece


@dataclass(frozen=True)
class Perplexity:
    """What a text costs."""

    nll: float  # nats, of all tokens
    tokens: int

    @property
    def ppl(self) -> float:
        """Perplexity; beyond e^700 it is given as that."""
        return math.exp(min(self.nll / self.tokens, 700.0))


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
    from kdasr.lm.model import load_all
    from kdasr.lm.text import load_vocabulary, read_stream

    if args.dynamic and len(args.model) > 1:
        raise UserError("--dynamic: works on one model; name one in --model")
    if args.dynamic_rate <= 0 or args.dynamic_decay < 0:
        raise UserError("--dynamic_rate, --dynamic_decay: expected a number above 0, and 0 or more")
    models, _ = load_all(args.model, "cuda:0" if args.ngpu else "cpu")
    vocabulary = load_vocabulary(Path(args.model[0]) / "tokens")
    texts = {path: read_stream(path, vocabulary) for path in args.text}
    train = read_stream(args.dynamic, vocabulary) if args.dynamic else None
    for path, text in texts.items():
        if train is not None:
            from kdasr.lm.dynamic import dynamic_perplexity

            found = dynamic_perplexity(models[0], text.ids, train.ids, args.dynamic_rate, args.dynamic_decay)
        else:
            found = perplexity(models, text.ids)
        if args.out:
            result = {"ppl": found.ppl, "tokens": found.tokens, "nll": found.nll, "unknown": text.unknown}
            name = Path(path).name.removesuffix(".txt") + ("_dynamic" if args.dynamic else "")
            write_json(Path(args.out) / f"{name}.json", result | {"models": args.model, "text": path})
        print(f"{path}: perplexity {found.ppl:.4f} over {found.tokens:,} tokens, {text.unknown:,} of them unknown")


def perplexity(models: list[AwdLstm], ids: np.ndarray, count: int = 1, progress: bool = True) -> Perplexity:
    """Perplexity of a stream (tokens,) by the mean of the models' probabilities.

    Args:
        models: in evaluation mode.
        ids: every one of which is predicted.
        count: pieces of the text read side by side, each from its own beginning: 1 is exact, more are faster.
        progress: whether to show a bar.
    """
    import torch
    from tqdm import tqdm

    from kdasr.lm.piece import nll_of
    from kdasr.lm.text import streams

    words, target = streams(ids, count, models[0].embed.num_embeddings - 1)  # (B, L) each
    device = models[0].out.bias.device
    states = [model.zero(len(words)) for model in models]
    nll = 0.0
    for start in tqdm(range(0, words.shape[1], STEPS), unit="pieces", disable=None if progress else True):
        piece, gold = (torch.from_numpy(side[:, start : start + STEPS]).to(device) for side in (words, target))
        costs, states = nll_of(models, piece, gold.clamp(min=0), states)
        nll += float(costs[gold >= 0].double().sum())
    return Perplexity(nll, len(ids))
