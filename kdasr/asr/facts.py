"""What kdasr.json says a model is: reports group, order and compare by these facts alone, and the label only shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kdasr.asr.training import Training
from kdasr.errors import UserError
from kdasr.models import find_checkpoint
from kdasr.revision import revision
from kdasr.shards import digest


def check(given: Training) -> None:
    """UserError if the options contradict each other."""
    if given.baseline and given.oracle:
        raise UserError("--baseline, --oracle: what has seen more labels is no baseline; leave one of the two out")
    if (given.baseline or given.oracle) and given.role == "teacher":
        raise UserError("--baseline, --oracle: are said of students; add --role student")
    if given.role == "student" and given.baseline and not given.recipe:
        raise UserError("--baseline: expected --recipe too, the name that all its runs share")


def facts(given: Training, soft_targets: bool) -> dict[str, Any]:
    """What kdasr.json is to say.

    A student's recipe, and what it learned from, are there only if they are known; without the two it stands alone in
    reports.

    Args:
        given: the training.
        soft_targets: whether it learns from distributions of a teacher.
    """
    said: dict[str, Any] = {"role": given.role, "label": given.label or given.role, "network": given.network}
    if given.recipe or given.role == "teacher":
        said["recipe"] = given.recipe
    learned_from = given.learned_from or (None if given.targets else "references")
    if learned_from:
        said["learned_from"] = learned_from
    said |= {"baseline": given.baseline, "oracle": given.oracle, "soft_targets": soft_targets, "teacher": given.teacher}
    if given.teacher and (model := _model(Path(given.out).parent / given.teacher)):
        said["teacher_model"] = model
    return said | {"git": revision()}


def _model(directory: Path) -> str | None:
    """The hash of a model's weights, as decodings record it; None if it is not there."""
    try:
        return digest(find_checkpoint(directory))
    except UserError:
        return None
