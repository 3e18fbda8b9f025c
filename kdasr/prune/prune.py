"""The weights of least magnitude become zero, for good.

What is pruned are the parameters of two or more dimensions (matrices, convolution kernels, embeddings); biases,
normalisation and buffers stay. Three ways to choose, each of which prunes exactly the share asked for
(See, Luong, Manning, "Compression of neural machine translation models via pruning", CoNLL 2016; for students,
Kim and Rush 2016, section 5.2); a class is a parameter:

    blind          all weights compete: one threshold on |w|
    uniform        the same share of each class
    distribution   one threshold on |w| / (standard deviation of its class)

`--spare 0.01` leaves classes whole that have less than a hundredth of the weights, and takes their part from the
others: a vector of attention energies or a first convolution is few weights that all else goes through.

A share pruned at once costs accuracy that training on gives back: start from the pruned model, with its mask
(`kdasr train --init DIR --mask DIR/mask.pth`), on Seq-KD targets and then on those nearest the reference.

Writes an ESPnet model directory: the checkpoint, dense, with zeros; config.yaml, tokens/ and statistics as they
were; mask.pth (kdasr.prune.mask); kdasr.json.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdasr import __version__, checkpoints
from kdasr.data.made import FILE as FEATURES
from kdasr.errors import UserError
from kdasr.files import atomic_dir, only_writer, read_json
from kdasr.models import find_checkpoint
from kdasr.networks.load import load_model
from kdasr.prune import mask as masks
from kdasr.prune.settings import Pruning
from kdasr.shards import digest
from kdasr.translation import SRC_TOKENS


def prune(asked: Pruning) -> None:
    """Prune, write the directory, print what is left of each parameter.

    Raises:
        UserError: the model cannot be read or has damaged weights, `out` holds something else, or too few weights are
            in parameters that are not spared.
    """
    out = asked.out
    checkpoint = find_checkpoint(asked.model, asked.model_file)
    settings = {"model": digest(checkpoint), "sparsity": asked.sparsity, "scheme": asked.scheme, "spare": asked.spare}
    with only_writer(out.parent, name=f".{out.name}.lock"):
        if record := made_before(out, settings):
            print(f"{out}: pruned already, {record['non_zero']:,} weights are left; to do it again: rm -r {out}")
        else:
            write(asked, checkpoint, settings)


def made_before(out: Path, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of a model that the same settings have made of another one; None where nothing stands.

    Raises:
        UserError: another model stands there, or something else.
    """
    if (out / "kdasr.json").is_file():
        record = read_json(out / "kdasr.json")
        if record.get("settings") == settings:
            return record
        raise UserError(f"{out}: holds another model, or other settings made it; remove it, or name another --out")
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: holds something else; name another --out")
    return None


def write(asked: Pruning, checkpoint: Path, settings: Mapping[str, Any]) -> None:
    """Prune a model directory's checkpoint, and write the whole of `asked.out`."""
    network, config = load_model(asked.model, asked.model_file)
    weights = masks.prunable(network)
    broken = next((name for name, weight in weights.items() if not torch.isfinite(weight).all()), None)
    if broken:
        raise UserError(f"{checkpoint}: {broken} holds values that are not numbers; train again")
    values = {name: weight.detach() for name, weight in weights.items()}
    mask = choose(values, asked.sparsity, asked.scheme, asked.spare)
    masks.zero(weights, mask)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    left = masks.non_zero(network)
    with atomic_dir(asked.out) as fresh:
        torch.save(network.state_dict(), fresh / "valid.acc.ave.pth")
        torch.save(mask, fresh / "mask.pth")
        copy_rest(asked.model, fresh, vars(config))
        checkpoints.write_record(fresh, describe(asked, {"parameters": parameters, "non_zero": left}, settings))
    print("\n".join(table(mask, parameters, left)))
    print(f"{asked.out}: written")


def choose(weights: Mapping[str, Tensor], sparsity: float, scheme: str, spare: float = 0.0) -> dict[str, Tensor]:
    """Which weights to keep: booleans in the shapes of the weights.

    Args:
        weights: by name, any shapes.
        sparsity: share of all of them to prune; round(sparsity x their number) are, whatever the scheme.
        scheme: one of SCHEMES.
        spare: parameters with less than this share of the weights are left whole.

    Among weights of equal rank those that stand first are pruned first.

    Raises:
        UserError: too few weights are in parameters that are not spared.
    """
    total = sum(weight.numel() for weight in weights.values())
    large = {name: weight for name, weight in weights.items() if weight.numel() >= spare * total}
    if len(large) < len(weights):
        pruned, there = round(sparsity * total), sum(weight.numel() for weight in large.values())
        if pruned > there:
            raise UserError(
                f"--spare {spare:g}: leaves {there:,} weights of {total:,} to prune {pruned:,} of; spare less"
            )
        whole = {name: torch.ones(weight.shape, dtype=torch.bool) for name, weight in weights.items()}
        return whole | (choose(large, pruned / there, scheme) if pruned else {})

    flat = [weight.double().abs().flatten() for weight in weights.values()]  # (N_i,) each
    sizes = [len(one) for one in flat]
    if scheme == "uniform":
        # Rounded as they add up: no class is off by more than one weight, and their sum is not off at all.
        ends = [round(sparsity * total) for total in accumulate(sizes, initial=0)]
        counts = [end - start for start, end in pairwise(ends)]
        kept = torch.cat([_largest(one, count) for one, count in zip(flat, counts, strict=True)])  # (N,)
    else:
        if scheme == "distribution":
            # |w| < lambda sigma of its class, with the lambda that prunes the share: a rank by |w| / sigma. Where all
            # weights are one value, 0 / 0 is a zero, which goes first, and w / 0 stays.
            deviations = [weight.double().std(correction=0) for weight in weights.values()]
            flat = [(one / sigma).nan_to_num(0.0, torch.inf) for one, sigma in zip(flat, deviations, strict=True)]
        kept = _largest(torch.cat(flat), round(sparsity * sum(sizes)))  # (N,)
    return {name: part.view(weights[name].shape) for name, part in zip(weights, kept.split(sizes), strict=True)}


def _largest(values: Tensor, pruned: int) -> Tensor:
    """False for the `pruned` smallest of (N,) values, True for the others."""
    kept = torch.ones(len(values), dtype=torch.bool)  # (N,)
    kept[values.argsort(stable=True)[:pruned]] = False
    return kept


def copy_rest(model: Path, out: Path, config: Mapping[str, Any]) -> None:
    """Copy what a model directory holds besides checkpoints: config.yaml, tokens/, what tells of its features."""
    shutil.copyfile(model / "config.yaml", out / "config.yaml")
    for name in ("tokens", SRC_TOKENS):
        if (model / name).is_dir():
            for path in (model / name).iterdir():
                checkpoints.check_known(path)  # or damage would get a checksum of its own
            shutil.copytree(model / name, out / name)
    if (model / FEATURES).is_file():
        shutil.copyfile(model / FEATURES, out / FEATURES)
    stats = (config.get("normalize_conf") or {}).get("stats_file")
    if stats:
        shutil.copyfile(stats, out / Path(stats).name)  # load_model has looked for it, and found it


def describe(asked: Pruning, counts: Mapping[str, int], settings: Mapping[str, Any]) -> dict[str, Any]:
    """kdasr.json: what is known of the model that was pruned, and what is left of it."""
    path = asked.model / "kdasr.json"
    info = read_json(path) if path.is_file() else {}
    of = info.get("label") or asked.model.name
    own = {
        **counts,
        "sparsity": asked.sparsity,
        "scheme": asked.scheme,
        "spare": asked.spare,
        "role": "student",
        "label": asked.label or f"{of}, pruned {100 * asked.sparsity:g} %",
        "teacher": info.get("teacher") if info.get("role") == "student" else asked.model.name,
        "pruned": str(asked.model),
        "kdasr": __version__,
        "settings": dict(settings),
    }
    return {**info, **own}


def table(mask: Mapping[str, Tensor], parameters: int, left: int) -> list[str]:
    """Size and kept share of each parameter, and what it comes to."""
    rows = [(name, f"{kept.numel():,}", f"{100 * float(kept.double().mean()):.1f} %") for name, kept in mask.items()]
    rows.insert(0, ("parameter", "weights", "kept"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows]
    share = f"{parameters / left:.1f} times fewer" if left else "none left"
    return [*lines, f"{left:,} of {parameters:,} parameters are not zero ({share})"]
