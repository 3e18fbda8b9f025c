"""One piece of text: its loss and gradient, or its perplexity, without a tokens-by-vocabulary matrix of all of it.

    B  streams   T  words of the piece   N = B * T   V  words   J  kept words of a teacher's distribution
    n  rows of a slice, at most `slice_rows` of the network

The softmax over V words is where memory goes: with 40,000 words and 7 experts a row takes a megabyte. The rows of a
piece are taken a slice at a time: the slice's loss is differentiated at once, down to the last layer's output, and
forgotten; then the recurrent layers are differentiated once. Neither the student's distribution nor the teacher's is
ever computed twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from kdasr.lm.settings import LmSettings
from kdasr.losses.ensemble import combined
from kdasr.losses.trust import coefficients
from kdasr.losses.word import word_losses
from kdasr.networks.awd import AwdLstm, State

SLICE = 1 << 24  # numbers in a slice's distributions, all experts': 64 MB


class Teacher(Protocol):
    """A student's teacher: its distributions for the piece that was read last."""

    def rows(self, start: int, stop: int, target: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        """Ids (n, J) or None for all words, their log Q (n, J), log Q (n,) of `target` (n,), and whether it is best."""


def slices(model: AwdLstm, rows: int) -> Iterator[tuple[int, int]]:
    """Beginnings and ends of slices of so many rows."""
    size = max(1, SLICE // (model.experts * model.embed.num_embeddings))
    for start in range(0, rows, size):
        yield start, min(rows, start + size)


def backward(
    model: AwdLstm, words: Tensor, target: Tensor, state: State, settings: LmSettings, teacher: Teacher | None = None
) -> tuple[float, float, State]:
    """Add the gradient of a piece's mean loss to the parameters.

    Args:
        model: in training mode.
        words: (B, T) ids.
        target: (B, T) the words that follow them.
        state: before them.
        settings: the objective and the regularisation.
        teacher: has read the piece; None: the loss is -log P(target).

    Returns:
        Mean loss without regularisation, mean -log P(target), and the state after the piece, detached.
    """
    x, after, raw = model.hidden(words, state)  # (B, T, H)
    leaf = x.detach().flatten(0, 1).requires_grad_()  # (N, H)
    gold = target.flatten()  # (N,)
    mask = model.latent_mask(*words.shape)
    sums = leaf.new_zeros(2, dtype=torch.float64)  # of losses, of -log P; looked at once, as a GPU is waited for then
    for start, stop in slices(model, len(gold)):
        part = gold[start:stop]
        student_logprobs = model.log_probs(leaf[start:stop], None if mask is None else mask[start:stop])  # (n, V)
        hard = -student_logprobs.gather(1, part[:, None]).squeeze(1)  # (n,)
        loss = hard
        if teacher is not None:
            ids, teacher_logprobs, sure, best = teacher.rows(start, stop, part)
            a, b = coefficients(settings.objective, sure, best, settings.alpha, settings.power)
            loss = a * hard + b * word_losses(student_logprobs, ids, teacher_logprobs, settings.temperature)
        sums += torch.stack([loss.detach().sum(), hard.detach().sum()])
        (loss.sum() / len(gold)).backward()
    extra = settings.activation * x.square().mean() + settings.temporal * (raw[:, 1:] - raw[:, :-1]).square().mean()
    torch.autograd.backward([x, extra], [leaf.grad.view_as(x), None])
    total, nll = (sums / len(gold)).tolist()
    return total, nll, detached(after)


def detached(state: State) -> State:
    """A state that no gradient flows through."""
    return [(h.detach(), c.detach()) for h, c in state]


class OnlineTeachers:
    """Teachers that run beside the student; their probabilities are averaged (Shi et al. 2019 do not say how)."""

    def __init__(self, models: list[AwdLstm]) -> None:
        self.models = models
        self.states: list[State] = []
        self.outputs: list[Tensor] = []  # (N, H) each, of the piece that was read last

    def restart(self, streams: int) -> None:
        """Begin with the first words of `streams` streams."""
        self.states = [model.zero(streams) for model in self.models]

    def read(self, words: Tensor, position: int = 0, length: int = 0) -> None:
        """Read a piece (B, T); position and length are not used."""
        with torch.no_grad():
            read = [model.hidden(words, state) for model, state in zip(self.models, self.states, strict=True)]
        self.outputs = [x.flatten(0, 1) for x, _, _ in read]
        self.states = [state for _, state, _ in read]

    def rows(self, start: int, stop: int, target: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        """As `Teacher.rows`: all words."""
        with torch.no_grad():
            pairs = zip(self.models, self.outputs, strict=True)
            each = torch.stack([model.log_probs(x[start:stop]) for model, x in pairs])  # (M, n, V)
            teacher_logprobs = combined(each, [1 / len(each)] * len(each)) if len(each) > 1 else each[0]  # (n, V)
            gold = teacher_logprobs.gather(1, target[:, None]).squeeze(1)  # (n,)
            return None, teacher_logprobs, gold, teacher_logprobs.argmax(1) == target


def nll_of(models: list[AwdLstm], words: Tensor, target: Tensor, states: list[State]) -> tuple[Tensor, list[State]]:
    """-log P of targets (B, T) by the mean of some models' probabilities, and the states after the piece."""
    with torch.no_grad():
        reader = OnlineTeachers(models)
        reader.states = states
        reader.read(words)
        gold = target.flatten()
        wide = max(models, key=lambda model: model.experts * model.embed.num_embeddings)
        parts = [reader.rows(start, stop, gold[start:stop])[2] for start, stop in slices(wide, len(gold))]
        return -torch.cat(parts).view_as(target), reader.states
