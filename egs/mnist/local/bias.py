"""Correcting the biases of classes that the transfer set lacked, or that were all it had.

    N  images   C  classes

Hinton et al. 2015, section 3: a student whose transfer set had no 3 has learnt a bias for it that is much too low;
raised by one number, it gets nearly all of them right. For a transfer set of 7s and 8s alone, both of their biases are
lowered by one number. The paper chose the number on the test images. Here it is chosen in that way, and on one half of
them for the other half, so that no image is counted with a number that it helped to choose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Corrected:
    """Errors with a bias changed: `offsets` was added to the logits of the classes (one number, or one a half)."""

    offsets: tuple[float, ...]
    wrong: np.ndarray  # (N,) bool

    @property
    def errors(self) -> int:
        """How many are wrong."""
        return int(self.wrong.sum())


def on_all(logits: np.ndarray, labels: np.ndarray, classes: list[int]) -> Corrected:
    """The offset of `classes` with the fewest errors on these images, as the paper chose it.

    Args:
        logits: (N, C).
        labels: (N,).
        classes: whose biases change.
    """
    offset = best_offset(logits, labels, classes)
    return Corrected((offset,), wrong_with(logits, labels, classes, offset))


def crossed(logits: np.ndarray, labels: np.ndarray, classes: list[int], seed: int = 0) -> Corrected:
    """Offsets chosen on each half of the images for the other; `seed` draws the halves. Others as `on_all`."""
    order = np.random.default_rng(seed).permutation(len(labels))
    wrong = np.zeros(len(labels), bool)
    offsets = []
    for chosen_on, counted in zip(halves := np.array_split(order, 2), halves[::-1], strict=True):
        offset = best_offset(logits[chosen_on], labels[chosen_on], classes)
        wrong[counted] = wrong_with(logits[counted], labels[counted], classes, offset)
        offsets.append(offset)
    return Corrected(tuple(offsets), wrong)


def best_offset(logits: np.ndarray, labels: np.ndarray, classes: list[int]) -> float:
    """The number which, added to the logits of `classes`, leaves the fewest errors.

    Exact: an image's answer changes once, where the number passes the best other logit less the best of `classes`.
    Zero if it is as good as any; else the middle of the interval nearest to zero of those with the fewest errors (one
    beyond its end where it has only one).
    """
    inside, outside, margin = _sides(logits, labels, classes)
    order = np.argsort(margin, kind="stable")
    # below all margins every answer is the outside one; passing a margin turns one into the inside one
    change = outside[order].astype(int) - inside[order].astype(int)
    errors = np.sum(~outside) + np.concatenate([[0], np.cumsum(change)])  # (N + 1,)
    ends = np.concatenate([[-np.inf], margin[order], [np.inf]])  # (N + 2,)
    lows, highs = ends[:-1], ends[1:]
    best = (errors == errors[lows < highs].min()) & (lows < highs)
    if np.any(best & (lows < 0) & (highs > 0)):
        return 0.0
    place = np.argmin(np.where(best, np.minimum(np.abs(lows), np.abs(highs)), np.inf))
    low, high = lows[place], highs[place]
    if np.isinf(low) or np.isinf(high):
        return float(high - 1 if np.isinf(low) else low + 1)
    return float((low + high) / 2)


def wrong_with(logits: np.ndarray, labels: np.ndarray, classes: list[int], offset: float) -> np.ndarray:
    """Which images are wrong once `offset` is added to the logits of `classes`, (N,) bool."""
    changed = logits.copy()
    changed[:, classes] += offset
    return changed.argmax(1) != labels


def _sides(logits: np.ndarray, labels: np.ndarray, classes: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether the best of `classes`, and the best of the others, is right (N,), (N,); and by how much it is behind."""
    others = np.setdiff1d(np.arange(logits.shape[1]), classes)
    mine, theirs = logits[:, classes], logits[:, others]
    inside = np.asarray(classes)[mine.argmax(1)] == labels
    outside = others[theirs.argmax(1)] == labels
    return inside, outside, theirs.max(1) - mine.max(1)
