"""Masks: which weights of a model are pruned, kept at zero while the others are trained.

A mask file holds, for every parameter of two or more dimensions, a boolean tensor of its shape: True where the
weight is kept, False where it is zero for good. `kdasr prune` writes it; training reads it (`kdasr train --mask`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from kdasr import checkpoints, torch_files
from kdasr.errors import UserError

Mask = dict[str, Tensor]


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that pruning looks at: matrices, convolution kernels, embeddings; no biases, norms or buffers."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.dim() >= 2}


def read_mask(path: str | Path) -> Mask:
    """A mask file; UserError if it is not there or is none."""
    if not Path(path).is_file():
        raise UserError(f"{path}: no such file; prune a model first (kdasr prune)")
    checkpoints.check_known(path)
    mask = torch_files.load(path, "mask file")
    kept = mask.values() if isinstance(mask, dict) else [None]
    if not all(isinstance(one, Tensor) and one.dtype == torch.bool for one in kept):
        raise UserError(f"{path}: is no mask file, or is cut short; name the mask.pth that kdasr prune wrote")
    return mask


def check_fits(mask: Mask, model: nn.Module, path: str | Path) -> None:
    """UserError, naming the parameter, unless a mask is one of this model's parameters."""
    own = prunable(model)
    for name in [*mask, *own]:
        shapes = [tuple(one[name].shape) if name in one else None for one in (mask, own)]
        if shapes[0] != shapes[1]:
            has = [f"is {shape}" if shape else "is absent" for shape in shapes]
            raise UserError(f"{path}: {name} {has[0]} there and {has[1]} in the model; name the mask of this network")


def zero(parameters: dict[str, nn.Parameter], mask: Mask) -> None:
    """Set what a mask prunes to zero, in place."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.masked_fill_(~mask[name].to(parameter.device), 0.0)


def hold(model: nn.Module, path: str | Path) -> None:
    """Keep what a mask prunes at zero, whatever is loaded into the model and however it is trained.

    Gradients of pruned weights are made zero before any optimiser, clipping or exchange between GPUs sees them.
    ESPnet's optimisers start with empty moments, so they never move such a weight, and weight decay and momentum
    leave a zero at zero. Weights that are loaded later (a checkpoint, the initialisation) are pruned again.

    Args:
        model: as it was built, on any device; it may be moved afterwards.
        path: of the mask file.

    Raises:
        UserError: no mask, or a parameter is missing or of another shape.
    """
    mask = read_mask(path)
    check_fits(mask, model, path)
    parameters = prunable(model)
    zero(parameters, mask)
    for name, parameter in parameters.items():
        if parameter.requires_grad:
            parameter.register_hook(_blanker(~mask[name]))
    model.register_load_state_dict_post_hook(lambda module, _keys: zero(prunable(module), mask))


def non_zero(model: nn.Module) -> int:
    """How many weights are not zero, of all parameters."""
    return sum(int(torch.count_nonzero(parameter)) for parameter in model.parameters())


def check_held(model: nn.Module, path: str | Path, where: str | Path) -> int:
    """How many weights of a trained model are not zero; UserError if pruned ones are among them.

    Args:
        model: with the weights that were trained.
        path: of the mask file it was trained with.
        where: the model directory, for the message.
    """
    mask = read_mask(path)
    check_fits(mask, model, path)
    for name, parameter in prunable(model).items():
        grown = int(torch.count_nonzero(parameter.detach().cpu()[~mask[name]]))
        if grown:
            raise UserError(
                f"{where}: {grown} pruned weights of {name} are not zero any more (gradient noise adds to them, "
                "for one); train again without what changed them"
            )
    return non_zero(model)


def _blanker(pruned: Tensor) -> Callable[[Tensor], Tensor]:
    """A gradient hook that zeroes what is pruned; the pruned places follow the gradient to its device once."""

    def blank(gradient: Tensor) -> Tensor:
        nonlocal pruned
        pruned = pruned.to(gradient.device)
        return gradient.masked_fill(pruned, 0.0)

    return blank
