"""The shape of a smaller network: the numbers of its configuration, from a budget or from another configuration.

A budget of parameters caps the numbers that count units (or layers, or ranks): with the largest cap k of which the
network has at most so many parameters, each becomes min(itself, k). So what is wide becomes narrow first, and small
layers stay. Parameters are counted in the network that ESPnet builds of the configuration.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from kdasr.errors import UserError
from kdasr.networks.load import build
from kdasr.shrink.axes import PARTS, SIZES

Sizes = dict[str, int]  # setting, as encoder_conf.hidden_size -> number
BEYOND = ("dropout", "sampling_probability", "layer_drop", "stochastic_depth", "use_flash_attn", "gradient_checkpoint")


def check_known(config: Mapping[str, Any], has_decoder: bool, where: str | Path) -> None:
    """UserError for a network whose units are not known."""
    for part, known in PARTS.items():
        if (part == "encoder" or has_decoder) and config.get(part) not in known:
            raise UserError(
                f"{where}: {part} {config.get(part)!r}: which of its weights belong together is not known; shrink "
                f"models whose {part} is {' or '.join(known)}"
            )


def sizes_in(config: Mapping[str, Any], task: Any, by: str) -> Sizes:
    """The numbers of a configuration that count units, layers or ranks, those that it leaves out included."""
    found: Sizes = {}
    for part in PARTS:
        settings = complete(config, task, part)
        for name in SIZES[config[part]][by] if settings else ():
            found[f"{part}_conf.{name}"] = settings[name]
    return found


def complete(config: Mapping[str, Any], task: Any, part: str) -> dict[str, Any]:
    """All settings of an encoder or decoder, with the defaults of those that a configuration leaves out."""
    choices = next(one for one in task.class_choices_list if one.name == part)
    if config.get(part) not in PARTS[part]:
        return {}
    taken = inspect.signature(choices.get_class(config[part]).__init__).parameters
    defaults = {name: one.default for name, one in taken.items() if one.default is not inspect.Parameter.empty}
    return defaults | (config.get(f"{part}_conf") or {})


def with_sizes(config: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """A configuration with other numbers."""
    changed = dict(config)
    for setting, value in sizes.items():
        part, _, name = setting.partition(".")
        changed[part] = {**(changed.get(part) or {}), name: value}
    return changed


def network(task: Any, config: Mapping[str, Any], where: str | Path) -> Any:
    """The network of a configuration, with random weights, in evaluation mode."""
    return build(task, argparse.Namespace(**config), where).eval()


def parameters(model: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(one.numel() for one in model.parameters())


def for_budget(sizes: Sizes, budget: int, count: Callable[[Sizes], int], by: str, now: int) -> Sizes:
    """Sizes capped so that a network has at most `budget` parameters, by the largest cap that does it.

    Args:
        sizes: uncapped.
        budget: parameters.
        count: parameters of a network of such sizes.
        by: what the sizes count, for messages.
        now: parameters before.

    Raises:
        UserError: the network is as small already, or none is as small.
    """
    if now <= budget:
        raise UserError(f"--params {budget:,}: the model has {now:,} parameters, which is no more; ask for fewer")
    low, high = 1, max(sizes.values(), default=1)
    capped = {name: min(size, low) for name, size in sizes.items()}
    if (least := count(capped)) > budget:
        other = " or ".join(f"--by {one}" for one in ("units", "layers", "rank") if one != by)
        raise UserError(
            f"--params {budget:,}: with as few {OF[by]} as possible {least:,} parameters are left; ask for more, or "
            f"take others away, too ({other}, before or after)"
        )
    while low < high:  # `low` fits
        middle = (low + high + 1) // 2
        if count({name: min(size, middle) for name, size in sizes.items()}) <= budget:
            low = middle
        else:
            high = middle - 1
    return {name: min(size, low) for name, size in sizes.items()}


OF = {"units": "units", "layers": "layers", "rank": "ranks"}


def like(config: Mapping[str, Any], other: Mapping[str, Any], task: Any, where: str | Path) -> Sizes:
    """The sizes of another configuration's network, which has to be the same network with smaller numbers.

    Args:
        config: of the model.
        other: the configuration to be like.
        task: ESPnet's.
        where: `other` comes from.

    Raises:
        UserError: another kind of network, or a number that is larger.
    """
    found: Sizes = {}
    for part in PARTS:
        if config.get(part) != other.get(part):
            raise UserError(
                f"{where}: {part} is {other.get(part)}, the model's is {config.get(part)}; name a configuration of the "
                "model's networks"
            )
    for part in PARTS:
        here, there = complete(config, task, part), complete(other, task, part)
        names = [name for group in SIZES[config[part]].values() for name in group] if here else []
        for name in sorted(here.keys() | there.keys()):
            own, wanted = plain(here.get(name)), plain(there.get(name))
            if name not in names:
                if own != wanted and not any(word in name for word in BEYOND):
                    raise UserError(
                        f"{where}: {part}_conf has {name} {wanted}, the model {own}, and no weights can be taken over; "
                        "make them equal"
                    )
            elif type(wanted) is not int or not fits(name, own, wanted):
                raise UserError(
                    f"{where}: {part}_conf has {name} {wanted}, the model {own}; name a network that is no larger"
                )
            elif wanted != own:
                found[f"{part}_conf.{name}"] = wanted
    return found


def fits(name: str, own: int, wanted: int) -> bool:
    """Whether a size can become another: units and layers fewer; a map, which has rank 0 while it is whole, two."""
    return own in (0, wanted) and wanted >= 0 if name in SIZES["conv_rnn"]["rank"] else 1 <= wanted <= own


def plain(value: Any) -> Any:
    """A default as a YAML file would have it."""
    return list(value) if isinstance(value, tuple) else value
