"""Claims of a file, each held against the figures in git: docs/protocol.md says how a claim is made and judged.

docs/claims.yaml is one such file. A claim is a sentence, where its figures are, sets and search, the system and its
control as figures have them (role, network, recipe), the goal of the gap if there is one, and which way it should be.
A claim with a name may be shown on a page, one with `front` on the front page (kdasr/report/claim_pages.py).
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr import shape
from kdasr.errors import UserError
from kdasr.files import atomic_write, read_yaml
from kdasr.report import figures
from kdasr.report.collect import Scored, System, label_of, measure_of
from kdasr.report.compare import NONE, Table, share
from kdasr.report.markdown import block, inert, paragraph
from kdasr.report.table import markdown
from kdasr.score import crossed
from kdasr.score.crossed import Joint, Linearised
from kdasr.score.intervals import over_seeds
from kdasr.score.measures import Measure
from kdasr.shape import TEXT, Must

NAMED = dict.fromkeys(("role", "recipe", "network"), TEXT)
FRONT = {"row": Must(TEXT), "panel": TEXT}
CLAIM = {
    **dict.fromkeys(("claim", "figures", "tag", "expected"), Must(TEXT)),
    "sets": Must([TEXT]),
    "system": Must(NAMED),
    "control": Must(NAMED),
    "goal": NAMED,
    "teacher": NAMED,
    "name": TEXT,
    "front": FRONT,
}
FILE = {"title": TEXT, "claims": Must([CLAIM])}
EXPECTED = "better", "worse"
CONFIRMED, NOT_SEEN, REFUTED, ONE_SEED = "confirmed", "not seen", "refuted", "one seed: no interval"
REMEDY = "docs/claims.yaml is an example"
NOTE = (
    "Differences are system less control, in points of the score. Intervals are of 95 %, over seeds and utterances "
    "together (crossed random effects; Fieller's of the gap closed): docs/protocol.md has the model. Seeds' part: how "
    "much of the variance more seeds would take away. Gap closed: (control - system) / (control - goal), where these "
    "two are seen to differ; the seeds of a goal of one run are not in its interval, and of no claim how far students "
    "of another teacher would differ. Confirmed: the interval lies wholly on the side that was expected; refuted: "
    "wholly on the other; not seen: zero is in it."
)


@dataclass(frozen=True)
class Side:
    """The runs of one system on the sets of a claim."""

    label: str
    seeds: list[str]  # of each run
    linear: Linearised
    parameters: int | None = None
    updates: int | None = None  # of each run; None where they differ, or are not known

    @property
    def runs(self) -> str:
        """How many runs there are, and of how many seeds if these are fewer."""
        many, seeds = len(self.seeds), len(set(self.seeds))
        return str(many) if many == seeds else f"{many} of {seeds} seeds"

    @property
    def score(self) -> str:
        """Mean and standard deviation over runs."""
        spread = over_seeds(self.linear.scores.tolist())
        return f"{spread.mean:.2f}" + ("" if spread.sd is None else f" ± {spread.sd:.2f}")


@dataclass(frozen=True)
class Front:
    """How the front page shows a claim."""

    row: str  # what is compared, and on which data
    panel: str  # the title of its panel of the picture; empty: it has none


@dataclass(frozen=True)
class Judged:
    """A claim and what the figures say of it."""

    claim: str
    sets: tuple[str, ...]
    tag: str
    expected: str
    measure: Measure
    system: Side
    control: Side
    goal: Side | None
    difference: Joint | None  # None: a side has one seed
    gap: Joint | None
    teacher: Side | None = None  # of the students; shown, and part of no figure
    name: str = ""  # by which pages ask for it
    front: Front | None = None

    @property
    def verdict(self) -> str:
        """By the interval of the difference alone."""
        if self.difference is None:
            return ONE_SEED
        if not self.difference.beyond_noise:
            return NOT_SEEN
        better = self.difference.value * self.measure.sign > 0
        return CONFIRMED if better == (self.expected == "better") else REFUTED


def write_claims(path: str, out: str) -> str:
    """Judge the claims of a file, write them as Markdown, and return one line a claim.

    Raises:
        UserError: the file, or one that it names, cannot be read or lacks what a claim names; the claim is named.
    """
    title, found = judged(path)
    command = shlex.join(["kdasr", "claims", path, "-o", out])
    parts = [f"# {inert(title)}", markdown(table(found)), paragraph(NOTE), block([command])]
    with atomic_write(out, "wb") as stream:
        stream.write(("\n\n".join(parts) + "\n").encode("utf-8", "replace"))
    return "\n".join(f"{one.verdict}: {one.claim}" for one in found)


def judged(path: str | Path) -> tuple[str, list[Judged]]:
    """The title of a file of claims, and its claims with what the figures say of them."""
    told = read_yaml(path, REMEDY)
    shape.check(told, FILE, path, REMEDY)
    _known(told, FILE, str(path))
    read: dict[Path, list[System]] = {}
    found = []
    for number, claim in enumerate(told["claims"], 1):
        where = f"{path}: claim {number} ({claim['claim'][:60]})"
        _known(claim, CLAIM, where)
        if claim["expected"] not in EXPECTED:
            raise UserError(f"{where}: expected is {claim['expected']!r}; say {' or '.join(EXPECTED)}")
        source = Path(path).parent / claim["figures"]
        if source not in read:
            read[source] = list(figures.read(source).systems.values())
        found.append(_judge(claim, read[source], f"{where}: {source}"))
        if found[-1].name and found[-1].name in [one.name for one in found[:-1]]:
            raise UserError(f"{where}: another claim has the name {found[-1].name!r}; give it one of its own")
    return told.get("title") or "Claims", found


def table(found: Sequence[Judged]) -> Table:
    """A row a claim."""
    rows = [["claim", "set, search", "system", "runs", "score", "control", "runs", "score"]]
    rows[0] += ["difference", "seeds' part", "goal", "gap closed", "verdict"]
    for one in found:
        row = [one.claim, f"{' + '.join(one.sets)}, {one.tag}, {one.measure.name}"]
        for side in (one.system, one.control):
            row += [side.label, side.runs, side.score]
        change = one.difference
        row += (
            [f"{one.system.linear.score - one.control.linear.score:+.2f}", NONE]
            if change is None
            else [f"{change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}]", f"{100 * change.of_seeds:.0f} %"]
        )
        row += [NONE] if one.goal is None else [f"{one.goal.label}, {one.goal.runs}: {one.goal.score}"]
        row += [share(one.gap and (one.gap.value, one.gap.low, one.gap.high)), one.verdict]
        rows.append(row)
    return rows


def _judge(claim: dict[str, Any], every: list[System], where: str) -> Judged:
    """A claim beside the systems of its figures; `where` begins messages."""
    sets, tag = tuple(claim["sets"]), claim["tag"]
    if not sets:
        raise UserError(f"{where}: no set is named; name one behind `sets:`")
    names = [name for name in ("system", "control", "goal", "teacher") if claim.get(name) is not None]
    members = {name: _members(claim[name], every, sets, tag, f"{where}: {name}") for name in names}
    together = [one for runs in members.values() for one in runs]
    measure = measure_of(together)
    _same(together, sets, tag, where)
    sides = {name: _side(runs, measure, sets, tag) for name, runs in members.items()}
    system, control, goal = sides["system"].linear, sides["control"].linear, sides.get("goal")
    goal_teaches = goal is not None and members["goal"][0].is_teacher
    front = claim.get("front")
    if front is not None:
        _known(front, FRONT, f"{where}: front")
    return Judged(
        claim["claim"],
        sets,
        tag,
        claim["expected"],
        measure,
        sides["system"],
        sides["control"],
        goal,
        crossed.difference(control, system),
        crossed.gap_closed(control, system, goal.linear) if goal else None,
        sides.get("teacher") or (goal if goal_teaches else None),
        claim.get("name") or "",
        None if front is None else Front(front["row"], front.get("panel") or ""),
    )


def _side(runs: list[System], measure: Measure, sets: Sequence[str], tag: str) -> Side:
    linear = measure.linear([_utterances(one, sets, tag) for one in runs])
    facts = [{one.info.get(key) for one in runs} for key in ("parameters", "updates")]
    same = [found.pop() if len(found) == 1 else None for found in facts]
    return Side(label_of(runs), [one.seed for one in runs], linear, *same)


def _members(named: dict[str, Any], every: list[System], sets: Sequence[str], tag: str, where: str) -> list[System]:
    """The runs of a system that scored all of the sets."""
    _known(named, NAMED, where)
    kind = named.get("role") or "student", named.get("network") or "", named.get("recipe") or ""
    runs = [one for one in every if one.kind == kind]
    if not runs:
        others = ", ".join(sorted({" ".join(filter(None, one.kind)) for one in every}))
        raise UserError(
            f"{where}: no run of role {kind[0]}, network {kind[1]!r}, recipe {kind[2]!r} there; "
            f"name one of these (role, network, recipe): {others}"
        )
    found = [one for one in runs if all((tag, name) in one.scored for name in sets)]
    if not found:
        known = sorted({f"{there} {name}" for one in runs for there, name in one.scored})
        raise UserError(f"{where}: none of its runs has {tag} of {', '.join(sets)}; there are {', '.join(known)}")
    return found


def _same(every: list[System], sets: Sequence[str], tag: str, where: str) -> None:
    """UserError unless all scored the same utterances against the same references by the same rules."""
    for name in sets:
        first, *others = [(one, one.scored[tag, name]) for one in every]
        for one, scored in (first, *others):
            if not scored.utterances:
                raise UserError(f"{where}: {one.name} has no errors of single utterances of {name}; score it again")
            if _references(scored) != _references(first[1]):
                raise UserError(
                    f"{where}: {one.name} and {first[0].name} scored other utterances, references or rules in {name}; "
                    "score both again, or name another set"
                )


def _references(scored: Scored) -> tuple[object, dict[str, int]]:
    return scored.score.get("signature"), {key: row[1] for key, row in scored.utterances.items()}


def _utterances(one: System, sets: Sequence[str], tag: str) -> list[tuple[int, ...]]:
    """The statistics of a run's utterances, in one order for all runs."""
    return [row for name in sets for _, row in sorted(one.scored[tag, name].utterances.items())]


def _known(given: dict[Any, Any], kind: dict[str, Any], where: str) -> None:
    """UserError for a key that says nothing here: misspelt, it would be left out."""
    for key in given:
        if key not in kind:
            near = difflib.get_close_matches(str(key), kind, 1)
            raise UserError(f"{where}: has no key {key!r}; expected {near[0] if near else ', '.join(kind)}")
