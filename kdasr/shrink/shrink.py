"""A smaller model of the same kind, with what matters most of the weights of a larger one.

Three ways to be smaller: fewer units (kdasr.shrink.cut says which stay), fewer layers (evenly spaced ones stay, as
`kdasr train --init` takes them), maps of low rank. The result is dense, its config.yaml has smaller numbers and nothing
new, so that it decodes as fast as a network of that size, here and, where its networks are ESPnet's, in stock ESPnet.

Low rank is for `conv_rnn` alone: a pair of maps in place of one needs a network whose configuration has a number for
it, and ESPnet's have none.

What is lost comes back by training: `kdasr train --init OUT` with any targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from kdasr import __version__, checkpoints
from kdasr.asr.init import OWN, match
from kdasr.errors import UserError
from kdasr.files import atomic_dir, only_writer, read_json, read_yaml
from kdasr.models import find_checkpoint
from kdasr.networks.load import check_weights, load_model, register
from kdasr.prune.prune import copy_rest, made_before
from kdasr.shards import digest
from kdasr.shrink import shape
from kdasr.shrink.axes import PARTS, SIZES, axes_of, sizes_of
from kdasr.shrink.cut import Moments, choose, cut, factors, importance, rank_for
from kdasr.shrink.moments import gather, utterances
from kdasr.shrink.settings import Shrinking

RANKS = ("encoder_conf.project_rank", "encoder_conf.input_rank")
LAYERS = ("num_layers", "num_blocks")
OF_PRUNING = ("non_zero", "sparsity", "scheme", "spare", "pruned")  # in a record, of weights that are cut now
Heard = Sequence[tuple[Tensor, Sequence[int]]]  # input and token ids of utterances


def shrink(asked: Shrinking) -> None:
    """Make the smaller model, write the directory, print its sizes.

    Raises:
        UserError: the model cannot be read, is of a kind that is not known, or has damaged weights; no network of the
            size asked for can be made of it; `out` holds something else.
    """
    out = asked.out
    checkpoint = find_checkpoint(asked.model, asked.model_file)
    settings = {"model": digest(checkpoint), **settings_of(asked)}
    with only_writer(out.parent, name=f".{out.name}.lock"):
        if record := made_before(out, settings):
            print(f"{out}: made already, {record['parameters']:,} parameters; to do it again: rm -r {out}")
        else:
            write(asked, checkpoint, settings)


def settings_of(asked: Shrinking) -> dict[str, Any]:
    """What the result depends on, besides the model."""
    files = {"like": asked.like, "train_config": asked.train_config, "text": asked.data and asked.data / "text"}
    for name, path in files.items():
        if path is not None and not path.is_file():
            raise UserError(f"{path}: no such file; --{'data' if name == 'text' else name} names it")
    return {
        "by": asked.by,
        "params": asked.params,
        "energy": asked.energy,
        **{name: digest(path) if path else None for name, path in files.items()},
        "utterances": asked.utterances if asked.data else None,
        **asked.reading.changed(),
    }


def write(asked: Shrinking, checkpoint: Path, settings: Mapping[str, Any]) -> None:
    """Make a smaller model of a directory's checkpoint, and write the whole of `asked.out`."""
    model, args = load_model(asked.model, asked.model_file)
    config, where = vars(args), asked.model / "config.yaml"
    shape.check_known(config, model.decoder is not None, where)
    broken = next((name for name, one in model.named_parameters() if not torch.isfinite(one).all()), None)
    if broken:
        raise UserError(f"{checkpoint}: {broken} holds values that are not numbers; train again")
    heard: Heard = ()
    if asked.data:
        heard = utterances(asked.model, asked.model_file, asked.data, asked.utterances, asked.reading)
    sizes = wanted(asked, model, config, heard)
    state = smaller(model, config, sizes, heard)
    small = shape.network(register(), shape.with_sizes(config, sizes), where)
    check_weights(small, state, checkpoint)
    counts = {"parameters": shape.parameters(small), "before": shape.parameters(model)}
    text = shape.with_sizes(read_yaml(where), sizes)
    with atomic_dir(asked.out) as fresh:
        torch.save(state, fresh / "valid.acc.ave.pth")
        copy_rest(asked.model, fresh, config)
        (fresh / "config.yaml").write_text(yaml.safe_dump(text, allow_unicode=True, sort_keys=False))
        if asked.train_config:
            again = train_config(read_yaml(asked.train_config), text)
            (fresh / "train.yaml").write_text(yaml.safe_dump(again, allow_unicode=True, sort_keys=False))
        checkpoints.write_record(fresh, describe(asked, counts["parameters"], sizes, settings))
    print("\n".join(table(config, sizes, counts["before"], counts["parameters"])))
    print(f"{asked.out}: written")


def wanted(asked: Shrinking, model: Any, config: Mapping[str, Any], heard: Heard) -> shape.Sizes:
    """The numbers of the configuration that change, with their new values."""
    task, where = register(), asked.model / "config.yaml"
    if asked.like:
        found = shape.like(config, read_yaml(asked.like), task, asked.like)
        if not found:
            raise UserError(f"{asked.like}: has the model's own sizes; name the configuration of a smaller network")
        return found
    if asked.by == "rank":
        full = full_ranks(model, config, where)
        if asked.energy:
            return by_energy(model, asked.energy, gather(model, heard) if heard else {})
    else:
        full = shape.sizes_in(config, task, asked.by)

    def saving(sizes: shape.Sizes) -> shape.Sizes:
        return {name: saves(model, name, size) if name in RANKS else size for name, size in sizes.items()}

    def count(sizes: shape.Sizes) -> int:
        return shape.parameters(shape.network(task, shape.with_sizes(config, saving(sizes)), where))

    assert asked.params is not None
    sizes = saving(shape.for_budget(full, asked.params, count, asked.by, shape.parameters(model)))
    before = shape.sizes_in(config, task, asked.by)
    return {name: size for name, size in sizes.items() if size != before[name]}


def full_ranks(model: Any, config: Mapping[str, Any], where: Path) -> shape.Sizes:
    """The ranks at which a pair of maps is what the whole map was."""
    if config["encoder"] != "conv_rnn":
        raise UserError(
            f"{where}: encoder {config['encoder']} has no setting for a rank, so that stock ESPnet could not build it; "
            "take --by units or --by layers"
        )
    if any((config.get("encoder_conf") or {}).get(name) for name in SIZES["conv_rnn"]["rank"]):
        raise UserError(f"{where}: the encoder is of low rank already; shrink the model that it was made of")
    return {name: min(maps(model, name)[0][1].shape) for name in RANKS}


def maps(model: Any, rank: str) -> list[tuple[str, Tensor]]:
    """The maps (O, I) that one rank is for, each with the name of the weight whose moments are its inputs'."""
    weights = dict(model.named_parameters())
    if rank == RANKS[0]:
        return [("encoder.project.weight", weights["encoder.project.weight"].detach())]
    return [stacked(weights, number) for number in range(len(model.encoder.layers))]


def stacked(weights: Mapping[str, Tensor], number: int) -> tuple[str, Tensor]:
    """What both directions of a layer read of the layer below, as one map (2 * gates * N, N)."""
    names = [f"encoder.layers.{number}.{direction}.weight_ih_l0" for direction in ("ahead", "back")]
    return names[0], torch.cat([weights[name].detach() for name in names])


def saves(model: Any, name: str, rank: int) -> int:
    """A rank, or 0 where two maps of it would have no fewer numbers than the whole one."""
    outputs, inputs = maps(model, name)[0][1].shape
    return rank if rank * (outputs + inputs) < outputs * inputs else 0


def by_energy(model: Any, energy: float, moments: Moments) -> shape.Sizes:
    """The least ranks that keep a share of the energy of every map."""
    found = {
        name: saves(model, name, max(rank_for(one, energy, moments.get(reads)) for reads, one in maps(model, name)))
        for name in RANKS
    }
    if not any(found.values()):
        raise UserError(f"--energy {energy:g}: no map of as low a rank as that is smaller; keep less")
    return {name: rank for name, rank in found.items() if rank}


def smaller(model: Any, config: Mapping[str, Any], sizes: shape.Sizes, heard: Heard) -> dict[str, Tensor]:
    """The weights of the smaller network: layers first, then units, then ranks."""
    depths = {name: size for name, size in sizes.items() if name.endswith(LAYERS)}
    if depths:
        config = shape.with_sizes(config, depths)
        shallow = shape.network(register(), config, "--by layers")
        source = model.state_dict()
        own = {name: value for name, value in source.items() if name.startswith(OWN)}
        shallow.load_state_dict(match(shallow.state_dict(), source)[0] | own)
        model = shallow
    axes, state = axes_of(model, config), model.state_dict()
    moments = gather(model, heard) if heard else {}
    scores = importance(state, axes, moments)
    before = sizes_of(axes, state)
    kept = {group: choose(scores[group], sizes.get(group.partition(":")[0], size)) for group, size in before.items()}
    state, moments = cut(state, axes, kept, moments)
    return factorised(state, moments, sizes)


def factorised(state: dict[str, Tensor], moments: Moments, sizes: shape.Sizes) -> dict[str, Tensor]:
    """The weights with each map for which there is a rank as two."""
    project, rank = (sizes.get(name, 0) for name in RANKS)
    if project:
        whole = state.pop("encoder.project.weight")
        down, up = factors(whole, project, moments.get("encoder.project.weight"))
        state |= {"encoder.project.0.weight": down, "encoder.project.1.weight": up}
        state["encoder.project.1.bias"] = state.pop("encoder.project.bias")
    number = 0
    while rank and f"encoder.layers.{number}.norm.weight" in state:
        reads, whole = stacked(state, number)
        down, up = factors(whole, rank, moments.get(reads))
        at = f"encoder.layers.{number}"
        state[f"{at}.reduce.weight"] = down
        state[f"{at}.ahead.weight_ih_l0"], state[f"{at}.back.weight_ih_l0"] = (one.contiguous() for one in up.chunk(2))
        number += 1
    return state


def train_config(given: Mapping[str, Any], small: Mapping[str, Any]) -> dict[str, Any]:
    """A training configuration with the network of another config; what is dropped in training stays its own."""
    changed = dict(given)
    for part in PARTS:
        own = {
            name: value
            for name, value in (given.get(f"{part}_conf") or {}).items()
            if any(word in name for word in shape.BEYOND)
        }
        changed |= {part: small[part], f"{part}_conf": {**(small.get(f"{part}_conf") or {}), **own}}
    return changed


def describe(asked: Shrinking, parameters: int, sizes: shape.Sizes, settings: Mapping[str, Any]) -> dict[str, Any]:
    """kdasr.json: what is known of the model that this was made of, and what it is now."""
    path = asked.model / "kdasr.json"
    info = read_json(path) if path.is_file() else {}
    of = info.get("label") or asked.model.name
    own = {
        "parameters": parameters,
        "sizes": dict(sizes),
        "role": "student",
        "label": asked.label or f"{of}, shrunk to {parameters:,} parameters",
        "teacher": info.get("teacher") if info.get("role") == "student" else asked.model.name,
        "shrunk": str(asked.model),
        "kdasr": __version__,
        "settings": dict(settings),
    }
    return {name: value for name, value in info.items() if name not in OF_PRUNING} | own


def table(config: Mapping[str, Any], sizes: shape.Sizes, before: int, after: int) -> list[str]:
    """Each number of the configuration that changed, and what it comes to."""
    lines = []
    for name, size in sizes.items():
        part = name.partition("_conf.")[0]
        was = shape.complete(config, register(), part)[name.partition(".")[2]]
        lines.append(f"{name}: {was or 'whole'} -> {size}")
    return [*lines, f"{after:,} of {before:,} parameters ({before / after:.1f} times fewer)"]
