"""A classifier of rectified linear units, dropout by batches, and the bound on its weights.

Axes: B images, P pixels, H units of a hidden layer, C classes.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdasr.images.idx import CLASSES

AT_ONCE = 1000  # images read together where nothing is learnt


class Classifier(nn.Module):
    """P pixels, `layers` hidden layers of `hidden` units, C classes."""

    def __init__(self, pixels: int, hidden: int, layers: int, classes: int = CLASSES) -> None:
        super().__init__()
        sizes = [pixels, *[hidden] * layers, classes]
        self.layers = nn.ModuleList(nn.Linear(*sides) for sides in itertools.pairwise(sizes))
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.layers[-1].weight, std=0.01)  # all classes alike at first

    def forward(self, images: Tensor, drop_input: float = 0.0, drop_hidden: float = 0.0) -> Tensor:
        """Logits (B, C).

        Args:
            images: (B, P), uint8.
            drop_input: share of the pixels to leave out.
            drop_hidden: share of the units of each hidden layer to leave out.

        What is left out is drawn anew for each call and is the same for all of its images (Graham et al. 2015,
        batchwise dropout), so that the products are of the kept rows and columns alone: with half of the units a
        third of the work. What is kept is scaled, so that nothing has to be when all is kept.
        """
        kept = None if not drop_input else _kept(images.size(1), drop_input)
        x = (images if kept is None else images[:, kept]).float() / (255 * (1 - drop_input))  # (B, P kept)
        for layer in self.layers[:-1]:
            weight = layer.weight if kept is None else layer.weight.index_select(1, kept)  # (H, kept before)
            bias = layer.bias
            kept = None
            if drop_hidden:
                kept = _kept(len(bias), drop_hidden)
                weight, bias = weight.index_select(0, kept), bias.index_select(0, kept)
            x = F.relu(F.linear(x, weight, bias)) / (1 - drop_hidden)  # (B, H kept)
        last = self.layers[-1]
        return F.linear(x, last.weight if kept is None else last.weight.index_select(1, kept), last.bias)

    @torch.no_grad()
    def bound(self, longest: float) -> None:
        """Shorten each vector of weights into a hidden unit to `longest` (Srivastava et al. 2014, max-norm)."""
        for layer in self.layers[:-1]:
            norms = layer.weight.norm(dim=1, keepdim=True)  # (H, 1)
            layer.weight.mul_((longest / norms).clamp(max=1))


@torch.no_grad()
def logits_of(model: Classifier, images: Tensor) -> Tensor:
    """Logits (N, C) of images (N, H, W), nothing left out, nothing moved."""
    return torch.cat([model(part.flatten(1)) for part in images.split(AT_ONCE)])


def shifts(images: Tensor, reach: int) -> Tensor:
    """Every image moved by up to `reach` pixels in each direction, without a copy of any.

    Args:
        images: (N, H, W) uint8.
        reach: pixels; black comes in from the borders.

    Returns:
        (N, 2 reach + 1, 2 reach + 1, H, W); [n, reach, reach] is image n as it was.
    """
    padded = F.pad(images, (reach,) * 4)
    count, rows, columns = padded.shape
    steps = 2 * reach + 1
    return padded.as_strided((count, steps, steps, *images.shape[1:]), (rows * columns, columns, 1, columns, 1))


def _kept(units: int, drop: float) -> Tensor:
    return torch.randperm(units)[: max(1, round(units * (1 - drop)))]
