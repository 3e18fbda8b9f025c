"""Starting a student from the weights of another model: its teacher, or a student that is trained on.

What has the same name and shape in both is copied, parameters and buffers alike. Layers of a list are matched: layer
i of the student's n takes layer round(i (m - 1) / (n - 1)) of the source's m, so that the first and the last one
are kept and the others are evenly spaced (Gandhi et al. 2023, Distil-Whisper). The statistics of the features are
the student's own.

The copied weights are written as a checkpoint of the student, which ESPnet's --init_param reads before the first
epoch; a run that is resumed has its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from kdasr import torch_files
from kdasr.asr.tasks import task_of
from kdasr.errors import UserError
from kdasr.files import write_json
from kdasr.networks.load import build, load_model

OWN = "normalize."  # of the student's features


def options(source: str, out: Path, command: Sequence[str]) -> list[str]:
    """Write out/init.pth and out/init.json, and return the option by which ESPnet starts from them.

    Args:
        source: model directory.
        out: the student's directory.
        command: ESPnet's options, which say what the student is.

    Raises:
        UserError: the source is no model, has other tokens, or has no weights that fit the student.
    """
    if ":" in str(out) or "--init_param" in command:
        raise UserError(f"{out}: --init needs an --out without colons; leave out ESPnet's --init_param")
    network, theirs = load_model(source)
    task = task_of(command)
    args = task.get_parser().parse_args(list(command))
    # The stock task is enough to know the shapes; it loads no teachers and no masks.
    student = build(task.stock, args, args.config)
    for name in ("token_list", "src_token_list"):  # which the models were built with
        mine, other = (list(getattr(one, name, None) or ()) for one in (args, theirs))
        if len(mine) == len(other) and mine != other:
            raise UserError(f"{source}: has as many tokens as the student, but others; train with its token directory")
    copied, report = match(student.state_dict(), network.state_dict())
    if not copied:
        raise UserError(f"{source}: has no weights of the student's names and shapes; name a model of its kind")
    path = out / "init.pth"
    torch_files.write(path, copied)
    write_json(out / "init.json", {"source": str(source), **report})
    print("\n".join(describe(source, report)))
    return ["--init_param", str(path)]


def match(student: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The weights of a source that fit a student, by the student's names, and a report.

    Args:
        student, source: state dicts.

    Returns:
        The tensors; and {"copied", "of" (tensors), "values", "of_values" (numbers in them), "lists" (the source's
        layers of each list that was matched), "not_copied" (names)}.
    """
    mine, theirs = layer_lists(student), layer_lists(source)
    names = {name: source_name(name, mine, theirs) for name in student if not name.startswith(OWN)}
    taken = {name: other for name, other in names.items() if _fits(student[name], source.get(other))}
    lists = {prefix: matched(n, theirs[prefix]) for prefix, n in mine.items() if prefix in theirs}
    report = {
        "copied": len(taken),
        "of": len(names),
        "values": sum(student[name].numel() for name in taken),
        "of_values": sum(student[name].numel() for name in names),
        "lists": lists,
        "not_copied": [name for name in names if name not in taken],
    }
    return {name: source[other].clone() for name, other in taken.items()}, report


def layer_lists(state: Mapping[str, Tensor]) -> dict[str, int]:
    """The lists of layers in a state dict: prefix -> number of layers.

    A list has the entries prefix.0 to prefix.n-1, each with the same names below it: matrices, and more than one kernel
    and its bias. Stacks of convolutions or of norms are none, nor is a Sequential with functions between its entries.
    """
    entries: dict[str, dict[int, set[str]]] = {}
    for name in state:
        for found in re.finditer(r"\.(\d+)(?=\.(.*))", name):
            entry = entries.setdefault(name[: found.start()], {})
            entry.setdefault(int(found[1]), set()).add(found[2])
    return {
        prefix: len(below)
        for prefix, below in entries.items()
        if sorted(below) == list(range(len(below)))
        and all(names == below[0] for names in below.values())
        and not below[0] <= {"weight", "bias"}
        and any(state[f"{prefix}.0.{name}"].dim() > 1 for name in below[0])
    }


def source_name(name: str, mine: Mapping[str, int], theirs: Mapping[str, int]) -> str:
    """What a tensor of the student is called in the source."""
    found: list[str] = []  # the source's words so far
    words = name.split(".")
    for i, word in enumerate(words):
        own, other = ".".join(words[:i]), ".".join(found)
        if word.isdigit() and own in mine and other in theirs:
            word = str(place(int(word), mine[own], theirs[other]))
        found.append(word)
    return ".".join(found)


def place(i: int, n: int, m: int) -> int:
    """The layer of a source of m layers that layer i of a student of n takes; halves are rounded up."""
    if n == 1:
        return 0
    return (2 * i * (m - 1) + n - 1) // (2 * (n - 1))


def matched(n: int, m: int) -> list[int]:
    """The layers of a source of m that the layers of a student of n take."""
    return [place(i, n, m) for i in range(n)]


def describe(source: str, report: Mapping[str, Any]) -> list[str]:
    """A report as lines of text."""
    share = 100 * report["values"] / report["of_values"]
    lines = [f"{source}: {report['copied']} of {report['of']} tensors taken, {share:.1f} % of the values"]
    for prefix, chosen in report["lists"].items():
        lines.append(f"  layers of {prefix}: {' '.join(map(str, chosen))}")
    left = report["not_copied"]
    if left:
        lines.append(f"  new: {', '.join(left[:5])}" + (f" and {len(left) - 5} more" if len(left) > 5 else ""))
    return lines


def _fits(own: Tensor, other: Tensor | None) -> bool:
    return other is not None and own.shape == other.shape
