"""What egs/mnist/run.sh runs: classifiers of images (Hinton, Vinyals and Dean 2015, section 3), in six stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdasr.errors import UserError
from kdasr.recipe.options import option, parse, stage_range
from kdasr.recipe.step import Command, Step
from kdasr.recipe.work import Work

STAGES = ("data", "teacher", "student", "omit", "specialist", "report")
PURPOSES = (
    "images and their labels",
    "large networks that students learn from",
    "small networks, from labels and from a teacher's predictions",
    "students that never see some of the digits",
    "specialists for digits that a network confuses",
    "a table",
)


@dataclass(frozen=True)
class Options:
    """The options of run.sh, which explains them and has their defaults."""

    stage: str
    stop_stage: str
    nj: int = option(least=1)
    submit: str = option(choices=("", "slurm"))
    mnist: str
    held_out: int
    seeds: tuple[str, ...]
    sweep_seeds: tuple[str, ...]
    widths: tuple[str, ...]
    temperatures: tuple[str, ...]
    omitted: tuple[str, ...]
    kept: tuple[str, ...]
    groups: int
    teacher_config: str
    student_config: str
    teacher_opts: tuple[str, ...]
    student_opts: tuple[str, ...]
    kept_opts: tuple[str, ...]
    specialist_opts: tuple[str, ...]
    datadir: str
    expdir: str
    results: str
    note: str

    @property
    def images(self) -> str:
        """All images and labels."""
        return f"{self.datadir}/images.npz"

    def teacher(self, seed: str) -> str:
        """A teacher's directory."""
        return f"{self.expdir}/teacher_s{seed}"


def work(words: Sequence[str], command: str) -> Work:
    """What run.sh runs with these options.

    Args:
        words: `name=value`, one for each option.
        command: as the user wrote it.

    Raises:
        UserError: a value out of range, or a configuration that is not there.
    """
    given = parse(Options, words)
    given = replace(given, results=given.results or f"{given.expdir}/RESULTS.md")
    asked = stage_range(STAGES, given.stage, given.stop_stage)
    for path in (given.teacher_config, given.student_config):
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file; name the configurations with --teacher_config and --student_config")
    numbers = [number for number in asked if number != 5 or given.groups]
    stages = (data, teachers, students, omit, specialists)

    def steps(stage: int) -> list[Step]:
        return [report(given, command)] if stage == 6 else list(stages[stage - 1](given))

    exp = given.expdir
    about = (
        f"reads {given.mnist or 'digits of scikit-learn'}, writes {given.images}",
        f"reads {given.images}, writes {exp}/teacher_s*",
        f"reads {given.images} {exp}/teacher_s*, writes {exp}/hard_* {exp}/soft_*",
        f"reads {given.images} {exp}/teacher_s*, writes {exp}/without_* {exp}/only_*",
        f"reads {exp}/hard_{given.widths[-1]}_s*, writes {exp}/specialists_s*",
        f"reads {exp}/*, writes {given.results}",
    )
    return Work(STAGES, numbers, steps, lambda number: about[number - 1], exp, given.nj, command, purposes=PURPOSES)


def data(given: Options) -> Iterator[Step]:
    """Stage 1."""
    words = ["python3", "local/images_data.py", "--out", given.images, "--held_out", str(given.held_out)]
    words += ["--mnist", given.mnist] if given.mnist else []
    settings = {"mnist": given.mnist, "held_out": str(given.held_out)}
    yield Step(1, given.datadir, (Command(tuple(words), on="here"),), settings, ())


def train(
    given: Options,
    stage: int,
    name: str,
    label: str,
    config: str,
    seed: str,
    settings: Sequence[str],
    options: Sequence[str] = (),
) -> Step:
    """A training of a seed, from the teacher of that seed if the options say so."""
    out = f"{given.expdir}/{name}_s{seed}"
    words = ["python3", "local/images_train.py", "--data", given.images, "--conf", config, "--out", out]
    words += ["--role", label, "--label", label]
    words += ["--seed", seed, *options, *(["--set", *settings] if settings else [])]
    teacher = (options[1],) if options[:1] == ("--teachers",) else ()
    return Step(
        stage,
        out,
        (Command(tuple(words), f"{out}/train.log", tell="last"),),
        {"seed": seed, "set": " ".join(settings), "options": " ".join(options)},
        (config, given.datadir, *teacher),
        f"{out}: training, log in {out}/train.log",
        needs=((1, given.datadir), *((2, one) for one in teacher)),
    )


def teachers(given: Options) -> Iterator[Step]:
    """Stage 2: one for each seed that is asked for."""
    for seed in sorted({*given.seeds, *given.sweep_seeds}):
        yield train(given, 2, "teacher", "teacher", given.teacher_config, seed, given.teacher_opts)


def students(given: Options) -> Iterator[Step]:
    """Stage 3: on labels and on soft targets; the main rows are of all seeds."""
    for width in given.widths:
        for temperature in ("", *given.temperatures):
            main = width == given.widths[0] and temperature in ("", given.temperatures[-1])
            for seed in given.seeds if main else given.sweep_seeds:
                settings = (*given.student_opts, f"hidden={width}")
                if temperature:
                    settings = (*settings, f"temperature={temperature}")
                    learnt = ("--teachers", given.teacher(seed))
                    name = f"soft_{width}_T{temperature}"
                    yield train(given, 3, name, "student", given.student_config, seed, settings, learnt)
                else:
                    yield train(given, 3, f"hard_{width}", "student", given.student_config, seed, settings)


def omit(given: Options) -> Iterator[Step]:
    """Stage 4: students of a transfer set that lacks classes, or has some alone."""
    settings = (*given.student_opts, f"hidden={given.widths[0]}", f"temperature={given.temperatures[-1]}")
    for seed in given.seeds:
        learnt, config = ("--teachers", given.teacher(seed)), given.student_config
        without, only = (*learnt, "--without", *given.omitted), (*learnt, "--only", *given.kept)
        yield train(given, 4, f"without_{'_'.join(given.omitted)}", "student", config, seed, settings, without)
        more = (*settings, *given.kept_opts)
        yield train(given, 4, f"only_{'_'.join(given.kept)}", "student", config, seed, more, only)


def specialists(given: Options) -> Iterator[Step]:
    """Stage 5: specialists for the narrowest student on labels."""
    for seed in given.sweep_seeds:
        general, out = f"{given.expdir}/hard_{given.widths[-1]}_s{seed}", f"{given.expdir}/specialists_s{seed}"
        words = ("python3", "local/images_specialists.py", "--data", given.images, "--generalist", general)
        words += ("--groups", str(given.groups), "--out", out, "--seed", seed, *given.specialist_opts)
        yield Step(
            5,
            out,
            (Command(words, f"{out}/train.log", tell="last"),),
            {"groups": str(given.groups), "options": " ".join(given.specialist_opts)},
            (given.datadir, general),
            needs=((3, general),),
        )


def report(given: Options, command: str) -> Step:
    """Stage 6."""
    words = ["python3", "local/images_report.py", "--data", given.images, "--exp", given.expdir, "--out", given.results]
    words += ["--picture", str(Path(given.results).parent / "temperatures.svg"), "--command", command]
    words += ["--note", given.note] if given.note else []
    needs = ((2, given.teacher(given.seeds[0])),)
    return Step(6, given.expdir, (Command(tuple(words), on="here"),), {}, (), needs=needs, always=True)
