"""The page's pictures: size and speed against error rate, training curves, what the N-best holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdasr.report.headline import front
from kdasr.report.svg import FOREGROUND, colour, inline, marker

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (4.2, 3.0)  # inches, so that letters are large enough on a phone's 360 pixels
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "kdasr",  # ids do not change from run to run
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.size": 8.5,
    "text.color": FOREGROUND,
    "axes.edgecolor": FOREGROUND,
    "axes.labelcolor": FOREGROUND,
    "xtick.color": FOREGROUND,
    "ytick.color": FOREGROUND,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FOREGROUND,
    "grid.alpha": 0.12,
    "lines.linewidth": 1.4,
}


@dataclass(frozen=True)
class Point:
    """A label in a picture of costs: x is the smaller the better."""

    number: int  # of the label
    x: float
    y: float
    told: str  # under the pointer
    sd: float | None = None
    hollow: bool = False
    name: str = ""  # written beside it where it is on the front


@dataclass(frozen=True)
class Line:
    """A line of a picture of curves."""

    number: int  # its colour and shape
    points: Sequence[tuple[float, float]]
    told: str
    name: str = ""  # written at its end


def costs(points: Sequence[Point], across: str, up: str, prefix: str, high: bool = False) -> str:
    """Points, those of one label joined, with the Pareto front; x is logarithmic. high: a higher y is better."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    sign = -1 if high else 1
    kept = [points[k] for k in front([(one.x, sign * one.y) for one in points])]
    with _figure() as (figure, axes):
        axes.set_xscale("log")
        corners = [(one.x, one.y) for one in kept]
        steps = [*corners, (max(one.x for one in points) * 1.5, kept[-1].y)]
        axes.step(*zip(*steps, strict=True), where="post", color=FOREGROUND, ls=(0, (2, 2)), lw=1, alpha=0.7, zorder=1)
        for number in sorted({one.number for one in points}):
            mine = sorted((one.x, one.y) for one in points if one.number == number)
            axes.plot(*zip(*mine, strict=True), color=colour(number), lw=0.8, alpha=0.6, zorder=2)
        titles = {}
        for place, one in enumerate(points):
            name = f"series-{one.number}-{place}"
            titles[name] = one.told
            shown = colour(one.number)
            if one.sd:
                axes.errorbar(one.x, one.y, one.sd, color=shown, lw=1, capsize=2, capthick=1, zorder=2, alpha=0.8)
            (drawn,) = axes.plot(
                one.x, one.y, marker(one.number), ms=7, zorder=3, mec=shown if one.hollow else FOREGROUND,
                mfc="none" if one.hollow else shown, mew=1.4 if one.hollow else 0.5,
            )  # fmt: skip
            drawn.set_gid(name)
        for one in kept:
            # to the left of the front, and below it (above, where high is better), there is no other point
            axes.annotate(
                _printable(one.name),
                (one.x, one.y),
                (-4, -4 * sign),
                textcoords="offset points",
                ha="right",
                va="bottom" if high else "top",
                fontsize=7,
            )
        xs = [one.x for one in points]
        axes.set_xlim(min(xs) / 1.5, max(xs) * 1.35)
        lowest, highest = min(one.y - (one.sd or 0) for one in points), max(one.y + (one.sd or 0) for one in points)
        room = 0.12 * (highest - lowest or highest or 1)
        below, above = (1.0, 1.5) if high else (1.5, 1.0)
        axes.set_ylim(max(0, lowest - below * room), highest + above * room)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axes.set_xlabel(_printable(across))
        axes.set_ylabel(_printable(up))
        described = f"{up} against {across}. On the Pareto front: " + "; ".join(one.told for one in kept)
        return inline(figure, prefix, described, titles)


def curves(lines: Sequence[Line], across: str, up: str, prefix: str, whole: bool = False) -> str:
    """Lines that share a picture; whole: x counts, each point is marked, and the lines are not those of labels."""
    from matplotlib.ticker import MaxNLocator

    with _figure() as (figure, axes):
        titles = {}
        for place, one in enumerate(lines):
            xs, ys = zip(*one.points, strict=True)
            name = f"part-{place}" if whole else f"series-{one.number}-{place}"
            titles[name] = one.told
            marked = range(len(xs)) if whole else [len(xs) - 1]
            (drawn,) = axes.plot(
                xs, ys, marker=marker(one.number), markevery=list(marked), ms=5, color=colour(one.number),
                mec=FOREGROUND, mew=0.4,
            )  # fmt: skip
            drawn.set_gid(name)
            if one.name:
                axes.annotate(_printable(one.name), (xs[-1], ys[-1]), (7, -3), textcoords="offset points")
        if whole:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_ylim(bottom=0)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        ends = "; ".join(f"{one.told} ends at {one.points[-1][1]:.3g}" for one in lines[:20])
        return inline(figure, prefix, f"{up} against {across}: {ends}", titles)


def short(value: float) -> str:
    """A number on an axis: 200k, 1M, 0.005."""
    for unit, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{sign}"
    return f"{value:g}"


@contextmanager
def _figure() -> Iterator[tuple[Figure, Axes]]:
    import matplotlib
    from matplotlib.figure import Figure

    settings: dict[str, Any] = STYLE
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=SIZE, layout="constrained")
        yield figure, figure.add_subplot()


def _printable(text: str) -> str:
    """Without what an SVG cannot hold."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
