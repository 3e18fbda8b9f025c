"""utils/lm.sh: the distillation of a language model by itself (egs/ptb), in five stages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdasr.errors import UserError
from kdasr.recipe import lm
from kdasr.recipe.options import option, parse, stage_range
from kdasr.recipe.step import Step
from kdasr.recipe.work import Work

STAGES = ("words", "teacher", "student", "ppl", "report")
PURPOSES = (
    "the vocabulary",
    "large language models that students learn from",
    "small ones that learn from them",
    "every model's perplexity",
    "a table",
)


@dataclass(frozen=True)
class Options:
    """The options of utils/lm.sh, which explains them and has their defaults."""

    stage: str
    stop_stage: str
    nj: int = option(least=1)
    ngpu: int
    submit: str = option(choices=("", "slurm"))
    train: str
    valid: str
    tests: tuple[str, ...]
    vocab: int
    min_count: int = option(least=1)
    teacher_config: str
    student_config: str
    finetune: tuple[str, ...]
    teacher_seeds: tuple[str, ...]
    seeds: tuple[str, ...]
    objectives: tuple[str, ...]
    ce_opts: tuple[str, ...]
    lm_opts: tuple[str, ...]
    stored: str
    draws: bool
    dynamic: bool
    dumpdir: str
    expdir: str
    results: str
    note: str


def work(words: Sequence[str], command: str) -> Work:
    """What utils/lm.sh runs with these options.

    Args:
        words: `name=value`, one for each option.
        command: as the user wrote it.

    Raises:
        UserError: a value out of range; a configuration or a text that is not there.
    """
    given = parse(Options, words)
    given = replace(given, results=given.results or f"{given.expdir}/RESULTS.md")
    asked = stage_range(STAGES, given.stage, given.stop_stage)
    if not re.fullmatch("[0-9]+|all", given.stored):
        raise UserError(f"--stored {given.stored}: expected a number of words, 0, or all")
    for path in (given.teacher_config, given.student_config):
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file; name the configurations with --teacher_config and --student_config")
    models = lm.Models(
        **{
            name: getattr(given, name)
            for name in Options.__dataclass_fields__
            if name in lm.Models.__dataclass_fields__
        },
        numbers={name: number for number, name in enumerate(STAGES, 1)},
    )

    def steps(stage: int) -> list[Step]:
        if stage == 1:
            for path in (given.train, given.valid, *given.tests):
                if not Path(path).is_file():
                    raise UserError(f"{path}: no such text")
            return [lm.words(models)]
        if stage == 5:
            return [lm.table(models, command, [given.note])]
        return list((lm.teachers, lm.students, lm.perplexities)[stage - 2](models))

    teachers = " ".join(models.teachers)
    about = (
        f"reads {given.train}, writes {models.words}",
        f"reads {given.train} {given.valid}, writes {teachers}",
        f"reads {given.train} {given.valid} {teachers}, writes {given.expdir}/student_*",
        f"reads {given.valid} {' '.join(given.tests)} {given.expdir}/*, writes {given.expdir}/*/ppl",
        f"reads {given.expdir}/*/ppl, writes {given.results}",
    )
    return Work(
        STAGES, list(asked), steps, lambda stage: about[stage - 1], given.expdir, given.nj, command, purposes=PURPOSES
    )
