"""A classifier of rectified linear units, dropout by batches, and the bound on its weights.

Axes: B examples, P numbers of one (pixels, or the filterbanks of a window), H units of a hidden layer, C classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AT_ONCE = 1000  # examples read together where the network is not trained


class Classifier(nn.Module):
    """P numbers, `layers` hidden layers of `hidden` units, C classes."""

    def __init__(self, inputs: int, hidden: int, layers: int, classes: int, largest: float = 1.0) -> None:
        """New weights.

        Args:
            inputs: P.
            hidden, layers: of the hidden layers.
            classes: C.
            largest: what an input is divided by: 255 for pixels.
        """
        super().__init__()
        self.largest = largest
        sizes = [inputs, *[hidden] * layers, classes]
        self.layers = nn.ModuleList(nn.Linear(*sides) for sides in itertools.pairwise(sizes))
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.layers[-1].weight, std=0.01)  # all classes alike at first

    def forward(self, inputs: Tensor, drop_input: float = 0.0, drop_hidden: float = 0.0) -> Tensor:
        """Logits (B, C).

        Args:
            inputs: (B, P), of any type of numbers.
            drop_input: share of the P to leave out.
            drop_hidden: share of the units of each hidden layer to leave out.

        What is left out is drawn anew for each call and is the same for all of its examples (Graham et al. 2015,
        batchwise dropout), so that the products are of the kept rows and columns alone: with half of the units a
        third of the work. What is kept is scaled up, so that a network without dropout needs no scaling.
        """
        kept = None if not drop_input else _kept(inputs.size(1), drop_input)
        x = inputs if kept is None else inputs[:, kept]  # (B, P kept)
        x = x.float() / (self.largest * (1 - drop_input))
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
def logits_of(model: Classifier, inputs: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """Logits (N, C) of all examples, nothing left out.

    Args:
        model: the network.
        inputs: gives (B, P) of the examples of these numbers (B,).
        count: N.
    """
    return torch.cat([model(inputs(chosen)) for chosen in torch.arange(count).split(AT_ONCE)])


def _kept(units: int, drop: float) -> Tensor:
    return torch.randperm(units)[: max(1, round(units * (1 - drop)))]
