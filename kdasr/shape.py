"""What a JSON file may hold where it is read: one that is damaged is told of in a sentence, by file and key.

A shape is one of the kinds below; `[shape]`, a list of any length; `(shape, shape)`, a list of these; `{key: shape}`,
an object, which may hold more: a key may be absent, or null, unless its shape is a `Must`; or an `Each`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import read_json

TEXT, FLAG, WHOLE, COUNT, NUMBER, AMOUNT = (
    "a text",
    "true or false",
    "a whole number",
    "a whole number of 0 or more",
    "a number",
    "a number of 0 or more",
)
LARGEST = 1e15  # what is larger is no count, rate or time of ours, and pictures and sums have no room for it
REMEDY = "remove the file and run its stage again"


@dataclass(frozen=True)
class Must:
    """A key that has to be there."""

    shape: Any


@dataclass(frozen=True)
class Each:
    """An object with any keys, each value of one shape."""

    shape: Any


@dataclass(frozen=True)
class Maybe:
    """An entry of a list that may be null."""

    shape: Any


def read(path: str | Path, shape: Any) -> dict[str, Any]:
    """A JSON object of some shape from a file; UserError if it is absent, malformed or of another."""
    found = read_json(path)
    check(found, shape, path)
    return found


def check(value: Any, shape: Any, path: object, remedy: str = REMEDY, key: str = "") -> None:
    """UserError that names the first key at which a value is of another shape.

    Args:
        value: as read.
        shape: what it should be.
        path: of its file, with the line if it has several.
        remedy: end of the message.
        key: of the value within its file.
    """
    where = f"'{key}'" if key else "what it holds"
    if isinstance(shape, Maybe):
        if value is not None:
            check(value, shape.shape, path, remedy, key)
    elif isinstance(shape, (dict, Each)):
        if not isinstance(value, dict):
            raise UserError(f"{path}: {where} is {_shown(value)}, expected an object; {remedy}")
        shapes = dict.fromkeys(value, shape.shape) if isinstance(shape, Each) else shape
        for name, one in shapes.items():
            found, full = value.get(name), f"{key}.{name}" if key else name
            if found is not None:
                check(found, one.shape if isinstance(one, Must) else one, path, remedy, full)
            elif isinstance(one, Must) or isinstance(shape, Each):
                raise UserError(f"{path}: has no '{full}'; {remedy}")
    elif isinstance(shape, (list, tuple)):
        many = isinstance(shape, list)
        if not isinstance(value, list) or (not many and len(value) != len(shape)):
            expected = "a list" if many else f"a list of {len(shape)}"
            raise UserError(f"{path}: {where} is {_shown(value)}, expected {expected}; {remedy}")
        for place, one in enumerate(value):
            check(one, shape[0] if many else shape[place], path, remedy, f"{key}[{place}]")
    elif not _fits(value, shape):
        raise UserError(f"{path}: {where} is {_shown(value)}, expected {shape}; {remedy}")


def _fits(value: Any, kind: str) -> bool:
    if kind == TEXT:
        return isinstance(value, str)
    if kind == FLAG:
        return isinstance(value, bool)
    kinds = (int,) if kind in (WHOLE, COUNT) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return False
    return abs(value) <= LARGEST and (value >= 0 or kind in (WHOLE, NUMBER))


def _shown(value: Any) -> str:
    """A value as a message quotes it: its beginning. (Python refuses to write out a number of thousands of digits.)"""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number too large"
    kinds = {list: "a list", dict: "an object"}
    text = kinds.get(type(value)) or repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
