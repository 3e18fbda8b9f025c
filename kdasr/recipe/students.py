"""Stage 5: targets, pruned models, students."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from kdasr.errors import UserError
from kdasr.recipe.layout import network_label
from kdasr.recipe.plan import Plan
from kdasr.recipe.stages import train
from kdasr.recipe.step import Command, Step
from kdasr.recipe.student import TEACHER, StudentRecipe, read
from kdasr.recipe.tree import has_text, need_config


def student(plan: Plan) -> Iterator[Step]:
    """Stage 5: targets first, then students; one that starts from another comes after it."""
    given, at = plan.options, plan.layout
    for option in ("student_configs", "fine_tune_configs"):
        for config in getattr(given, option):
            need_config(option, config)
    owners = {at.targets(one): one for one in reversed(plan.students) if one.own_targets}
    if given.audio_alone:
        yield valid_labels(plan)
    yield from (targets(plan, one) for one in reversed(owners.values()))
    for recipe in plan.students:
        for config in plan.configs(recipe):
            for seed in given.seeds:
                yield from student_of(plan, recipe, config, seed)


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
    select = [word for name, value in recipe.selection.items() for word in (f"--{name}", str(value))]
    words = ("kdasr", "targets", *source, "--tokens", at.tokens, "--out", out, *select, *given.target_opts)
    commands = [Command(words, f"{at.teacher}/log/{PurePath(out).name}.log", tell="all")]
    settings = {"target_opts": " ".join(given.target_opts), "select": " ".join(select)}
    agree = [f"{recipe.selection['agree']}/manifest.json"] if "agree" in recipe.selection else []
    read = [f"{recipe.archive}/summary.json"] if recipe.archive else made
    heard = at.train_all if recipe.learns_from == "all_references" else at.labelled
    asked: list[str] = []
    if recipe.soft:
        asked = at.ensemble(recipe.teachers)
        frames = ("--ctc",) if recipe.distillation.get("ctc_word_weight") else ()
        on, run, more = plan.on_gpu
        words = ("kdasr", "soft", "--model", *asked, "--targets", out, "--data", *at.train_sets(recipe))
        words += ("--kept", str(recipe.kept), *frames, *more, *given.audio_opts)
        name = PurePath(out).name.removeprefix("targets_")
        commands.append(Command(words, f"{at.teacher}/log/soft_{name}.log", on, options=run))
        settings |= {"soft": f"{recipe.kept} {' '.join(frames)}"} | plan.audio_settings
    return Step(
        5,
        out,
        tuple(commands),
        settings,
        (*read, *agree, at.tokens, *([heard] if heard else []), *asked),
        f"{out}: selecting targets, log in {at.teacher}/log/{PurePath(out).name}.log",
        needs=((3, at.tokens), *((4, one) for one in made), *((3, one) for one in asked)),
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
    """A student of a recipe, of the network of a configuration; and the pruned model that it starts from."""
    given, at = plan.options, plan.layout
    out = at.student(recipe, config, seed)
    file = plan.config_file(recipe, config)
    name = "" if recipe.whose_config == "teacher" else network_label(config, given.teacher_config)
    label = f"{name}: {recipe.label}" if name else recipe.label
    learnt = at.targets(recipe)
    options = ["--targets", learnt] if learnt else []
    inputs = [learnt] if learnt else []
    if learnt or descends_from_teacher(recipe):
        options += ["--teacher", PurePath(at.teacher).name]
    settings = " ".join(f"{name}={value}" for name, value in recipe.distillation.items())
    if settings:
        options += ["--kd", *settings.split()]
    if recipe.starts_from:
        parents = ancestors(recipe)
        before = at.teacher if recipe.starts_from == TEACHER else at.student(parents[0], config, seed)
        if recipe.prune:
            words = [word for name, value in recipe.prune.items() for word in (f"--{name}", str(value))]
            pruned = f"{out}/pruned"
            prune = ("kdasr", "prune", "--model", before, *words, "--out", pruned)
            yield Step(
                5,
                pruned,
                (Command(prune, f"{out}/log/prune.log"),),
                {"prune": " ".join(words)},
                (before,),
                needs=((3 if before == at.teacher else 5, before),),
                quiet=True,
            )
            before = pruned
        options += ["--init", before]
        inputs.append(before)
        # pruned weights stay zero; a finished teacher may have some, too
        if any(one.prune for one in (recipe, *parents)) or has_text(f"{before}/mask.pth"):
            options += ["--mask", f"{before}/mask.pth"]
    data, early = at.train_sets(recipe), recipe.needs_no_teacher
    facts = facts_of(recipe, name)
    yield train(plan, out, "student", label, file, data, seed, 5, facts, options, inputs, settings, early)


def facts_of(recipe: StudentRecipe, network: str) -> list[str]:
    """Options of kdasr train that say what a student is."""
    words = ["--recipe", recipe.name, "--learned_from", recipe.learns_from]
    words += ["--network", network] if network else []
    words += ["--baseline"] if recipe.baseline else []
    return [*words, *(["--oracle"] if recipe.oracle else [])]


def ancestors(recipe: StudentRecipe) -> list[StudentRecipe]:
    """The recipes that one starts from, directly or through others, the nearest first."""
    found = []
    while recipe.starts_from not in ("", TEACHER):
        recipe = read(recipe.starts_from, f"{recipe.file}: starts_from")
        found.append(recipe)
    return found


def descends_from_teacher(recipe: StudentRecipe) -> bool:
    """Whether its weights began as the teacher's."""
    return any(one.starts_from == TEACHER for one in (recipe, *ancestors(recipe)))
