"""What a script of a recipe runs: stages of steps, and how they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kdasr.recipe.step import Step


@dataclass(frozen=True)
class Work:
    """Stages of steps. The steps of a stage are computed when it begins, from the files that are there then."""

    names: tuple[str, ...]  # of all stages, from 1
    stages: list[int]  # those that run
    steps: Callable[[int], list[Step]]  # of a stage, in an order in which they can be done
    about: Callable[[int], str]  # what a stage reads and writes
    expdir: str  # the directory that is locked
    nj: int  # processes side by side
    command: str  # as the user wrote it
    program: str = "./run.sh"  # for messages
    counted: tuple[int, ...] = ()  # stages of many small steps: only the number of those done already is printed
    early: Callable[[], list[Step]] | None = None  # steps of later stages that are begun beside a long one, ...
    early_after: tuple[str, ...] = ()  # ... as soon as these directories are finished; they take one of the processes

    purposes: tuple[str, ...] = ()  # what each of all stages is for, in a few words
    closing: Callable[[], list[str]] | None = None  # what is shown when all went well: what came of it, what to do next

    def name(self, stage: int) -> str:
        """A stage's name."""
        return self.names[stage - 1]

    def purpose(self, stage: int) -> str:
        """What a stage is for; empty where that is not said."""
        return self.purposes[stage - 1] if self.purposes else ""
