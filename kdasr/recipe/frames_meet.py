"""Whether students can learn from their teacher's CTC frames: told before anything runs, by configurations alone."""

from __future__ import annotations

from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import read_yaml
from kdasr.recipe.plan import Plan
from kdasr.targets import frame_times

# Which window features have does not matter here: teacher and student read the same ones.
FEATURES = frame_times.FrameTimes(0.0, 1.0, 1)


def check(plan: Plan) -> None:
    """UserError if the frames of a teacher cannot be matched with those of a student that learns from them."""
    given = plan.options
    teacher = f"{given.teacher_dir}/config.yaml" if given.teacher_dir else given.teacher_config
    for recipe in plan.students:
        for config in plan.configs(recipe) if recipe.distillation.get("ctc_word_weight") else ():
            student = plan.config_file(recipe, config)
            if not all(Path(file).is_file() for file in (teacher, student)):
                continue  # the stage that needs it says so
            configs = read_yaml(teacher), read_yaml(student)
            try:
                frame_times.check_pair(*configs, FEATURES)
            except UserError as error:
                raise UserError(
                    f"{recipe.file}: distillation: ctc_word_weight: {error}, so that frames of {teacher} and {student} "
                    "cannot be matched; take another network, or a student recipe without ctc_word_weight"
                ) from None
