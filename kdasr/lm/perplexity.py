"""Perplexity of a text, by a model or by an ensemble.

    PPL = exp(- sum over tokens of ln P(token | tokens before it) / number of tokens)

over every token of the text, the ends of lines among them. A model reads the text as one stream, the first word after
the end of a sentence.

| axis | meaning |
|---|---|
| B | streams |
| T | words of a piece |
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from kdasr.lm.piece import nll_of
from kdasr.lm.text import streams
from kdasr.networks.awd import AwdLstm

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


def perplexity(models: list[AwdLstm], ids: np.ndarray, count: int = 1, progress: bool = True) -> Perplexity:
    """Perplexity of a stream (tokens,) by the mean of the models' probabilities.

    Args:
        models: in evaluation mode.
        ids: every one of which is predicted.
        count: pieces of the text read side by side, each from its own beginning: 1 is exact, more are faster.
        progress: whether to show a bar.
    """
    words, target = streams(ids, count, models[0].embed.num_embeddings - 1)  # (B, L) each
    device = models[0].out.bias.device
    states = [model.zero(len(words)) for model in models]
    nll = 0.0
    for start in tqdm(range(0, words.shape[1], STEPS), unit="pieces", disable=None if progress else True):
        piece, gold = (torch.from_numpy(side[:, start : start + STEPS]).to(device) for side in (words, target))
        costs, states = nll_of(models, piece, gold.clamp(min=0), states)
        nll += float(costs[gold >= 0].double().sum())
    return Perplexity(nll, len(ids))
