"""Perplexities (and rescoring error rates, where there are some) as the table of Shi et al. 2019.

Models are grouped by the facts of kdasr.json: role (teacher or student), objective, whether finetuned. One whose record
lacks them (of an older kdasr) stands alone, and is compared with nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdasr import shape
from kdasr.errors import UserError
from kdasr.report.compare import Table
from kdasr.report.markdown import code
from kdasr.report.table import markdown
from kdasr.score.intervals import over_seeds, seeds_apart
from kdasr.shape import AMOUNT, COUNT, FLAG, NUMBER, TEXT, WHOLE, Each, Must

NONE = "-"
TUNED = "Lists were ranked by the weighted sum of their scores, with the weights that did best on the validation set:"
# Directories that hold no model, and what tables call what was measured there: of lists as they stand, and of all
# teachers together
TOGETHER = {"first_pass": "first pass", "ensemble": "ensemble"}
ORDER = (*TOGETHER, "teacher")  # of the rows; students follow, those on labels alone first, and those without facts
MODEL = {  # shapes of the files read: kdasr.json
    **dict.fromkeys(("label", "role", "objective"), TEXT),
    "finetuned": FLAG,
    "parameters": COUNT,
    "seed": WHOLE,
}
PPL = {"ppl": Must(AMOUNT)}
SCORE = {"wer": Must(AMOUNT), "signature": Must(TEXT)}
TUNING = dict.fromkeys(("wer_before", "wer", "wer_oracle"), Must(AMOUNT))
WEIGHTS = {"weights": Must(Each(NUMBER)), "tuned": TUNING}
KINDS = "mean ± standard deviation over seeds"
VERSUS = (
    "Against the student on labels alone (ce): the ratio of mean perplexities, and Welch's 95 % interval of their "
    "difference over seeds; beyond noise if the interval leaves out zero."
)


Kind = tuple[str, ...]  # (role, objective, whether finetuned), or the name of a directory


@dataclass
class Group:
    """Models that differ in their seed alone."""

    kind: Kind
    label: str
    members: list[dict[str, Any]] = field(default_factory=list)  # kdasr.json of each, and what was measured

    @property
    def is_teacher(self) -> bool:
        """Whether these are teachers, as they were trained first."""
        return self.kind[0] == "teacher" and self.kind[-1] == ""

    @property
    def is_student(self) -> bool:
        """Whether these are students."""
        return self.kind[0] == "student"

    @property
    def is_baseline(self) -> bool:
        """Whether these learned from the text alone, as what students are compared with."""
        return self.kind == ("student", "ce", "")


def results(exp: str | Path) -> tuple[list[str | Table], str]:
    """The parts of a page, and the one of them to print, in Markdown: the main table; UserError as `read`."""
    groups = read(exp)
    main, against, tuned = table(groups), versus(groups), tuning(groups)
    parts: list[str | Table] = [f"Perplexity over every token, {KINDS}.", main]
    if len(against) > 1:
        parts += [against, VERSUS]
    if len(tuned) > 1:
        parts += [TUNED, tuned, *(f"WER: {code(one)}" for one in signatures(groups))]
    return parts, markdown(main)


def read(exp: str | Path) -> list[Group]:
    """What is known of each kind of model: kdasr.json of each, and `rates` by column.

    Raises:
        UserError: no such directory, or no model with a perplexity or rescored lists in it.
    """
    groups: dict[Kind, Group] = {}
    for directory in sorted({path.parent for kind in ("ppl", "rescore_*") for path in Path(exp).glob(f"*/{kind}")}):
        about = shape.read(directory / "kdasr.json", MODEL) if (directory / "kdasr.json").exists() else {}
        rates = {f"{path.stem} ppl": shape.read(path, PPL)["ppl"] for path in sorted(directory.glob("ppl/*.json"))}
        signed, tuned = [], {}
        for path in sorted(directory.glob("rescore_*/*/score_wer/score.json")):
            name = f"{path.parts[-3]} {path.parts[-4].removeprefix('rescore_')}"  # the set, and whose lists
            score, weights = shape.read(path, SCORE), shape.read(path.parents[1] / "weights.json", WEIGHTS)
            rates[f"{name} WER"] = score["wer"]
            signed.append(score["signature"])
            if weights.get("tuned"):
                tuned[name] = weights
        kind = kind_of(directory.name, about)
        label = about.get("label") or TOGETHER.get(directory.name, directory.name)
        one = about | {"rates": rates, "signed": signed, "tuned": tuned}
        groups.setdefault(kind, Group(kind, label)).members.append(one)
    if not groups:
        raise UserError(f"{exp}: no language model with perplexities (*/ppl/*.json); run the stages up to ppl first")
    return sorted(groups.values(), key=lambda one: (_place(one), one.kind))


def kind_of(name: str, about: dict[str, Any]) -> Kind:
    """What a model is a run of; the name of its directory where its record does not say."""
    if about.get("role") not in ("teacher", "student") or "objective" not in about:
        return (name,)
    return about["role"], about["objective"], "finetuned" if about.get("finetuned") else ""


def table(groups: list[Group]) -> list[list[str]]:
    """A row a kind of model: parameters, share of a teacher's, seeds, and each column's mean over seeds."""
    every = dict.fromkeys(name for group in groups for one in group.members for name in one["rates"])
    columns = sorted(every, key=lambda name: not name.endswith(" ppl"))  # the others in their order
    teachers = next((group.members for group in groups if group.is_teacher), [])
    teacher = teachers[0].get("parameters") if teachers else None
    rows = [["model", "seeds", "parameters", "of one teacher", *columns]]
    for group in groups:
        members = group.members
        size = members[0].get("parameters")
        if group.kind == ("ensemble",) and teacher:
            size = teacher * len(teachers)
        share = f"{100 * size / teacher:.1f} %" if size and teacher else NONE
        cells = [_spread([one["rates"][name] for one in members if name in one["rates"]]) for name in columns]
        rows.append([group.label, str(len(members)), f"{size:,}" if size else NONE, share, *cells])
    return rows


def versus(groups: list[Group]) -> list[list[str]]:
    """A row a student and column: its mean over that of the student on labels alone, and whether seeds allow for it."""
    rows = [["model", "column", "ratio to ce", "difference, 95 % interval", "beyond noise"]]
    base = next((group.members for group in groups if group.is_baseline), [])
    for group in groups:
        members = group.members
        if not base or not group.is_student or group.is_baseline:
            continue
        for name in members[0]["rates"]:
            sides = [[one["rates"][name] for one in side if name in one["rates"]] for side in (base, members)]
            if not all(sides):
                continue
            apart = seeds_apart(*sides)
            ratio = over_seeds(sides[1]).mean / over_seeds(sides[0]).mean if over_seeds(sides[0]).mean else float("nan")
            between = NONE if apart is None else f"{apart[0]:+.2f} to {apart[1]:+.2f}"
            verdict = "one seed" if apart is None else "yes" if apart[0] > 0 or apart[1] < 0 else "no"
            rows.append([group.label, name, f"{ratio:.3f}", between, verdict])
    return rows


def tuning(groups: list[Group]) -> list[list[str]]:
    """A row a model and set that weights were tuned on: the weights, and what they did there."""
    rows = [["model", "seed", "tuned on", "weights", "WER before", "after", "at best (oracle)"]]
    for group in groups:
        for one in group.members:
            for name, found in one["tuned"].items():
                weights = " ".join(f"{key} {value:g}" for key, value in found["weights"].items() if value)
                rates = [f"{found['tuned'][key]:.2f}" for key in ("wer_before", "wer", "wer_oracle")]
                rows.append([group.label, str(one.get("seed", NONE)), name, weights, *rates])
    return rows


def signatures(groups: list[Group]) -> list[str]:
    """How the error rates were scored: one signature, if all were scored alike."""
    return list(dict.fromkeys(sign for group in groups for one in group.members for sign in one["signed"]))


def _place(group: Group) -> int:
    first = group.kind[0]
    if first in ORDER:
        return ORDER.index(first)
    return len(ORDER) + (0 if group.is_baseline else 1 if group.is_student else 2)


def _spread(values: list[float]) -> str:
    if not values:
        return NONE
    spread = over_seeds(values)
    return f"{spread.mean:.2f}" + ("" if spread.sd is None else f" ± {spread.sd:.2f}")
