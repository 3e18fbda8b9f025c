"""Test errors as tables (Hinton et al. 2015, section 3), and against T as a picture.

Networks are grouped by the facts of kdasr.json: role (teacher or student), size, temperature (null: from labels),
classes of the transfer set, epochs, weight of the soft targets, number of teachers. One whose record lacks `role` (of
an older kdasr) stands alone, and nothing is compared with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
from bias import Corrected, crossed, on_all
from idx import CLASSES
from image_set import load, name_of
from picture import draw

from kdasr import shape
from kdasr.classify.settings import LOGITS, RECORD
from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.report.compare import Table
from kdasr.report.table import markdown
from kdasr.score.intervals import over_seeds, seeds_apart
from kdasr.shape import AMOUNT, COUNT, TEXT, Must

NONE = "-"
EVERY = list(range(CLASSES))
MODEL = {  # shapes of the files read: RECORD
    "label": Must(TEXT),
    "role": TEXT,
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
    role: str = ""  # teacher, student, or not known
    members: list[dict[str, Any]] = field(default_factory=list)  # kdasr.json of each, and its `directory`

    @property
    def errors(self) -> list[float]:
        """Test errors of each."""
        return [float(one["errors"]) for one in self.members]

    @property
    def size(self) -> str:
        """As in 2x800."""
        return f"{self.layers}x{self.units}"


class Results(NamedTuple):
    """What a page says."""

    title: str
    parts: list[str | Table]
    tables: str  # alone, in Markdown
    summary: str  # a line about the networks


def results(exp: str | Path, path: str | Path, picture: str | None = None) -> Results:
    """The tables of all networks of a directory; and a picture is written, if it has a name.

    Args:
        exp: directory of networks.
        path: of the images, as local/images_data.py wrote them.
        picture: errors against T, an SVG.

    Raises:
        UserError: there is no network, or a file is missing, damaged or of other images.
    """
    data, groups = name_of(path), read(exp)
    labels = load(path)["test"].labels.numpy()
    whole = [one for one in groups if one.classes == EVERY]
    tables = [main_table(whole, data, len(labels)), left_out_table(groups, labels, data)]
    tables.append(specialist_table(exp))
    parts: list[str | Table] = [f"Errors on {len(labels)} test images: mean ± standard deviation over seeds."]
    parts += [tables[0], *against_hard(whole)]
    if picture and (lines := curves(whole)):
        draw(picture, lines, *references(whole))
        parts.append(f"![test errors against the temperature]({quote(Path(picture).name)})")
    if len(tables[1]) > 1:
        parts += ["## Transfer sets without some classes", LEFT_OUT, tables[1]]
    if len(tables[2]) > 1:
        parts += ["## Specialists", SPECIALISTS, tables[2]]
    seconds = sum(one["cpu_seconds"] for group in groups for one in group.members)
    parts.append(f"All networks together: {seconds / 60:.1f} CPU minutes.")
    shown = "\n\n".join(markdown(table) for table in tables if len(table) > 1)
    summary = f"{sum(len(group.members) for group in groups)} networks, {seconds / 60:.1f} CPU minutes"
    return Results(f"RESULTS: {data}", parts, shown, summary)


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
        role, size = one.get("role", ""), (one["hidden"], one["layers"])
        learning = one.get("epochs"), one.get("soft_weight"), len(one.get("teachers", ()))
        key = (role or path.parent.name, *size, temperature, tuple(classes), *learning)
        group = groups.setdefault(key, Group(*size, temperature, classes, one["label"], role))
        group.members.append(one | {"directory": path.parent})
    if not groups:
        raise UserError(f"{exp}: no network ({RECORD} of local/images_train.py); run the stages before this one first")
    return sorted(groups.values(), key=lambda one: (-one.units, one.temperature or 0.0, -len(one.classes), one.role))


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
    teacher = next((float(np.mean(one.errors)) for one in groups if one.role == "teacher"), None)
    return hard, teacher


def is_hard(group: Group) -> bool:
    """Whether it is a student that learnt from the labels."""
    return group.temperature is None and group.role == "student"


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
