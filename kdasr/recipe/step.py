"""A step of a run, and its record: the file .done of the directory that it finishes.

The record lists all that the step depends on: a line `setting=value` for each setting, and `path=checksum` for each
input. For an input that another step finished, the checksum of that step's record is taken, so that the chain
reaches back to the corpus.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdasr.errors import UserError

DONE = ".done"
HEAD = "# what this step was made with (kdasr/recipe); without this file the step runs again"
On = Literal["train", "decode", "cuda", "here"]  # which program of cmd.sh runs a command; here: run.py without a log


@dataclass(frozen=True)
class Command:
    """A command, and where and how it is run."""

    words: tuple[str, ...]
    log: str = ""  # the file that its output goes to
    on: On = "train"
    jobs: int = 0  # more than 0: an array of so many, with JOB in the words and the log standing for the number
    options: tuple[str, ...] = ()  # of the program that runs it, as --gpu 1
    tell: Literal["", "all", "last"] = ""  # lines of its log that are printed afterwards


@dataclass(frozen=True)
class Step:
    """What finishes one directory, or several together."""

    stage: int
    out: str
    commands: tuple[Command, ...]
    settings: Mapping[str, str]
    inputs: tuple[str, ...]  # files, and directories that other steps finish
    says: str = ""  # what is printed when it begins
    also: tuple[str, ...] = ()  # further directories that it finishes
    needs: tuple[tuple[int, str], ...] = ()  # what has to be there, and the stage that makes it
    before_teacher: bool = False  # a student that can be trained beside the teacher
    remade: bool = False  # made again when its record differs, without an error
    quiet: bool = False  # one of many: nothing is said when it is done already
    always: bool = False  # run each time, without a record
    makes: tuple[str, ...] = ()  # further files; where one is missing, the step is not done
    taken: bool = False  # existing results are taken, however they were made
    shows: str = ""  # a file whose first paragraph is printed in the end, also when the step was done already
    wide: bool = False  # its jobs take all processes of the run


def record(step: Step) -> str:
    """The text of the step's record, if it were made now.

    An input that is not there is left out, so that the record stays valid for results that were made without it.
    """
    lines = [HEAD, *(f"{name}={one_line(value)}" for name, value in step.settings.items())]
    for path in step.inputs:
        place = Path(path) / DONE if Path(path).is_dir() else Path(path)
        if place.exists():
            lines.append(f"{path}={hashlib.sha256(place.read_bytes()).hexdigest()[:16]}")
    return "\n".join(lines) + "\n"


def one_line(value: str) -> str:
    """A value as a record keeps it."""
    return value.replace("\n", " ")


def is_done(step: Step) -> bool:
    """Whether the step was finished with these settings and inputs.

    An empty record (touch DIR/.done) takes a directory as it is, however it was made.

    Raises:
        UserError: it was made with others; what differs is said.
    """
    if step.taken and finished(step.out):
        return True
    if step.always or not all(Path(path).exists() for path in step.makes):
        return False
    made = record(step)
    for directory in (step.out, *step.also):
        place = Path(directory) / DONE
        if not place.exists():
            return False
        there = place.read_text()
        if there.strip() and without_head(there) != without_head(made):
            if step.remade:
                return False
            raise UserError(
                f"{directory}: made with other settings or inputs ({differences(there, made)}): rm -r {directory} and "
                f"run again to make it anew (rm {place}: to run the step on what is there), or put the setting back"
            )
    return True


def without_head(text: str) -> str:
    """A record without its comments."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def differences(old: str, new: str) -> str:
    """What differs between two records, in words."""
    was, now = (dict(line.partition("=")[::2] for line in without_head(text).splitlines()) for text in (old, new))
    found = []
    for key, value in now.items():
        if key not in was:
            found.append(f"{key} is new")
        elif was[key] != value:
            found.append(f"{key} has changed" if Path(key).exists() else f"{key} was '{was[key]}', now '{value}'")
    return "; ".join([*found, *(f"{key} is gone" for key in was if key not in now)])


def mark_done(step: Step) -> None:
    """Write the step's records, whole or not at all; the one of `out` last."""
    made = record(step)
    for directory in (*step.also, step.out):
        place = Path(directory) / DONE
        fresh = place.with_name(f"{DONE}.tmp")
        fresh.write_text(made)
        os.replace(fresh, place)


def finished(path: str) -> bool:
    """Whether a file is there, or a directory has a record."""
    return (Path(path) / DONE).exists() if Path(path).is_dir() else Path(path).exists()


def full(command: Command, programs: Mapping[On, tuple[str, ...]]) -> list[str]:
    """The words of a command with the program that runs it.

    Args:
        command: the command.
        programs: what cmd.sh names for each kind.
    """
    if command.on == "here":
        return [*programs["here"], *command.words]
    array = [f"JOB=1:{command.jobs}"] if command.jobs else []
    return [*programs[command.on], *command.options, *array, command.log, *command.words]


def pasted(command: Command, programs: Mapping[On, tuple[str, ...]]) -> str:
    """The command as a line for a shell."""
    line = shlex.join(full(command, programs))
    return f"{line} >{shlex.quote(command.log)}" if command.on == "here" and command.log else line
