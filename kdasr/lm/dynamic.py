"""Dynamic evaluation: a model keeps learning from the text that it is tested on.

Krause et al. 2018, "Dynamic evaluation of neural sequence models", section 5: after each piece, which is scored first,

    theta <- theta - eta grad / (sqrt(MS) + epsilon) + min(1, lambda RMS) (theta_0 - theta),

where MS is the mean square of each weight's gradient over the training text, theta_0 the trained weights, and RMS is
sqrt(MS) over its mean.
"""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from kdasr.lm.perplexity import Perplexity
from kdasr.lm.piece import backward
from kdasr.lm.settings import LmSettings
from kdasr.lm.text import streams
from kdasr.networks.awd import AwdLstm

STEPS = 5  # words between two changes of the weights
STREAMS = 20  # of the training text, to measure gradients on
TRAIN_STEPS = 70  # words of a piece there
EPSILON = 1e-5


def dynamic_perplexity(
    model: AwdLstm, ids: np.ndarray, train: np.ndarray, rate: float = 0.002, decay: float = 0.075
) -> Perplexity:
    """Perplexity of a stream by a model that adapts to it; the model is as before afterwards.

    Args:
        model: in evaluation mode: nothing is dropped.
        ids: (tokens,) of the text.
        train: (tokens,) of the training text.
        rate: eta.
        decay: lambda.
    """
    parameters = list(model.parameters())
    trained = [one.detach().clone() for one in parameters]
    squares = mean_squares(model, train)
    size = sum(float(one.sqrt().sum()) for one in squares) / sum(one.numel() for one in squares)
    keep = [(decay * one.sqrt() / size).clamp(max=1.0) for one in squares]
    plain = LmSettings(activation=0.0, temporal=0.0)
    words, target = (torch.from_numpy(side).to(trained[0].device) for side in streams(ids, 1, len(model.out.bias) - 1))
    state, nll = model.zero(1), 0.0
    try:
        for start in tqdm(range(0, len(ids), STEPS), unit="pieces", disable=None):
            piece, gold = words[:, start : start + STEPS], target[:, start : start + STEPS]
            _, mean, state = backward(model, piece, gold, state, plain)
            nll += mean * gold.numel()
            with torch.no_grad():
                for one, first, square, share in zip(parameters, trained, squares, keep, strict=True):
                    one.add_(share * (first - one) - rate * one.grad / (square.sqrt() + EPSILON))
            model.zero_grad(set_to_none=True)
    finally:
        with torch.no_grad():
            for one, first in zip(parameters, trained, strict=True):
                one.copy_(first)
        model.zero_grad(set_to_none=True)
    return Perplexity(nll, len(ids))


def mean_squares(model: AwdLstm, train: np.ndarray) -> list[torch.Tensor]:
    """The mean square of each weight's gradient over pieces of a text."""
    words, target = streams(train, STREAMS, len(model.out.bias) - 1)
    # columns that are only padding of the last stream have no gradient, and are left out
    whole = words.shape[1] - int((target[-1] < 0).sum())
    sums = [torch.zeros_like(one) for one in model.parameters()]
    plain, state, pieces = LmSettings(activation=0.0, temporal=0.0), model.zero(len(words)), 0
    device = model.out.bias.device
    for start in tqdm(range(0, whole, TRAIN_STEPS), unit="pieces", desc="gradients of training", disable=None):
        stop = min(start + TRAIN_STEPS, whole)
        piece, gold = (torch.from_numpy(side[:, start:stop]).to(device) for side in (words, target))
        _, _, state = backward(model, piece, gold, state, plain)
        for total, one in zip(sums, model.parameters(), strict=True):
            total += one.grad.square()
        model.zero_grad(set_to_none=True)
        pieces += 1
    return [total / max(1, pieces) for total in sums]
