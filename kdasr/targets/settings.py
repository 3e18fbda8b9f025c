"""How soft targets are made."""

from __future__ import annotations

from typing import NamedTuple


class How(NamedTuple):
    """How distributions are made."""

    kept: int  # J, 0 for all
    mean: str  # of several teachers
    weights: tuple[float, ...]  # theirs
    ctc: bool  # whether the CTC branch's are wanted, too
