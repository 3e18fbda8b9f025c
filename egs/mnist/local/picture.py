"""Errors against the temperature, a panel a network, as an SVG file without references to others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from kdasr.files import atomic_write
from kdasr.report.plots import STYLE
from kdasr.report.svg import FOREGROUND, colour, marker

PANEL = (2.7, 2.6)  # inches


def draw(
    path: str | Path,
    lines: Mapping[str, Sequence[tuple[float, Sequence[float]]]],
    hard: Mapping[str, float],
    teacher: float | None,
) -> None:
    """Write the picture.

    Args:
        path: SVG.
        lines: by network, (T, errors of each seed).
        hard: by network, errors of the one that learnt from labels.
        teacher: its errors.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PANEL[0] * len(lines), PANEL[1]), layout="constrained")
        panels = figure.subplots(1, len(lines), squeeze=False)[0]
        for place, (axes, (name, points)) in enumerate(zip(panels, lines.items(), strict=True), 1):
            at = [temperature for temperature, _ in points]
            means = [float(np.mean(errors)) for _, errors in points]
            axes.plot(at, means, marker=marker(place), ms=5, color=colour(place), label="distilled")
            for temperature, errors in points:
                if len(errors) > 1:
                    axes.plot([temperature] * len(errors), errors, "_", color=colour(place), ms=7)
            if name in hard:
                axes.axhline(hard[name], color=colour(place), ls="--", lw=1, label="on labels")
            if teacher is not None:
                axes.axhline(teacher, color=FOREGROUND, ls=":", lw=1, label="teacher")
            axes.set_xscale("log")
            axes.set_xticks(at, [f"{temperature:g}" for temperature in at])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_title(name, fontsize=9)
            axes.set_xlabel("temperature T")
            axes.legend(fontsize=7, frameon=False)
        panels[0].set_ylabel("test errors")
        # white behind it: Markdown is shown by night, too, and such a picture cannot follow
        with atomic_write(path, "wb") as stream:
            figure.savefig(stream, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
