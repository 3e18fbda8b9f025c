"""`kdasr images report`: test errors as tables (Hinton et al. 2015, section 3), and against T as a picture."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from kdasr.classify.settings import LOGITS, RECORD
from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.images.bias import Corrected, crossed, on_all
from kdasr.images.data import load, name_of
from kdasr.images.idx import CLASSES
from kdasr.report import shape
from kdasr.report.provenance import page_arguments, write_page
from kdasr.report.shape import AMOUNT, COUNT, TEXT, Must
from kdasr.report.table import markdown
from kdasr.score.intervals import over_seeds, seeds_apart

EXAMPLES = """examples:
  kdasr images report --data data/images.npz --exp exp --out RESULTS.md --picture temperatures.svg
"""
NONE = "-"
EVERY = list(range(CLASSES))
MODEL = {  # shapes of the files read: RECORD
    "label": Must(TEXT),
    "temperature": AMOUNT,
    "classes": Must([COUNT]),
    "cpu_seconds": Must(AMOUNT),
    **dict.fromkeys(("hidden", "layers", "errors", "parameters", "images"), Must(COUNT)),
}
SPECIALISTS_FILE = {
    "generalist": Must(TEXT),
    "specialists": Must([{"classes": Must([COUNT])}]),
    **dict.fromkeys(("alone", "together"), Must(COUNT)),
    **dict.fromkeys(("temperature", "cpu_seconds"), Must(AMOUNT)),
}
PAPER = {  # on MNIST: (units, of the teacher, T): test errors
    (1200, False, None): "67",
    (800, False, None): "146",
    (800, True, 20.0): "74",
}
PAPER_LEFT_OUT = {  # on MNIST, by what the transfer set lacks or alone has
    "no 3": ("206 errors, 133 of 1010 3s wrong", "+3.5: 109 errors, 98.6 % of 3s right"),
    "only 7 8": ("47.3 % errors", "-7.6: 13.2 % errors"),
}
CORRECTIONS: dict[str, Callable[[np.ndarray, np.ndarray, list[int]], Corrected]] = {
    "chosen on the test images, as in the paper": on_all,
    "chosen on each half of them for the other": crossed,
}


@dataclass
class Group:
    """Networks that differ in their seed alone."""

    units: int
    layers: int
    temperature: float | None  # None: learns from the labels
    classes: list[int]  # of the transfer set
    label: str
    members: list[dict[str, Any]] = field(default_factory=list)  # kdasr.json of each, and its `directory`

    @property
    def errors(self) -> list[float]:
        """Test errors of each."""
        return [float(one["errors"]) for one in self.members]

    @property
    def size(self) -> str:
        """As in 2x800."""
        return f"{self.layers}x{self.units}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr images report`."""
    page_arguments(parser, "networks (kdasr images train)")
    add = parser.add_argument
    add("--data", required=True, metavar="FILE", help="what kdasr images data wrote")
    add("--picture", metavar="FILE", help="errors against T, an SVG beside --out")


def run(args: argparse.Namespace) -> None:
    """Write the tables and print them."""
    data, groups = name_of(args.data), read(args.exp)
    labels = load(args.data)["test"].labels.numpy()
    whole = [one for one in groups if one.classes == EVERY]
    tables = [main_table(whole, data, len(labels)), left_out_table(groups, labels, data)]
    tables.append(specialist_table(args.exp))
    parts = []
    parts.append(f"Errors on {len(labels)} test images: mean ± standard deviation over seeds.")
    parts += [markdown(tables[0]), *against_hard(whole)]
    if args.picture and (lines := curves(whole)):
        from kdasr.images.picture import draw

        draw(args.picture, lines, *references(whole))
        parts.append(f"![test errors against the temperature]({quote(Path(args.picture).name)})")
    if len(tables[1]) > 1:
        parts += ["## Transfer sets without some classes", LEFT_OUT, markdown(tables[1])]
    if len(tables[2]) > 1:
        parts += ["## Specialists", SPECIALISTS, markdown(tables[2])]
    seconds = sum(one["cpu_seconds"] for group in groups for one in group.members)
    parts.append(f"All networks together: {seconds / 60:.1f} CPU minutes.")
    write_page(args, f"RESULTS: {data}", parts)
    print("\n\n".join(markdown(table) for table in tables if len(table) > 1))
    print(f"{args.out}: {sum(len(group.members) for group in groups)} networks, {seconds / 60:.1f} CPU minutes")


LEFT_OUT = (
    "The teacher has seen every class, the student has not. One number is added to the biases of the classes that the "
    "transfer set lacks (or to those of the only ones that it has): chosen on the test images, as in the paper, or on "
    "each half of them for the other half, so that no image is counted with a number that it helped to choose."
)
SPECIALISTS = (
    "Networks that begin as the generalist and learn a group of classes that it confuses, all others being one class; "
    "together with it by minimising the summed divergences (eq. 5 of the paper)."
)


def read(exp: str | Path) -> list[Group]:
    """The networks of a directory: those on labels first, the largest first, by temperature.

    Raises:
        UserError: there is none.
    """
    groups: dict[tuple[Any, ...], Group] = {}
    for path in sorted(Path(exp).glob(f"*/{RECORD}")):
        one = read_json(path)
        if "hidden" not in one:
            continue
        shape.check(one, MODEL, path)
        temperature, classes = one.get("temperature"), one["classes"]
        if not classes or not set(classes) <= set(EVERY):
            raise UserError(f"{path}: 'classes' are {classes}, expected some of 0 to {CLASSES - 1}; {shape.REMEDY}")
        key = (one["label"], one["hidden"], one["layers"], temperature, tuple(classes))
        group = groups.setdefault(key, Group(one["hidden"], one["layers"], temperature, classes, one["label"]))
        group.members.append(one | {"directory": path.parent})
    if not groups:
        raise UserError(f"{exp}: no network ({RECORD} of kdasr images train); run the stages before this one first")
    return sorted(groups.values(), key=lambda one: (-one.units, one.temperature or 0.0, -len(one.classes), one.label))


def main_table(groups: list[Group], data: str, tested: int) -> list[list[str]]:
    """A row a kind of network that saw every class."""
    rows = [["network", "learns from", "T", "paper", "test errors", "%", "seeds", "parameters", "CPU s each"]]
    for one in groups:
        paper = PAPER.get((one.units, one.temperature is not None, one.temperature), NONE) if data == "MNIST" else NONE
        seconds = np.mean([member["cpu_seconds"] for member in one.members])
        rows.append(
            [
                f"{one.label}, {one.size}",
                "labels" if one.temperature is None else "teacher",
                NONE if one.temperature is None else f"{one.temperature:g}",
                paper,
                spread(one.errors, ".0f" if len(one.members) == 1 else ".1f"),
                f"{100 * np.mean(one.errors) / tested:.2f}",
                str(len(one.members)),
                f"{one.members[0]['parameters']:,}",
                f"{seconds:.0f}",
            ]
        )
    return rows


def against_hard(groups: list[Group]) -> list[str]:
    """A sentence a network of several seeds: its errors against those of the same network on the labels."""
    said = []
    for one in groups:
        hard = next((other for other in groups if is_hard(other) and other.size == one.size), None)
        if one.temperature is None or hard is None or (apart := seeds_apart(hard.errors, one.errors)) is None:
            continue
        said.append(
            f"- {one.size}, T = {one.temperature:g}: {np.mean(one.errors) - np.mean(hard.errors):+.1f} errors against "
            f"the same network on the labels (Welch's 95 % interval over seeds {apart[0]:+.1f} to {apart[1]:+.1f})"
        )
    return ["\n".join(said)] if said else []


def left_out_table(groups: list[Group], labels: np.ndarray, data: str) -> list[list[str]]:
    """A row a transfer set and way to correct the biases."""
    rows = [["transfer set", "T", "biases", "offset", "test errors", "%", "missing classes right", "seeds", "paper"]]
    for one in groups:
        if one.classes == EVERY:
            continue
        missing = [number for number in EVERY if number not in one.classes]
        changed = min(missing, one.classes, key=len)
        name = f"{'no' if changed is missing else 'only'} {' '.join(map(str, changed))}"
        paper = PAPER_LEFT_OUT.get(name, (NONE, NONE)) if data == "MNIST" else (NONE, NONE)
        every = [logits_of(member["directory"], len(labels)) for member in one.members]
        plain = [Corrected((), logits.argmax(1) != labels) for logits in every]
        results = {"as learnt": plain}
        results |= {how: [by(logits, labels, changed) for logits in every] for how, by in CORRECTIONS.items()}
        of_missing = np.isin(labels, missing)
        for how, found in results.items():
            errors = [float(each.errors) for each in found]
            right = [100 * (1 - each.wrong[of_missing].mean()) for each in found]
            offsets = [offset for each in found for offset in each.offsets]
            rows.append(
                [
                    f"{name} ({one.members[0]['images']} images)",
                    f"{one.temperature:g}" if one.temperature else NONE,
                    how,
                    f"{np.mean(offsets):+.2f}" if offsets else NONE,
                    spread(errors, ".0f"),
                    f"{100 * np.mean(errors) / len(labels):.2f}",
                    f"{spread(right, '.1f')} %",
                    str(len(found)),
                    paper[0] if how == "as learnt" else paper[1] if how in list(CORRECTIONS)[:1] else NONE,
                ]
            )
    return rows


def specialist_table(exp: str | Path) -> list[list[str]]:
    """A row a set of specialists (kdasr images specialists)."""
    rows = [["generalist", "groups", "T of the groups", "generalist's errors", "together", "CPU s"]]
    for path in sorted(Path(exp).glob("*/specialists.json")):
        one = shape.read(path, SPECIALISTS_FILE)
        groups = "; ".join(" ".join(map(str, each["classes"])) for each in one["specialists"])
        row = [one["generalist"], groups, f"{one['temperature']:g}", str(one["alone"]), str(one["together"])]
        rows.append([*row, f"{one['cpu_seconds']:.0f}"])
    return rows


def curves(groups: list[Group]) -> dict[str, list[tuple[float, list[float]]]]:
    """By network, (T, errors of each seed) in ascending T, of those distilled at two temperatures or more."""
    found: dict[str, list[tuple[float, list[float]]]] = {}
    for one in groups:
        if one.temperature is not None:
            found.setdefault(one.size, []).append((one.temperature, one.errors))
    return {name: points for name, points in found.items() if len(points) > 1}


def references(groups: list[Group]) -> tuple[dict[str, float], float | None]:
    """Mean errors of the networks on labels by size, and of the teacher."""
    hard = {one.size: float(np.mean(one.errors)) for one in groups if is_hard(one)}
    teacher = next((float(np.mean(one.errors)) for one in groups if one.label == "teacher"), None)
    return hard, teacher


def is_hard(group: Group) -> bool:
    """Whether it is a student that learnt from the labels."""
    return group.temperature is None and group.label != "teacher"


def logits_of(directory: Path, tested: int) -> np.ndarray:
    """Logits (N, C) of a network on the test images; UserError if they are of others, or damaged."""
    path = directory / LOGITS
    try:
        with np.load(path) as stored:
            logits = stored["test"]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run kdasr images train again") from None
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise UserError(f"{path}: is damaged ({type(error).__name__}); run kdasr images train again") from None
    if logits.ndim != 2 or logits.shape[1] != CLASSES or logits.dtype.kind != "f":
        raise UserError(f"{path}: holds no logits of {CLASSES} classes; run kdasr images train again")
    if len(logits) != tested:
        raise UserError(
            f"{directory}: has {len(logits)} test images, --data has {tested}; name the data it was trained on"
        )
    return logits


def spread(values: list[float], form: str) -> str:
    """Mean ± standard deviation over seeds."""
    found = over_seeds(values)
    return format(found.mean, form) + ("" if found.sd is None else f" ± {found.sd:{form}}")
