"""Claims as pages show them: the front page's rows, which a sceptic should accept, and short tables of a few claims."""

from __future__ import annotations

from collections.abc import Sequence

from kdasr.report.claims import CONFIRMED, REFUTED, Judged, Side
from kdasr.report.compare import NONE, Table
from kdasr.score.crossed import Joint

MOST = 6  # rows that a visitor reads


def front_table(found: Sequence[Judged]) -> Table:
    """A row of each claim that has `front`: size, updates, teacher, the network with and without it, what is seen."""
    rows = [["data", "size", "updates", "teacher", "references alone", "taught", "difference", "gap closed", "better?"]]
    for one in found:
        if one.front is None:
            continue
        row = [f"{one.front.row} ({one.measure.name})", smaller(one), _updates(one)]
        row += [NONE if one.teacher is None else _scored(one.teacher), _scored(one.control), _scored(one.system)]
        rows.append([*row, difference(one), gap(one), answer(one)])
    return rows


def short_table(found: Sequence[Judged], names: Sequence[str]) -> Table:
    """A row of each named claim, in the order of the names.

    Raises:
        KeyError: no claim has one of the names, which it holds.
    """
    known = {one.name: one for one in found if one.name}
    rows = [["scored on", "system", "against", "difference", "gap closed", "verdict"]]
    for one in (known[name] for name in names):
        sides = [f"{side.label}: {_scored(side)}" for side in (one.system, one.control)]
        where = f"{' + '.join(one.sets)}, {one.tag}, {one.measure.name}"
        rows.append([where, *sides, difference(one), gap(one), one.verdict])
    return rows


def difference(one: Judged) -> str:
    """System less control in points, with its interval."""
    if one.difference is None:
        return f"{one.system.linear.score - one.control.linear.score:+.2f}"
    return f"{one.difference.value:+.2f} {_interval(one.difference, '+.2f')}"


def gap(one: Judged) -> str:
    """The share of the gap that is closed in percent, and what its other end is if that is no teacher."""
    if one.gap is None:
        return NONE
    shares = Joint(*(100 * end for end in (one.gap.value, one.gap.low, one.gap.high)), one.gap.freedom, 0.0)
    end = "" if one.goal is None or one.goal is one.teacher else f", to {one.goal.label}"
    return f"{shares.value:.0f} % {_interval(shares, '.0f')}{end}"


def answer(one: Judged) -> str:
    """Whether the system is seen to be better: the front page's last word."""
    if one.verdict not in (CONFIRMED, REFUTED):
        return one.verdict
    return "yes" if (one.verdict == CONFIRMED) == (one.expected == "better") else "no, worse"


def smaller(one: Judged) -> str:
    """The system's parameters as a share of its teacher's."""
    mine, whole = one.system.parameters, one.teacher and one.teacher.parameters
    return f"1/{whole / mine:.1f}" if mine and whole else NONE


def _updates(one: Judged) -> str:
    """Of system and control: one number where they are equal."""
    both = [NONE if side.updates is None else f"{side.updates:,}" for side in (one.system, one.control)]
    return both[0] if both[0] == both[1] else f"{both[0]}; references {both[1]}"


def _scored(side: Side) -> str:
    return f"{side.score} ({side.runs})"


def _interval(joint: Joint, form: str) -> str:
    return f"[{joint.low:{form}}, {joint.high:{form}}]"
