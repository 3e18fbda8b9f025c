"""Frame accuracies and word error rates as the tables of Hinton et al. 2015, sections 4 to 6.

Networks are grouped by the facts of kdasr.json: whether they are the baseline, what a recipe calls them, share of the
data, temperature (null: from labels). One whose record lacks `recipe` (of an older kdasr) stands alone, and is no
baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kdasr import shape
from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.report.compare import Table
from kdasr.report.markdown import code, inert, paragraph
from kdasr.report.table import markdown
from kdasr.score.intervals import Spread, over_seeds
from kdasr.shape import AMOUNT, COUNT, FLAG, NUMBER, TEXT, Must

NONE = "-"
ENSEMBLE = "ensemble"  # directory of the ensemble's predictions
TRAINING = "train"  # with what the name of a set begins that networks learnt from
PAPER = {"baseline": ("58.9 %", "10.9 %"), ENSEMBLE: ("61.1 %", "10.7 %"), "distilled": ("60.8 %", "10.7 %")}
PAPER_FEW = {  # by targets and whether of all data: frame accuracy in training and in test
    ("hard", True): ("63.4 %", "58.9 %"),
    ("hard", False): ("67.3 %", "44.5 %"),
    ("soft", False): ("65.4 %", "57.0 %"),
}
MODEL = {  # shapes of the files read: kdasr.json
    "label": Must(TEXT),
    "recipe": TEXT,
    "baseline": FLAG,
    "temperature": AMOUNT,
    **dict.fromkeys(("share", "train_accuracy", "valid_accuracy", "cpu_seconds"), Must(AMOUNT)),
    **dict.fromkeys(("parameters", "frames", "epochs", "best_epoch"), Must(COUNT)),
}
PREDICTED = {"accuracy": Must(AMOUNT), "models": Must([TEXT]), "cpu_seconds": Must(AMOUNT)}
DECODED = {"cpu_seconds": Must(AMOUNT)}
SCORE = {"wer": Must(AMOUNT), "interval95": Must((NUMBER, NUMBER)), "signature": Must(TEXT)}
SPECIALISTS_FILE = {
    "generalist": Must(TEXT),
    "groups": Must([{"states": Must([TEXT])}]),
    **dict.fromkeys(("alone", "together", "tested"), Must(COUNT)),
    **dict.fromkeys(("temperature", "cpu_seconds"), Must(AMOUNT)),
}
INTRODUCTION = (
    "Frame accuracy is the share of frames whose state, as the alignment has it, is the most probable one; mean ± "
    "standard deviation over seeds. The paper's figures are of another corpus (2000 hours, 14,000 states, an ensemble "
    "of 10 networks, and the best T of 1, 2, 5 and 10), so that only differences between rows compare."
)
FEW_DATA = (
    "Networks that learn from a few percent of the training data, from labels (hard) or from the soft targets of a "
    "network that has seen all of it. In the paper: 3 %, and the hard ones were stopped early."
)
SPECIALISTS = (
    "Networks that begin as the generalist and learn a group of states that it confuses, all others being one class; "
    "together with it by minimising the summed divergences (eq. 5 of the paper)."
)


@dataclass
class Predicted:
    """What was found on one set."""

    accuracy: float  # percent of frames
    models: list[str]
    seconds: float  # CPU, of prediction and decoding
    score: dict[str, Any]  # kdasr score's; empty if it was not decoded

    @property
    def wer(self) -> float | None:
        """In percent."""
        return self.score.get("wer")


@dataclass
class Group:
    """Networks that differ in their seed alone; or the ensemble, which has no `members`."""

    label: str
    recipe: str = ""  # what a recipe calls them; empty if it is not known
    share: float = 1.0  # of the training data
    temperature: float | None = None  # None: learns from labels
    is_baseline: bool = False
    members: list[dict[str, Any]] = field(default_factory=list)  # kdasr.json of each, and its `name`
    sets: list[dict[str, Predicted]] = field(default_factory=list)  # of each member, by set

    @property
    def is_distilled(self) -> bool:
        """Whether these learned from predictions of networks, of all data."""
        return self.temperature is not None and self.share == 1.0

    @property
    def targets(self) -> str:
        """What the paper calls what they learned from."""
        return "hard" if self.temperature is None else "soft"

    @property
    def t(self) -> str:
        """The temperature, for a table."""
        return NONE if self.temperature is None else f"{self.temperature:g}"

    def mean(self, key: str) -> float:
        """Of an entry of kdasr.json, over seeds."""
        return float(np.mean([one[key] for one in self.members]))

    def training(self) -> list[float]:
        """Frame accuracies on the training set: each network's own, or the ensemble's if it predicted that."""
        together = [one.accuracy for sets in self.sets for name, one in sets.items() if name.startswith(TRAINING)]
        return [one["train_accuracy"] for one in self.members] or together

    def accuracies(self, name: str) -> list[float]:
        """On a set, of those members that have predicted it."""
        return [one[name].accuracy for one in self.sets if name in one]

    def rates(self, name: str) -> list[float]:
        """Word error rates on a set, of those members that have decoded it."""
        return [wer for one in self.sets if name in one and (wer := one[name].wer) is not None]


def results(exp: str | Path) -> tuple[list[str | Table], str, str]:
    """The parts of a page, the tables alone in Markdown, and a line about the networks; UserError as `read`."""
    groups, ensemble = read(exp)
    few = recipes_of_few(groups)
    whole = [one for one in groups if one.share == 1.0 and one.recipe not in few]
    tables = [main_table(whole, ensemble), few_table(groups), specialist_table(exp)]
    parts: list[str | Table] = [INTRODUCTION, tables[0]]
    parts += scored_as([*groups, *([ensemble] if ensemble else [])])
    parts += kept(whole, ensemble)
    if len(tables[1]) > 1:
        parts += ["## Few training data", FEW_DATA, tables[1]]
    if len(tables[2]) > 1:
        parts += ["## Specialists", SPECIALISTS, tables[2], *specialist_groups(exp)]
    seconds = sum(one["cpu_seconds"] for group in groups for one in group.members)
    parts.append(f"All networks together: {seconds / 60:.1f} CPU minutes.")
    shown = "\n\n".join(markdown(table) for table in tables if len(table) > 1)
    return parts, shown, f"{sum(len(group.members) for group in groups)} networks, {seconds / 60:.1f} CPU minutes"


def read(exp: str | Path) -> tuple[list[Group], Group | None]:
    """The networks of a directory, baselines first, by share and temperature; and the ensemble, if there is one.

    Raises:
        UserError: there is no network.
    """
    groups: dict[tuple[Any, ...], Group] = {}
    for path in sorted(Path(exp).glob("*/kdasr.json")):
        one = read_json(path)
        if "train_accuracy" not in one:
            continue
        shape.check(one, MODEL, path)
        recipe = one.get("recipe") or ""
        facts = recipe, one["share"], one.get("temperature"), bool(recipe and one.get("baseline"))
        group = groups.setdefault(facts if recipe else (path.parent.name,), Group(one["label"], *facts))
        group.members.append(one | {"name": path.parent.name})
        group.sets.append(predicted(path.parent))
    if not groups:
        raise UserError(f"{exp}: no network (kdasr.json of kdasr frames train); run the stages before this one first")
    together = predicted(Path(exp) / ENSEMBLE)
    found = sorted(
        groups.values(), key=lambda one: (not one.is_baseline, _place(one), one.recipe, one.label, *_costs(one))
    )
    return found, Group(ENSEMBLE, sets=[together]) if together else None


def _place(group: Group) -> int:
    """On labels, on predictions of all data, of few data."""
    return 2 if group.share < 1.0 else int(group.temperature is not None)


def _costs(group: Group) -> tuple[float, float]:
    return -group.share, group.temperature or 0.0


def predicted(directory: Path) -> dict[str, Predicted]:
    """The sets that a network (or an ensemble) has predicted, by name."""
    found = {}
    for path in sorted(directory.glob("predict_*/predict.json")):
        one, decoded, scored = (
            shape.read(path, PREDICTED),
            path.parent / "decode/decode.json",
            path.parent / "decode/score_wer",
        )
        seconds = one["cpu_seconds"] + (shape.read(decoded, DECODED)["cpu_seconds"] if decoded.is_file() else 0.0)
        score = shape.read(scored / "score.json", SCORE) if (scored / "score.json").is_file() else {}
        name = path.parent.name.removeprefix("predict_")
        found[name] = Predicted(one["accuracy"], one["models"], seconds, score)
    return found


def sets_of(groups: list[Group]) -> list[str]:
    """Names of the sets that any of them has predicted, training sets left out."""
    return sorted({name for group in groups for one in group.sets for name in one if not name.startswith(TRAINING)})


def columns(groups: list[Group]) -> dict[str, Callable[[Group], str]]:
    """By its heading, how each column of accuracies and error rates is filled; sets never decoded have no WER."""
    names = sets_of(groups)
    decoded = [name for name in names if any(one.rates(name) for one in groups)]
    found: dict[str, Callable[[Group], str]] = {"train frame accuracy": lambda one: percent(one.training())}
    found |= {f"{name} frame accuracy": lambda one, name=name: percent(one.accuracies(name)) for name in names}
    return found | {f"{name} WER": lambda one, name=name: percent(one.rates(name)) for name in decoded}


def main_table(groups: list[Group], ensemble: Group | None) -> list[list[str]]:
    """A row a kind of network, the ensemble after the baseline."""
    every = [*groups, *([ensemble] if ensemble else [])]
    measured = columns(every)
    rows = [["system", "T", "paper frame accuracy", "paper WER", *measured, "seeds", "parameters", "CPU s"]]
    for one in sorted(every, key=lambda one: (not one.is_baseline, one is not ensemble)):
        members = one.members if one is not ensemble else members_of(one, groups)
        system, seeds = one.label, str(len(members))
        size, spent = sum(each["parameters"] for each in members), sum(each["cpu_seconds"] for each in members)
        if one is ensemble:
            count = max(len(each.models) for each in one.sets[0].values())
            system, seeds, whole = f"{ENSEMBLE} of {count}", "1", len(members) == count
            size, spent = (size, spent) if whole else (0, 0.0)  # not known unless all of them are here
        else:
            size, spent = size // len(members), spent / len(members)
        paper = ENSEMBLE if one is ensemble else "baseline" if one.is_baseline else "distilled" * one.is_distilled
        row = [system, one.t, *PAPER.get(paper, (NONE, NONE)), *(fill(one) for fill in measured.values())]
        rows.append([*row, seeds, f"{size:,}" if size else NONE, f"{spent:.0f}" if size else NONE])
    return rows


def members_of(ensemble: Group, groups: list[Group]) -> list[dict[str, Any]]:
    """The networks of an ensemble that are in these groups."""
    names = {Path(name).name for one in ensemble.sets[0].values() for name in one.models}
    return [one for group in groups for one in group.members if one["name"] in names]


def scored_as(groups: list[Group]) -> list[str]:
    """How word errors were counted, and how far one system's rate can be off on a set of this size."""
    every = [(name, one) for group in groups for sets in group.sets for name, one in sets.items() if one.score]
    if not every:
        return []
    widths: dict[str, list[float]] = {}
    for name, one in every:
        low, high = one.score["interval95"]
        widths.setdefault(name, []).append((high - low) / 2)
    shown = ", ".join(f"{inert(name)} ± {np.mean(each):.2f}" for name, each in sorted(widths.items()))
    said = [f"WER of one system, 95 % interval of a bootstrap over utterances, in points: {shown}."]
    return said + [f"Signature: {code(text)}" for text in sorted({one.score["signature"] for _, one in every})]


def kept(groups: list[Group], ensemble: Group | None) -> list[str]:
    """A sentence: how much of the ensemble's gain in frame accuracy the distilled network has, on each set.

    It is on the temperature that is best on the validation set; and on that with most seeds, if these are more.
    """
    base = next((one for one in groups if one.is_baseline and one.share == 1.0), None)
    distilled = [one for one in groups if one.is_distilled]
    if base is None or ensemble is None or not distilled:
        return []
    best = max(distilled, key=lambda one: one.mean("valid_accuracy"))
    most = max(distilled, key=lambda one: len(one.members))
    said = shares(best, base, ensemble)
    if not said:
        return []
    more = ""
    if len(most.members) > len(best.members):
        more = f" At T = {most.t}: {shares(most, base, ensemble)}."
    return [
        f"Of what the ensemble gains in frame accuracy over the mean baseline, the distilled network at T = {best.t} "
        f"(the best of {len(distilled)} by validation accuracy) keeps {said}.{more} Paper: 86 % "
        "((60.8 - 58.9) / (61.1 - 58.9))."
    ]


def shares(one: Group, base: Group, ensemble: Group) -> str:
    """The ensemble's gain over the baseline on each set, and what share of it a group has; empty if not known."""
    said = []
    for name in sets_of([ensemble]):
        plain, found = base.accuracies(name), one.accuracies(name)
        if not plain or not found:
            continue
        gain = ensemble.sets[0][name].accuracy - float(np.mean(plain))
        if gain <= 0:
            said.append(f"on {inert(name)} the ensemble gains nothing ({gain:+.2f} points)")
            continue
        share = over_seeds([100 * (each - float(np.mean(plain))) / gain for each in found])
        said.append(f"{share.mean:.0f} % on {inert(name)}{between(share)} of {gain:.2f} points")
    return "; ".join(said)


def between(share: Spread) -> str:
    """The interval of a share over seeds, if there are several."""
    if share.low is None or share.high is None:
        return " (one seed)"
    return f" (95 % interval over its seeds {share.low:.0f} to {share.high:.0f} %)"


def recipes_of_few(groups: list[Group]) -> set[str]:
    """What a recipe calls networks of few data."""
    return {one.recipe for one in groups if one.share < 1.0 and one.recipe}


def few_table(groups: list[Group]) -> list[list[str]]:
    """A row a kind of network of few data, after those of the same recipe that have seen all, or the baseline."""
    few = [one for one in groups if one.share < 1.0]
    full = [one for one in groups if one.share == 1.0 and one.recipe in recipes_of_few(groups)]
    full = full or [one for one in groups if one.is_baseline and one.share == 1.0]
    measured = columns([*full, *few])
    rows = [["training data", "targets", "T", "paper train", "paper test", *measured, "seeds", "frames", "best epoch"]]
    if not few:
        return rows
    for one in [*full, *sorted(few, key=lambda one: (one.targets, *_costs(one)))]:
        paper = PAPER_FEW.get((one.targets, one.share == 1.0), (NONE, NONE))
        row = [f"{100 * one.share:g} %", one.targets, one.t, *paper]
        row += [fill(one) for fill in measured.values()]
        epochs = f"{round(one.mean('best_epoch'), 1):g} of {one.mean('epochs'):g}"
        rows.append([*row, str(len(one.members)), f"{one.mean('frames'):,.0f}", epochs])
    return rows


def specialist_table(exp: str | Path) -> list[list[str]]:
    """A row a set of specialists (kdasr frames specialists)."""
    rows = [["specialists", "generalist", "groups", "T of the groups", "frames", "generalist", "together", "change"]]
    rows[0].append("CPU s")
    for path in sorted(Path(exp).glob("specialists_*/specialists.json")):
        one = shape.read(path, SPECIALISTS_FILE)
        alone, together = (100 * one[key] / max(one["tested"], 1) for key in ("alone", "together"))
        sizes = " ".join(str(len(each["states"])) for each in one["groups"])
        row = [path.parent.name, one["generalist"], f"{len(one['groups'])}, of {sizes} states"]
        row += [f"{one['temperature']:g}", f"{one['tested']:,}", f"{alone:.2f} %", f"{together:.2f} %"]
        rows.append([*row, f"{together - alone:+.2f}", f"{one['cpu_seconds']:.0f}"])
    return rows


def specialist_groups(exp: str | Path, most: int = 8) -> list[str]:
    """The groups of each set of specialists, each by its first states."""
    lines = []
    for path in sorted(Path(exp).glob("specialists_*/specialists.json")):
        every = [one["states"] for one in shape.read(path, SPECIALISTS_FILE)["groups"]]
        groups = "; ".join(
            " ".join(map(code, states[:most])) + (" ..." if len(states) > most else "") for states in every
        )
        lines.append(f"- {paragraph(path.parent.name)}: {groups}")
    return ["\n".join(lines)]


def percent(values: list[float]) -> str:
    """Mean ± standard deviation over seeds."""
    if not values:
        return NONE
    found = over_seeds(values)
    return f"{found.mean:.2f}" + ("" if found.sd is None else f" ± {found.sd:.2f}") + " %"
