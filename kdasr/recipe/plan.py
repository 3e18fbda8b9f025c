"""The parts of the main recipe: student recipes, models, archives, and how they depend on each other. No steps yet."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from kdasr.asr.settings import OF_CTC
from kdasr.errors import UserError
from kdasr.recipe.kd_options import Options
from kdasr.recipe.layout import Layout
from kdasr.recipe.step import On
from kdasr.recipe.student import GREEDY, TEACHER, StudentRecipe, ancestors, read
from kdasr.recipe.tree import has_text


@dataclass(frozen=True)
class Archive:
    """An N-best archive that students learn from."""

    out: str
    data: str
    models: tuple[str, ...]
    beam: int
    nbest: int


@dataclass(frozen=True)
class Plan:
    """The parts of a run, without its steps."""

    options: Options
    layout: Layout
    students: tuple[StudentRecipe, ...]  # in order: a recipe comes after the one that it starts from
    left_out: tuple[str, ...]  # recipes that need untranscribed audio, where there is none
    # files of those that nobody asked for, and that only teach others: of these one student is enough
    only_teach: frozenset[str]
    command: str = ""  # as the user wrote it

    @property
    def teachers(self) -> list[str]:
        """Model directories of the teachers that are decoded, the recipe's first."""
        return self.layout.ensemble(max((one.teachers for one in self.students), default=1))

    @property
    def student_dirs(self) -> list[str]:
        """Model directories of the students."""
        return [out for one in self.students for config in self.configs(one) for out in self.dirs(one, config)]

    def configs(self, recipe: StudentRecipe) -> tuple[str, ...]:
        """The configurations that a recipe has students of; of the teacher's own network there is one."""
        every = self.options.student_configs
        return every[:1] if recipe.of_teachers_network else every

    def config_file(self, recipe: StudentRecipe, config: str) -> str:
        """The configuration that a recipe's student trains with, where `config` is the one of students from scratch."""
        given = self.options
        tuned = dict(zip(given.student_configs, given.fine_tune_configs or given.student_configs, strict=True))
        further = given.teacher_fine_tune_config or given.teacher_config
        files = {"student": config, "fine_tune": tuned[config], "teacher": given.teacher_config}
        return (files | {"teacher_fine_tune": further})[recipe.whose_config]

    def dirs(self, recipe: StudentRecipe, config: str) -> list[str]:
        """Its students of one configuration, a seed each."""
        return [self.layout.student(recipe, config, seed) for seed in self.seeds_of(recipe)]

    def seeds_of(self, recipe: StudentRecipe) -> tuple[str, ...]:
        """The seeds that it has students of."""
        return self.options.seeds[:1] if recipe.file in self.only_teach else self.options.seeds

    @property
    def archives(self) -> list[Archive]:
        """The archives of teachers that the students' hypotheses are taken from, each once."""
        by_teachers = [recipe for recipe in self.students if not recipe.taught_by]
        found = [one for recipe in by_teachers for one in (*self.archives_of(recipe), *self.agreeing(recipe))]
        return list(
            {one.out: one for one in [*found, *([self.valid_archive] if self.options.audio_alone else [])]}.values()
        )

    @property
    def valid_archive(self) -> Archive:
        """The best hypotheses of the validation set, which take the place of its transcripts where there are none."""
        at = self.layout
        return Archive(
            f"{at.teacher}/nbest_{self.options.valid_set}", at.valid_audio, (at.teacher,), self.options.beam, 1
        )

    def agreeing(self, recipe: StudentRecipe) -> list[Archive]:
        """What the same models hear of the same audio with a beam of 1, where hypotheses have to agree with that."""
        if recipe.selection.get("agree") != GREEDY:
            return []
        return self.archives_of(dataclasses.replace(recipe, beam=1, nbest=1))

    def archives_of(self, recipe: StudentRecipe) -> list[Archive]:
        """Those of one recipe."""
        if recipe.archive:
            return []
        at = self.layout
        beam, best = recipe.beam or self.options.beam, recipe.nbest or self.options.nbest
        search = "" if (beam, best) == (self.options.beam, self.options.nbest) else f"_b{beam}n{best}"
        models = tuple(at.teachers_of(recipe))
        place = models[0] + (f"/ensemble{recipe.teachers}" if recipe.teachers > 1 else "")
        if recipe.learns_from == "crossfit":
            return [
                Archive(f"{one}/nbest_fold{n}{search}", f"{at.folds}/fold{n}", (one,), beam, best)
                for n in range(1, self.options.folds + 1)
                for one in [at.fold_teacher(n)]
            ]
        heard = {"hypotheses": [at.labelled], "pseudo_labels": [at.unlabelled]}
        heard["all_hypotheses"] = [at.labelled, at.unlabelled]
        return [
            Archive(f"{place}/nbest_{PurePath(data).name}{search}", data, models, beam, best)
            for data in heard.get(recipe.learns_from, [])
            if data
        ]

    @property
    def crossfits(self) -> bool:
        """Whether a recipe learns from cross-fitted hypotheses."""
        return any(one.learns_from == "crossfit" for one in self.students)

    @property
    def score_kinds(self) -> tuple[str, ...]:
        """The scores of a decoding, as kdasr score --type names them."""
        return ("bleu",) if self.options.translates else ("wer", "cer")

    @property
    def ctc_weight(self) -> str:
        """The weight of CTC in searches; a translation has no CTC branch."""
        return "0" if self.options.translates else self.options.ctc_weight

    @property
    def nlsyms(self) -> tuple[str, ...]:
        """--nlsyms FILE, where the file says something."""
        return ("--nlsyms", self.options.nlsyms) if has_text(self.options.nlsyms) else ()

    @property
    def audio_settings(self) -> dict[str, str]:
        """How audio is read, as the record of a step has it; one of older versions has nothing of it."""
        return {"audio_opts": " ".join(self.options.audio_opts)} if self.options.audio_opts else {}

    @property
    def on_gpu(self) -> tuple[On, tuple[str, ...], tuple[str, ...]]:
        """For search: what runs it, the program's options, and the command's."""
        return ("cuda", ("--gpu", "1"), ("--ngpu", "1")) if self.options.gpu_inference else ("decode", (), ())


def make_plan(options: Options, command: str = "") -> Plan:
    """Read the student recipes and check that they fit the options and each other.

    Args:
        options: those of utils/kd.sh.
        command: as the user wrote it, for the table.

    Raises:
        UserError: a recipe that is not there or does not fit.
    """
    layout = Layout(options)
    chosen: dict[str, StudentRecipe] = {}  # by file
    rows: set[str] = set()  # files of those that were asked for, and of what they start from
    left_out: list[str] = []
    # all names first, so that a misspelt one is reported before anything else
    asked = [read(name) for name in options.students]
    for recipe in asked:
        if lacks_audio(recipe, options, layout):
            left_out.append(recipe.name)
        else:
            add(recipe, chosen, options, layout)
            rows |= {one.file for one in (recipe, *ancestors(recipe))}
    students = tuple(chosen.values())
    if not students and left_out:
        raise UserError(f"--students {' '.join(options.students)}: {lacks_audio(asked[0], options, layout)}")
    plan = Plan(options, layout, students, tuple(left_out), frozenset(chosen) - rows, command)
    must_differ([one.file for one in students])
    must_differ(list(dict.fromkeys(one.targets_of or one.file for one in students)))
    written = [out for out in plan.student_dirs if plan.student_dirs.count(out) > 1]
    if written:
        raise UserError(
            f"{written[0]}: two students would be written there; --student_configs, by name, and --seeds have to differ"
        )
    return plan


def add(
    recipe: StudentRecipe,
    chosen: dict[str, StudentRecipe],
    options: Options,
    layout: Layout,
    before: tuple[str, ...] = (),
) -> None:
    """Add a recipe to `chosen`, after those that teach it and those that it starts from.

    Args:
        recipe, chosen, options, layout: as they are.
        before: files of the recipes that need this one.

    Raises:
        UserError: a recipe that is not there, does not fit, or needs itself.
    """
    if recipe.file in chosen:
        return
    check_fit(recipe, options, layout)
    needed = {"taught_by": recipe.taught_by, "starts_from": "" if recipe.starts_from == TEACHER else recipe.starts_from}
    for setting, name in needed.items():
        if name and recipe.file in before:
            raise UserError(f"{recipe.file}: {setting} {name}: starts from itself in the end")
        if name:
            other = read(name, f"{recipe.file}: {setting}")
            if setting == "taught_by" and not other.of_teachers_network:
                raise UserError(f"{recipe.file}: taught_by {name}: it has not the teacher's network (config: teacher)")
            add(other, chosen, options, layout, (*before, recipe.file))
    chosen[recipe.file] = recipe


def lacks_audio(recipe: StudentRecipe, options: Options, layout: Layout) -> str:
    """Why there is no audio for what a recipe learns from; empty where there is."""
    if options.audio_alone and recipe.learns_from != "pseudo_labels":
        return "nothing is transcribed; of such audio students learn by recipes with learns_from pseudo_labels"
    if recipe.needs_the_rest and layout.all_transcribed:
        return (
            "all audio is transcribed; with --transcribed 0.5, half of it is taken as untranscribed, and "
            "--unlabelled_set names a set that is"
        )
    if recipe.learns_from == "all_references" and options.unlabelled_set:
        return f"nobody has transcribed --unlabelled_set {options.unlabelled_set}; leave this recipe out"
    return ""


def check_fit(recipe: StudentRecipe, options: Options, layout: Layout) -> None:
    """UserError where a recipe needs something that the options exclude."""
    if reason := lacks_audio(recipe, options, layout):
        raise UserError(f"{recipe.file}: learns_from {recipe.learns_from}: {reason}")
    of_ctc = next((name for name in OF_CTC if recipe.distillation.get(name)), "")
    if options.translates and of_ctc:
        raise UserError(f"{recipe.file}: {of_ctc}: a translator has no CTC branch; take a recipe without it")
    if options.teacher_dir and recipe.of_teachers_network:
        raise UserError(
            f"{recipe.file}: config {recipe.whose_config}: --teacher_dir's network may have no configuration here; "
            "leave this recipe out"
        )
    if options.teacher_dir and recipe.teachers > 1:
        raise UserError(f"{recipe.file}: teachers {recipe.teachers}: --teacher_dir names one; leave this recipe out")


def must_differ(files: Sequence[str]) -> None:
    """UserError where two files of recipes have one name."""
    names: dict[str, str] = {}
    for file in files:
        other = names.setdefault(PurePath(file).stem, file)
        if other != file:
            raise UserError(
                f"{file} and {other} are different student recipes and would share their directories; "
                "rename the file of one"
            )
