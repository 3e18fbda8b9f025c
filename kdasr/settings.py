"""Settings of a verb as a dataclass: read from a flat YAML file, changed by NAME=VALUE, each checked by its default."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from pathlib import Path
from typing import Any, TypeVar

from kdasr.errors import UserError
from kdasr.files import read_json, read_yaml

Settings = TypeVar("Settings")


def read(kind: type[Settings], path: str | Path | None, changes: list[str], examples: str) -> Settings:
    """Settings of a file, with `NAME=VALUE` over them; a value has to be of its default's type.

    Args:
        kind: a dataclass whose fields all have a default.
        path: of the YAML; None for the defaults.
        changes: settings over those of the file.
        examples: where such files are, for messages.

    Raises:
        UserError: no YAML mapping, an unknown name (the nearest one is named), a value of another type.
    """
    import yaml

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
    return kind(**given)


def check_begun(out: Path, made: dict[str, Any]) -> None:
    """UserError if the model directory was begun with other settings than `made`; its settings.json tells."""
    there = read_json(out / "settings.json") if (out / "settings.json").exists() else made
    differing = next((key for key in made if there.get(key) != made[key]), None)
    if differing:
        raise UserError(
            f"{out}: was begun with another {differing} ({there.get(differing)}, now {made[differing]}); "
            "remove the directory, or name another"
        )
