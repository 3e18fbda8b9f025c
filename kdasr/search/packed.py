"""Large linear layers on a CPU with their weights in the order in which oneDNN's kernels read them.

A step of a search multiplies few rows (rows of the grid x beam) with large weights. torch's own product takes the
weights as they are trained; oneDNN's takes them in blocks, which is 1.5 to 2 times as fast at 10 to 50 rows, and a
fifth faster at hundreds (an encoder). Weights are then held twice.

In bfloat16 they are about twice as fast again. Sums of a product are in float32 there, too, but factors and result have
eight bits; so layers that give a value to each token, whose differences are scores, stay in float32.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

LEAST = 100_000  # weights of a layer: of smaller ones the call costs more than the product
MOST = 200_000_000  # parameters of a model: of larger ones memory is worth more


class PackedLinear(nn.Module):
    """An nn.Linear in evaluation. Its weight and bias stay, for who reads them, and must not change."""

    def __init__(self, linear: nn.Linear, bf16: bool = False) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bf16, self.exact = bf16, False
        number = torch.bfloat16 if bf16 else torch.float32
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().to(number), None)
        self.added = None if linear.bias is None else linear.bias.detach().to(number)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features), of the type of x."""
        if self.exact:
            return nn.functional.linear(x, self.weight, self.bias)
        if not self.bf16:
            return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.added, "none", [], "")
        return torch.ops.mkldnn._linear_pointwise(x.bfloat16(), self.packed, self.added, "none", [], "").to(x.dtype)


def pack(model: nn.Module, bf16: bool = False) -> None:
    """Replace the large linear layers of a model that is only evaluated; nothing is done where that is of no use.

    Args:
        model: an ESPnet model in evaluation mode; its other modules find the new layers where the old ones were.
        bf16: whether they multiply bfloat16 numbers, but for those that give a value to each token.
    """
    if not can_pack() or sum(parameter.numel() for parameter in model.parameters()) > MOST:
        return
    tokens = len(getattr(model, "token_list", ()))
    done: dict[nn.Module, nn.Module] = {}  # a layer that is at two places stays one
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and fits(child):
                lower = bf16 and child.out_features != tokens
                setattr(module, name, done.setdefault(child, PackedLinear(child, lower)))


@contextlib.contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """While it is entered, layers of a model that multiply bfloat16 numbers multiply float32 ones."""
    layers = [module for module in model.modules() if isinstance(module, PackedLinear) and module.bf16]
    for layer in layers:
        layer.exact = True
    try:
        yield
    finally:
        for layer in layers:
            layer.exact = False


def fits(linear: nn.Linear) -> bool:
    """Whether a layer is on a CPU, in float32, large, and without hooks that another layer would lose."""
    weight: Any = linear.weight
    hooks = linear._forward_hooks or linear._forward_pre_hooks
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.numel() >= LEAST and not hooks


def can_pack() -> bool:
    """Whether this torch has oneDNN and the two operations, which torch.compile uses and no page documents."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
