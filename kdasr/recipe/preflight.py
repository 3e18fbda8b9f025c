"""What is refused before anything runs: a teacher that cannot be one, configurations, data that would be replaced."""

from __future__ import annotations

from pathlib import Path

from kdasr.asr.inputs import checked, student_input
from kdasr.data.kaldi_dir import SOURCE
from kdasr.data.tokens import of_model
from kdasr.errors import UserError
from kdasr.models import find_checkpoint
from kdasr.recipe import frames_meet
from kdasr.recipe.plan import Plan
from kdasr.recipe.step import DONE, finished
from kdasr.recipe.tree import need_model

TRAINED = {1, 2, 3, 4, 5}  # stages in which models are trained, and those before them


def check(plan: Plan) -> None:
    """UserError for what a later stage would stop at, as far as names and small files tell it."""
    stages = set(plan.options.stages)
    if 1 in stages:
        keep_data(plan)
    if 2 in stages:
        keep_features(plan)
    if stages & {1, 2, 3}:
        check_teacher(plan)
    if stages & TRAINED:
        for file in configs(plan):
            if Path(file).is_file():  # else the stage that needs it says so
                if plan.options.translates:
                    checked(file, of_text=True)
                else:
                    student_input(file)
    if {3, 4, 5} & stages:
        frames_meet.check(plan)


def keep_data(plan: Plan) -> None:
    """UserError if stage 1 would write into somebody's data directories, which no stage 1 has made."""
    datadir = Path(plan.options.datadir)
    if (datadir / DONE).exists() or (datadir / "log/data.log").exists():
        return  # of a stage 1 that ended, or began
    if mine := next(iter(sorted([*datadir.glob("*/wav.scp"), *datadir.glob(f"*/{SOURCE}")])), None):
        raise UserError(
            f"--datadir {datadir}: stage 1 writes there, and it did not make {mine.parent}; name another directory, "
            "or begin with --stage 2 if these are the sets to use"
        )


def keep_features(plan: Plan) -> None:
    """UserError if stage 2 would write features into a data directory that no stage 2 has made."""
    given = plan.options
    for name in (given.train_set, *plan.layout.other_sets, *given.unlabelled_set.split()):
        place = Path(plan.layout.feats) / name
        mine = any((place / table).exists() for table in ("wav.scp", SOURCE))
        if mine and not (place / DONE).exists() and not begun(plan, name):
            raise UserError(
                f"--dumpdir {given.dumpdir}: stage 2 writes there, and it did not make {place}; name another directory"
            )


def begun(plan: Plan, name: str) -> bool:
    """Whether stage 2 has begun with a set."""
    place = Path(plan.layout.feats)
    return (place / f"log/{name}.log").exists() if plan.options.translates else any(place.glob(f"{name}/log/feats.*"))


def check_teacher(plan: Plan) -> None:
    """UserError if --teacher_dir is a directory that is no model, or lacks its checkpoint or tokens."""
    given = plan.options
    if not given.teacher_dir or finished(plan.layout.teacher) or Path(given.teacher_dir).is_file():
        return  # what was packed is looked at when it is unpacked
    need_model(given.teacher_dir)
    of_model(Path(given.teacher_dir))
    find_checkpoint(given.teacher_dir)


def configs(plan: Plan) -> list[str]:
    """The configurations that models are trained with, each once."""
    given = plan.options
    used = {plan.config_file(one, config): None for one in plan.students for config in plan.configs(one)}
    return list(used if given.teacher_dir else {given.teacher_config: None, **used})
