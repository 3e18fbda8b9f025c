"""What features were made as, so that a model is given those that it was trained on.

Features of one form may be of another kind: 80 bins of audio at 8 kHz reach half as high as 80 bins at 16 kHz. What
`kdasr feats` made says so in a `manifest.json` beside its archives, which subsets and copies of a set point to; a model
that was trained on such has it in `features.json`. Features that kdasr did not make are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdasr.data.places import Place
from kdasr.errors import UserError
from kdasr.files import read_json

FILE = "features.json"  # in a model directory
SETTINGS = ("features", "rate", "normalised")  # of a manifest: what a model depends on


def made_as(places: Mapping[str, Place]) -> dict[str, Any]:
    """The settings of the features at these places; empty if nothing is known of them.

    Raises:
        UserError: they are of several kinds.
    """
    found: dict[str, Any] = {}
    where = None
    for directory in dict.fromkeys(Path(place.path).parent for place in places.values() if place.offset is not None):
        manifest = directory / "manifest.json"
        told = read_json(manifest) if manifest.is_file() else {}
        if told.get("made_by") != "kdasr feats":
            continue
        made = {name: told.get(name) for name in SETTINGS}
        if where is not None and made != found:
            raise UserError(
                f"{directory}: has other features than {where} ({_difference(made, found)}); make them alike"
            )
        found, where = made, directory
    return found


def check_made(places: Mapping[str, Place], model: str | Path) -> None:
    """UserError if features at these places are known to be others than those that a model was trained on."""
    path = Path(model) / FILE
    if not path.is_file():
        return
    known, made = read_json(path), made_as(places)
    if made and made != known:
        first = next(iter(places.values()))
        raise UserError(
            f"{Path(first.path).parent}: has other features than {model} was trained on ({_difference(made, known)}); "
            "give the model its own"
        )


def _difference(made: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The first setting that differs."""
    name = next(name for name in {**made, **other} if made.get(name) != other.get(name))
    return f"{name}: {made.get(name)}, not {other.get(name)}"
