"""A command's settings as a dataclass: from a flat YAML file, changed by NAME=VALUE, checked by their defaults."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kdasr.errors import UserError
from kdasr.files import read_json, read_yaml

Settings = TypeVar("Settings")


class Range(NamedTuple):
    """What a number may be."""

    expected: str  # in words, for a message
    holds: Callable[[float], bool]


POSITIVE = Range("a number above 0", lambda value: value > 0)
NOT_NEGATIVE = Range("0 or more", lambda value: value >= 0)
SHARE = Range("a share from 0 to 1", lambda value: 0 <= value <= 1)
SHARE_BELOW_1 = Range("a share from 0 to below 1", lambda value: 0 <= value < 1)


def at_least(least: int) -> Range:
    """So much or more."""
    return Range(f"{least} or more", lambda value: value >= least)


def read(
    kind: type[Settings],
    path: str | Path | None,
    changes: list[str],
    examples: str,
    ranges: Mapping[str, Range] | None = None,
) -> Settings:
    """Settings of a file, with `NAME=VALUE` over them; a value has to be of its default's type.

    Args:
        kind: a dataclass whose fields all have a default.
        path: of the YAML; None for the defaults.
        changes: settings over those of the file.
        examples: where such files are, for messages.
        ranges: what a value may be, by its name; None: anything of its type. If given, every number is to be finite.

    Raises:
        UserError: no YAML mapping, an unknown name (the nearest one is named), a value of another type or out of range.
    """
    import yaml  # here: what runs a bundle (kdasr.runtime) comes by this file, and needs no YAML

    given: dict[str, Any] = {}
    if path is not None:
        given = read_yaml(path, f"see {examples}")
        if not given:
            raise UserError(f"{path}: expected lines `name: value`; see {examples}")
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise UserError(f"--set {change}: expected NAME=VALUE")
        try:
            given[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--set {change}: its value is not YAML ({str(error).splitlines()[0]})") from None
    where = path or "--set"
    known = {field.name: field.default for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            raise UserError(f"{where}: no setting {name!r}; expected {near[0] if near else ', '.join(known)}")
        default = known[name]
        if isinstance(default, float) and isinstance(value, int | str) and not isinstance(value, bool):
            with contextlib.suppress(ValueError):
                given[name] = float(value)  # YAML takes 1e-6 for text
        if type(given[name]) is not type(default):
            raise UserError(f"{where}: {name} is {value!r}, expected {type(default).__name__}, as in {default}")
    settings = kind(**given)
    if ranges is not None:
        check_ranges(settings, ranges, where)
    return settings


def check_ranges(settings: Any, ranges: Mapping[str, Range], where: object) -> None:
    """UserError for the first setting of a dataclass that is not finite, or out of its range; `where` it comes from."""
    for name, value in dataclasses.asdict(settings).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{where}: {name} is {value}, expected a finite number")
        if name in ranges and not ranges[name].holds(value):
            raise UserError(f"{where}: {name} is {value}, expected {ranges[name].expected}")


def check_least(option: str, value: float, least: int) -> None:
    """UserError if the value of an option (its name, without hyphens) is too small."""
    if not value >= least:
        raise UserError(f"--{option} {value}: expected {least} or more")


def check_begun(out: Path, made: dict[str, Any]) -> None:
    """UserError if the model directory was begun with other settings than `made`; as its settings.json says."""
    there = read_json(out / "settings.json") if (out / "settings.json").exists() else made
    differing = next((key for key in made if there.get(key) != made[key]), None)
    if differing:
        raise UserError(
            f"{out}: was begun with another {differing} ({there.get(differing)}, now {made[differing]}); "
            "remove the directory, or name another"
        )


def check_made(out: Path, there: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """UserError if a finished directory was made from something else than `made`; `there` is what its record says."""
    differing = next((key for key, value in made.items() if there.get(key) != value), None)
    if differing:
        raise UserError(f"{out}: was made with another {differing}; remove the directory, or name another")
