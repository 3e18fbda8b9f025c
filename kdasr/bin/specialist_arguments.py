"""The options that programs of specialists share."""

from __future__ import annotations

import argparse
import dataclasses

from kdasr.classify.settings import SpecialistSettings


def add_specialist_arguments(parser: argparse.ArgumentParser) -> None:
    """How groups are found and specialists trained."""
    add, default = parser.add_argument, SpecialistSettings()
    for name, what in (
        ("groups", "groups of classes, a specialist each"),
        ("temperature", "of the predictions that groups are found in"),
        ("best", "specialists asked: those with one of so many best classes"),
        ("epochs", "of training, as many examples as the training set has"),
        ("rate", "learning rate of Adam at the beginning; it falls to zero"),
        ("batch", "examples of a batch"),
        ("seed", "of groups, batches and new weights"),
    ):
        value = getattr(default, name)
        add(f"--{name}", type=type(value), default=value, help=f"{what} (default {value:g})")


def specialist_settings(args: argparse.Namespace) -> SpecialistSettings:
    """What the options of `add_specialist_arguments` say."""
    fields = dataclasses.fields(SpecialistSettings)
    return SpecialistSettings(**{field.name: getattr(args, field.name) for field in fields})
