"""Options of a recipe's shell script, typed, and checked before anything runs.

Defaults and explanations stand in the option block of the script alone.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Sequence
from typing import Any, TypeVar

from kdasr.errors import UserError

Kind = TypeVar("Kind")


def option(least: int = 0, choices: tuple[str, ...] = (), quoted: bool = False) -> Any:
    """A field of a class of options.

    Args:
        least: the smallest value of a whole number.
        choices: the values of a text; (): any.
        quoted: whether it holds options of a command, whose quotes and backslashes keep blanks.
    """
    return dataclasses.field(metadata={"least": least, "choices": choices, "quoted": quoted})


def parse(kind: type[Kind], given: Sequence[str]) -> Kind:
    """Options from `name=value` words, one for each field of `kind`.

    Fields are text, int, bool, or tuple[str, ...]: words.

    Raises:
        UserError: a value out of range, or of the wrong kind; a quote that is not closed.
    """
    texts = dict(word.split("=", 1) for word in given)
    values: dict[str, Any] = {}
    for one in dataclasses.fields(kind):  # type: ignore[arg-type]
        if one.name not in texts:
            raise UserError(f"--{one.name}: {kind.__module__} expects this option, which the script does not have")
        values[one.name] = value_of(one, texts.pop(one.name))
    if texts:
        raise UserError(
            f"--{next(iter(texts))}: {kind.__module__} does not know this option of the script; add it there"
        )
    return kind(**values)


def value_of(one: dataclasses.Field[Any], text: str) -> Any:
    """The value of an option. UserError as `parse`."""
    how = {"least": 0, "choices": (), "quoted": False, **one.metadata}
    if how["quoted"]:
        return words_of(one.name, text)
    if one.type == "tuple[str, ...]":
        return tuple(text.split())
    if one.type == "int":
        if not re.fullmatch("[0-9]+", text) or int(text) < how["least"]:
            raise UserError(f"--{one.name} {text}: expected a whole number, {how['least']} or more")
        return int(text)
    if one.type == "bool":
        return text == "true"
    if how["choices"] and text not in how["choices"]:
        expected = " or ".join(filter(None, how["choices"])) + (" (or nothing)" if "" in how["choices"] else "")
        raise UserError(f"--{one.name} {text}: expected {expected}")
    return text


def words_of(name: str, text: str) -> tuple[str, ...]:
    """The words of an option that holds options; nothing in it is expanded."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        raise UserError(f"--{name} {text}: a quote is not closed") from None


def stage_range(names: Sequence[str], first: str, last: str) -> range:
    """The numbers of the stages from one to another, which are given by number or name.

    Raises:
        UserError: there is no such stage, or the last comes before the first.
    """
    numbers = {str(number): number for number in range(1, len(names) + 1)}
    numbers |= {name: number for number, name in enumerate(names, 1)}
    for option_name, value in (("stage", first), ("stop_stage", last)):
        if value not in numbers:
            raise UserError(
                f"--{option_name} {value}: no such stage; expected 1 to {len(names)} or one of: {' '.join(names)}"
            )
    if numbers[first] > numbers[last]:
        raise UserError(f"--stage {first} --stop_stage {last}: the last stage comes before the first")
    return range(numbers[first], numbers[last] + 1)
