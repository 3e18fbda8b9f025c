"""Stage 5: targets, pruned and shrunk models, students."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from kdasr.errors import UserError
from kdasr.recipe.layout import network_label
from kdasr.recipe.plan import Plan
from kdasr.recipe.stages import lists, train
from kdasr.recipe.step import Command, Step
from kdasr.recipe.student import TEACHER, StudentRecipe, ancestors
from kdasr.recipe.tree import has_text, need_config


def student(plan: Plan) -> Iterator[Step]:
    """Stage 5: targets first, then students; one that starts from another comes after it."""
    given, at = plan.options, plan.layout
    for option in ("student_configs", "fine_tune_configs"):
        for config in getattr(given, option):
            need_config(option, config)
    if given.teacher_fine_tune_config:
        need_config("teacher_fine_tune_config", given.teacher_fine_tune_config)
    owners = {at.targets(one): one for one in reversed(plan.students) if one.own_targets}
    if given.audio_alone:
        yield valid_labels(plan)
    yield from (targets(plan, one) for one in reversed(owners.values()) if not one.taught_by)
    for recipe in plan.students:
        if recipe.taught_by and owners[at.targets(recipe)] is recipe:  # its teacher is trained by now
            yield from lessons(plan, recipe)
        for config in plan.configs(recipe):
            for seed in plan.seeds_of(recipe):
                yield from student_of(plan, recipe, config, seed)


def lessons(plan: Plan, recipe: StudentRecipe) -> Iterator[Step]:
    """What a student teaches others: its hypotheses, as a teacher writes them in stage 4, and the targets."""
    for one in (*plan.archives_of(recipe), *plan.agreeing(recipe)):
        needs = ((2, one.data), *((5, model) for model in one.models))
        yield lists(plan, one.out, one.data, one.models, one.beam, one.nbest, 5, needs)
    yield targets(plan, recipe)


def targets(plan: Plan, recipe: StudentRecipe) -> Step:
    """The targets of a recipe's students, the teacher's distributions included."""
    given, at = plan.options, plan.layout
    out = at.targets(recipe)
    made = [one.out for one in plan.archives_of(recipe)]
    archives = [recipe.archive] if recipe.archive else made
    if recipe.archive and not has_text(f"{recipe.archive}/summary.json"):
        raise UserError(
            f"{recipe.file}: archive {recipe.archive}: holds no finished N-best archive; import it first "
            "(kdasr nbest import)"
        )
    if recipe.learns_from in ("references", "all_references"):
        source = ["--refs", *(f"{one}/text" for one in at.train_sets(recipe))]
    elif recipe.learns_from == "pseudo_labels":
        source = ["--nbest", *archives, *(("--refs", f"{at.labelled}/text") if at.labelled else ())]
    else:
        source = ["--nbest", *archives, "--against", f"{at.labelled}/text"]
    narrow = [one.out for one in plan.agreeing(recipe)]  # as selection's agree: greedy
    select: list[str] = []
    for name, value in recipe.selection.items():
        select += [f"--{name}", *(narrow if name == "agree" and narrow else [str(value)])]
    words = ("kdasr", "targets", *source, "--tokens", at.tokens, "--out", out, *select, *given.target_opts)
    asking, log = (5 if recipe.taught_by else 3), f"{PurePath(out).parent}/log"
    commands = [Command(words, f"{log}/{PurePath(out).name}.log", tell="all")]
    settings = {"target_opts": " ".join(given.target_opts), "select": " ".join(select)}
    agree = narrow or ([f"{recipe.selection['agree']}/manifest.json"] if "agree" in recipe.selection else [])
    read = [f"{recipe.archive}/summary.json"] if recipe.archive else made
    heard = at.train_all if recipe.learns_from == "all_references" else at.labelled
    asked: list[str] = []
    if recipe.soft:
        asked = at.teachers_of(recipe)
        frames = ("--ctc",) if recipe.distillation.get("ctc_word_weight") else ()
        on, run, more = plan.on_gpu
        words = ("kdasr", "soft", "--model", *asked, "--targets", out, "--data", *at.train_sets(recipe))
        words += ("--kept", str(recipe.kept), *frames, *more, *given.audio_opts)
        name = PurePath(out).name.removeprefix("targets_")
        soft_log = f"{log}/soft_{name}"
        commands.append(Command((*words, "--job", f"JOB/{given.nj}"), f"{soft_log}.JOB.log", on, given.nj, run))
        commands.append(Command((*words, "--merge"), f"{soft_log}.merge.log", on, options=run))
        settings |= {"soft": f"{recipe.kept} {' '.join(frames)}"} | plan.audio_settings
    return Step(
        5,
        out,
        tuple(commands),
        settings,
        (*read, *agree, at.tokens, *([heard] if heard else []), *asked),
        f"{out}: selecting targets, log in {log}/{PurePath(out).name}.log",
        needs=((3, at.tokens), *((max(4, asking), one) for one in (*made, *narrow)), *((asking, one) for one in asked)),
        wide=bool(recipe.soft),
    )


def valid_labels(plan: Plan) -> Step:
    """The validation set with the teacher's best hypotheses as its transcripts, without those that are filtered out."""
    given, at, archive = plan.options, plan.layout, plan.valid_archive
    chosen = f"{at.teacher}/targets_{given.valid_set}"
    choose = ("kdasr", "targets", "--nbest", archive.out, "--tokens", at.tokens, "--out", chosen, *given.target_opts)
    label = ("kdasr", "data", "transcripts", "--in", at.valid_audio, "--text", f"{chosen}/text", "--out", at.valid)
    return Step(
        5,
        at.valid,
        (
            Command(choose, f"{at.teacher}/log/targets_{given.valid_set}.log", tell="all"),
            Command(label, f"{at.feats}/log/{PurePath(at.valid).name}.log", tell="all"),
        ),
        {"target_opts": " ".join(given.target_opts)},
        (archive.out, at.tokens, at.valid_audio),
        f"{at.valid}: the teacher's labels of {at.valid_audio}, to choose epochs by",
        needs=((4, archive.out), (3, at.tokens), (2, at.valid_audio)),
    )


def student_of(plan: Plan, recipe: StudentRecipe, config: str, seed: str) -> Iterator[Step]:
    """A student of a recipe, of the network of a configuration; and the smaller model that it starts from."""
    given, at = plan.options, plan.layout
    out = at.student(recipe, config, seed)
    file = plan.config_file(recipe, config)
    name = "" if recipe.of_teachers_network else network_label(config, given.teacher_config)
    label = f"{name}: {recipe.label}" if name else recipe.label
    learnt = at.targets(recipe)
    options = ["--targets", learnt] if learnt else []
    inputs = [learnt] if learnt else []
    if learnt or descends_from_teacher(recipe):
        options += ["--teacher", PurePath(at.teachers_of(recipe)[0] if learnt else at.teacher).name]
    settings = " ".join(f"{name}={value}" for name, value in recipe.distillation.items())
    if settings:
        options += ["--kd", *settings.split()]
    if recipe.starts_from:
        parents = ancestors(recipe)
        before = at.teacher if recipe.starts_from == TEACHER else at.student(parents[0], config, seed)
        if recipe.prune or recipe.shrink:
            less = pruned(recipe, before, out) if recipe.prune else shrunk(plan, recipe, before, out, file)
            yield dataclasses.replace(less, needs=((3 if before == at.teacher else 5, before), *less.needs))
            before = less.out
        if of_own_size(recipe):
            file = f"{before}/train.yaml"
        options += ["--init", before]
        inputs.append(before)
        # pruned weights stay zero, unless they were cut later; a finished teacher may have some, too
        chain = [recipe, *parents]
        last = next((number for number, one in enumerate(chain) if one.shrink), len(chain))
        if any(one.prune for one in chain[:last]) or has_text(f"{before}/mask.pth"):
            options += ["--mask", f"{before}/mask.pth"]
        check_sizes(recipe, parents)
    data, early = at.train_sets(recipe), recipe.needs_no_teacher
    facts = facts_of(recipe, name)
    yield train(plan, out, "student", label, file, data, seed, 5, facts, options, inputs, settings, early)


def pruned(recipe: StudentRecipe, before: str, out: str) -> Step:
    """A model of which the smallest weights are zero."""
    words = options_of(recipe.prune)
    less = f"{out}/pruned"
    prune = Command(("kdasr", "prune", "--model", before, *words, "--out", less), f"{out}/log/prune.log")
    return Step(5, less, (prune,), {"prune": " ".join(words)}, (before,), quiet=True)


def shrunk(plan: Plan, recipe: StudentRecipe, before: str, out: str, config: str) -> Step:
    """A model of fewer units, layers, or lower rank, by what matters on the transcribed audio."""
    given, at = plan.options, plan.layout
    data = at.labelled or at.valid  # where nothing is transcribed the teacher has labelled the latter
    like = "like" in recipe.shrink
    words = options_of({name: value for name, value in recipe.shrink.items() if name != "like"})
    less = f"{out}/shrunk"
    whose = ("--like" if like else "--train_config", config, "--data", data)
    shrink = ("kdasr", "shrink", "--model", before, *words, *whose, *given.audio_opts, "--out", less)
    return Step(
        5,
        less,
        (Command(shrink, f"{out}/log/shrink.log"),),
        {"shrink": " ".join([*words, *(["--like"] if like else [])])} | plan.audio_settings,
        (before, config, data),
        needs=((2 if at.labelled else 5, data),),
        quiet=True,
    )


def options_of(settings: Mapping[str, Any]) -> list[str]:
    """Settings of a recipe as options of a command."""
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def of_own_size(recipe: StudentRecipe) -> bool:
    """Whether its network is that of no configuration, as a budget decides its sizes."""
    return bool(recipe.shrink) and "like" not in recipe.shrink


def check_sizes(recipe: StudentRecipe, parents: Sequence[StudentRecipe]) -> None:
    """UserError where a student would start from one of another size than its configuration has."""
    odd = next((one for one in parents if of_own_size(one)), None)
    if odd:
        raise UserError(
            f"{recipe.file}: starts_from {recipe.starts_from}: {odd.file} has a network of its own size, which no "
            "configuration trains; shrink it with {like: config}"
        )


def facts_of(recipe: StudentRecipe, network: str) -> list[str]:
    """Options of kdasr train that say what a student is."""
    words = ["--recipe", recipe.name, "--learned_from", recipe.learns_from]
    words += ["--network", network] if network else []
    words += ["--baseline"] if recipe.baseline else []
    return [*words, *(["--oracle"] if recipe.oracle else [])]


def descends_from_teacher(recipe: StudentRecipe) -> bool:
    """Whether its weights began as the teacher's."""
    return any(one.starts_from == TEACHER for one in (recipe, *ancestors(recipe)))
