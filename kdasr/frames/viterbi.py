"""The best token sequence of an utterance under framewise predictions: Viterbi over a graph of HMM states.

Each token is a row of `positions` states, begun at the first and left at the last, each with a loop to itself; its
states are those of the token with its left neighbour (`<s>` at the beginning), if that pair has some of its own.
Silence may stand before, between and after tokens and changes no history. A token takes `positions` frames or more:
no position is skipped, since an aligned token's span is no shorter than the distance of two spikes, which is that of
two encoder frames, 4 frames with the usual subsampling.

    score = sum over frames of (log p(state | x) - prior_weight log p(state)) + lm_weight ln P(tokens) + insertion L

with L tokens, and </s> among what P counts. Of equally good paths, going back from the end: histories in the order of
their numbers; a token is left from its last state rather than from the silence after it; and a state was there already
rather than entered. Everything is done for all histories at once, a frame at a time.

| axis | meaning |
|---|---|
| T | frames of the utterance |
| C | HMM states, the classes of the predictions |
| V | tokens, in sorted order |
| Y, Z | V+1: the token before last and the last one, the last number being `<s>` |
| K | V: the next token |
| P | positions of a token |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kdasr.frames.states import START, States

SILENCE = 0  # its state
NEVER = -np.inf


@dataclass(frozen=True)
class Weights:
    """What the parts of a score count."""

    lm_weight: float = 1.0
    prior_weight: float = 0.5
    insertion: float = 0.0  # is added for each token; above zero, more tokens are found


@dataclass(frozen=True)
class Graph:
    """What decoding needs besides the predictions."""

    classes: np.ndarray  # (P, Y, Z) states of token Z after Y; where Z is <s>, silence, as nothing enters there
    log_priors: np.ndarray  # (C,)
    table: np.ndarray  # (Y, Z, K+1) ln P of the next token, the last one being </s>


def build(states: States, counts: Sequence[int], tokens: Sequence[str], table: np.ndarray) -> Graph:
    """The graph of a set of states and a trigram.

    Args:
        states: of the predictions.
        counts: training frames of each state (C,); one never seen counts as seen once.
        tokens: (V,) sorted, each with states of its own.
        table: (V+1, V+1, V+1) as `kdasr.frames.grams.Grams.table` gives it.
    """
    border = len(tokens)
    first = np.full((border + 1, border + 1), SILENCE)
    for row, left in enumerate([*tokens, START]):
        first[row, :border] = [states.of(left, token) for token in tokens]
    classes = first + np.arange(states.positions)[:, None, None]
    classes[:, :, border] = SILENCE
    frames = np.maximum(np.asarray(counts, dtype=np.float64), 1)
    return Graph(classes, np.log(frames / frames.sum()), table)


def decode(graph: Graph, log_probs: np.ndarray, weights: Weights) -> tuple[list[int], float]:
    """The best token sequence of an utterance.

    Args:
        graph: of the states that the predictions are about.
        log_probs: (T, C) ln p(state | frame).
        weights: of the parts.

    Returns:
        Numbers of its tokens, and its score. Frames too few for a token, or none, are silence.
    """
    positions, size, _ = graph.classes.shape
    emissions = np.subtract(log_probs, weights.prior_weight * graph.log_priors, dtype=np.float64)  # (T, C)
    # The history's first token stands last, so that the search for the best one runs along memory: (Z, K, Y).
    steps = weights.lm_weight * graph.table
    cost = np.ascontiguousarray(steps[:, :, :-1].transpose(1, 2, 0)) + weights.insertion
    # scores[p] of position p of token Z after Y; scores[P] of the silence after it
    scores = np.full((positions + 1, size, size), NEVER)
    scores[positions, -1, -1] = 0.0  # no token yet
    best = np.zeros((len(emissions), size, size - 1), dtype=np.uint16)  # (T, Z, K): the Y that K was entered from
    moved = np.zeros((len(emissions), positions + 1, size, size), dtype=bool)  # into the state, else it looped
    waited = np.zeros((len(emissions) + 1, size, size), dtype=bool)  # left from the silence, else from the token
    classes = graph.classes.reshape(positions, -1)
    rows = np.arange(size * (size - 1)) * size
    arriving = np.empty_like(cost)
    before = np.full_like(scores, NEVER)  # of each state, the best score among those it is entered from
    for frame, emission in enumerate(emissions):
        np.greater(scores[positions], scores[positions - 1], out=waited[frame])
        leaving = np.maximum(scores[positions], scores[positions - 1])  # (Y, Z)
        np.add(cost, np.ascontiguousarray(leaving.T)[:, None, :], out=arriving)
        chosen = arriving.argmax(2)  # (Z, K)
        best[frame] = chosen
        before[0, :, :-1] = arriving.ravel()[rows + chosen.ravel()].reshape(chosen.shape)
        before[1:] = scores[:-1]
        np.greater(before, scores, out=moved[frame])
        np.maximum(before, scores, out=scores)
        scores[:positions] += emission[classes].reshape(positions, size, size)
        scores[positions] += emission[SILENCE]
    waited[-1] = scores[positions] > scores[positions - 1]
    total = np.maximum(scores[positions], scores[positions - 1]) + steps[:, :, -1]
    left, token = divmod(int(total.argmax()), size)
    return _back(left, token, best, moved, waited), float(total[left, token])


def _back(left: int, token: int, best: np.ndarray, moved: np.ndarray, waited: np.ndarray) -> list[int]:
    """The tokens of the path that ends in a history (left, token), from the back pointers of `decode`."""
    positions, border = moved.shape[1] - 1, moved.shape[2] - 1
    found: list[int] = []
    frame = len(best)
    while token != border:
        position = positions if waited[frame, left, token] else positions - 1
        while position >= 0:  # back through this token's states
            frame -= 1
            position -= bool(moved[frame, position, left, token])
        found.append(token)
        left, token = int(best[frame, left, token]), left
    return found[::-1]
