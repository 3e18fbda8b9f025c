"""The front page's picture: of each claim a panel with teacher, the small network alone, and taught, by size and score.

An SVG that stands by itself, with its own background and colours for light and dark, so that any page can show it.
Upwards is better in every panel, whichever way its score counts; across is the number of parameters (logarithmic).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.report.claims import Judged, Side, judged
from kdasr.report.markdown import visible
from kdasr.report.plots import short

PANEL, HEIGHT = 240, 252  # pixels
TOP, BOTTOM, LEFT, RIGHT = 68, 48, 100, 52  # around the points of a panel
APART = 16  # pixels between two labels
STYLE = """
    svg { --paper: #ffffff; --ink: #24292f; --faint: #8c959f; --taught: #0072b2; }
    @media (prefers-color-scheme: dark) {
      svg { --paper: #0d1117; --ink: #e6edf3; --faint: #8b949e; --taught: #56b4e9; }
    }
    text { fill: var(--ink); font: 14px system-ui, sans-serif; }
    .paper { fill: var(--paper); }
    .head { font-weight: 600; text-anchor: middle; }
    .faint { fill: var(--faint); font-size: 13px; }
    .middle { text-anchor: middle; }
    .end { text-anchor: end; }
    .taught { fill: var(--taught); stroke: none; }
    text.taught { font-weight: 600; }
    .alone { fill: var(--paper); stroke: var(--ink); stroke-width: 1.5; }
    .teacher { fill: var(--ink); }
    .rule { stroke: var(--faint); stroke-width: 1; }
    .way { stroke: var(--taught); stroke-width: 2; }
"""


@dataclass(frozen=True)
class Mark:
    """One system of a panel."""

    kind: str  # teacher, alone or taught
    side: Side
    x: float
    y: float
    spread: float  # pixels of a standard deviation


def write_picture(path: str | Path, out: str | Path) -> None:
    """Draw the claims of a file that have a panel.

    Raises:
        UserError: no claim has one, or a side lacks its number of parameters, or it has no teacher.
    """
    _, found = judged(path)
    shown = [one for one in found if one.front and one.front.panel]
    if not shown:
        raise UserError(f"{path}: no claim has a panel; give one of them `front: {{row: ..., panel: ...}}`")
    for one in shown:
        if not (one.teacher and one.teacher.parameters and one.system.parameters):
            raise UserError(f"{path}: '{one.claim}' has a panel but no teacher of known size; name `teacher:`")
    with atomic_write(out) as stream:
        stream.write(picture(shown))


def picture(shown: Sequence[Judged]) -> str:
    """The SVG of claims that all have a panel, a teacher, and known sizes."""
    wide = PANEL * len(shown)
    told = "; ".join(_described(one) for one in shown)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {HEIGHT}" width="{wide}" role="img">',
        f"  <title>{_text(told)}</title>",
        f"  <style>{STYLE}  </style>",
        f'  <rect class="paper" width="{wide}" height="{HEIGHT}" rx="8"/>',
    ]
    for place, one in enumerate(shown):
        parts += [f'  <g transform="translate({PANEL * place} 0)">', *(f"    {line}" for line in _panel(one)), "  </g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def marks(one: Judged) -> list[Mark]:
    """Where the three systems of a panel stand: the better, the higher; the larger, the further right."""
    assert one.teacher and one.teacher.parameters and one.system.parameters
    sides = {"teacher": one.teacher, "alone": one.control, "taught": one.system}
    good = {kind: one.measure.sign * side.linear.score for kind, side in sides.items()}
    spreads = {kind: _spread(side) for kind, side in sides.items()}
    low = min(good[kind] - spreads[kind] for kind in sides)
    high = max(good[kind] + spreads[kind] for kind in sides)
    pixels = (HEIGHT - TOP - BOTTOM) / (high - low or 1.0)
    sizes = [one.system.parameters, one.teacher.parameters]
    across = (PANEL - LEFT - RIGHT) / (math.log(max(sizes) / min(sizes)) or 1.0)
    found = []
    for kind, side in sides.items():
        size = side.parameters or one.system.parameters
        x = LEFT + across * math.log(size / min(sizes))
        found.append(Mark(kind, side, x, TOP + (high - good[kind]) * pixels, spreads[kind] * pixels))
    return found


def _panel(one: Judged) -> list[str]:
    """The lines of a panel."""
    teacher, alone, taught = marks(one)
    foot = HEIGHT - BOTTOM + 16
    lines = [f'<text class="head" x="{PANEL / 2:.0f}" y="22">{_text(one.front.panel if one.front else "")}</text>']
    lines += [f'<text class="faint middle" x="{PANEL / 2:.0f}" y="39">{one.measure.name}, better upwards</text>']
    lines += [_line("rule", 20, foot - 8, PANEL - 12, foot - 8)]
    for mark in (taught, teacher):
        size = short(float(f"{mark.side.parameters or 0:.2g}"))
        lines.append(f'<text class="faint middle" x="{mark.x:.1f}" y="{foot + 9}">{size}</text>')
    lines.append(f'<text class="faint middle" x="{(taught.x + teacher.x) / 2:.1f}" y="{foot + 24}">parameters</text>')
    for mark in (teacher, alone, taught):
        if mark.spread:
            lines.append(_line("rule", mark.x, mark.y - mark.spread, mark.x, mark.y + mark.spread))
    down = 1 if taught.y > alone.y else -1
    if abs(taught.y - alone.y) > 12:  # an arrow from the network alone to the taught one
        tip = taught.y - 6 * down
        lines.append(_line("way", alone.x, alone.y + 6 * down, taught.x, tip))
        lines.append(f'<path class="taught" d="M{taught.x - 5:.1f} {tip - 6 * down:.1f}h10l-5 {6 * down}z"/>')
    x, y = teacher.x, teacher.y
    lines.append(f'<path class="teacher" d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z"/>')
    lines.append(f'<circle class="alone" cx="{alone.x:.1f}" cy="{alone.y:.1f}" r="5"/>')
    lines.append(f'<circle class="taught" cx="{taught.x:.1f}" cy="{taught.y:.1f}" r="5.5"/>')
    first, second = sorted((alone, taught), key=lambda mark: mark.y)
    push = max(0.0, APART - (second.y - first.y)) / 2
    for mark, y in ((first, first.y - push), (second, second.y + push)):
        name, kind = ("taught", "taught end") if mark is taught else ("alone", "end")
        lines.append(f'<text class="{kind}" x="{mark.x - 11:.1f}" y="{y + 4:.1f}">{name} {_score(mark)}</text>')
    lines.append(f'<text class="middle" x="{teacher.x:.1f}" y="{teacher.y - 12:.1f}">teacher {_score(teacher)}</text>')
    return lines


def _line(kind: str, *ends: float) -> str:
    return '<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(kind, *ends)


def _score(mark: Mark) -> str:
    return f"{mark.side.linear.score:.1f}"


def _spread(side: Side) -> float:
    """Standard deviation over runs, in points; 0 of one run."""
    scores = side.linear.scores
    return float(scores.std(ddof=1)) if len(scores) > 1 else 0.0


def _described(one: Judged) -> str:
    teacher = one.teacher.score if one.teacher else ""
    panel = one.front.panel if one.front else ""
    return (
        f"{panel}: {one.measure.name} of the teacher {teacher}, of the small network on references alone "
        f"{one.control.score}, taught {one.system.score}"
    )


def _text(text: str) -> str:
    return escape(visible(text))
