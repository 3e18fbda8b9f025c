"""Language models in a plan: their training, students, perplexities, and N-best lists that they rerank."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from kdasr.recipe.plan import Plan
from kdasr.recipe.stages import lists, scored
from kdasr.recipe.step import DONE, Command, On, Step
from kdasr.recipe.student import read
from kdasr.recipe.tree import found, need_config


@dataclass(frozen=True)
class Models:
    """Which language models are trained, and on what."""

    train: str  # text, a sentence a line
    valid: str
    tests: tuple[str, ...]
    vocab: int
    min_count: int
    teacher_config: str
    student_config: str
    teacher_seeds: tuple[str, ...]
    seeds: tuple[str, ...]
    objectives: tuple[str, ...]
    ce_opts: tuple[str, ...]
    lm_opts: tuple[str, ...]
    finetune: tuple[str, ...]  # settings of finetuning over the configurations; (): none
    stored: str  # words kept of the teachers' distributions: all, a number, or 0: teachers run beside the student
    draws: bool  # whether these words are drawn
    dynamic: bool  # dynamic evaluation, too
    ngpu: int
    dumpdir: str
    expdir: str
    results: str
    numbers: dict[str, int]  # of the stages words, teacher, student, ppl, report

    @property
    def words(self) -> str:
        """The vocabulary's directory."""
        return f"{self.dumpdir}/words"

    @property
    def teachers(self) -> list[str]:
        """Model directories of the teachers."""
        return [f"{self.expdir}/teacher_s{seed}{'_ft' if self.finetune else ''}" for seed in self.teacher_seeds]

    @property
    def on(self) -> tuple[On, tuple[str, ...], tuple[str, ...]]:
        """What runs a command, the program's options, and the command's."""
        return ("cuda", ("--gpu", "1"), ("--ngpu", "1")) if self.ngpu else ("train", (), ("--ngpu", "0"))

    def all_models(self) -> list[str]:
        """Those of this run, and others that are finished."""
        mine = [step.out for step in (*teachers(self), *students(self)) if step.out.startswith(f"{self.expdir}/")]
        return sorted({*mine, *finished_models(self.expdir)})


def words(given: Models) -> Step:
    """The vocabulary."""
    made = (
        "kdasr",
        "lm",
        "words",
        "--text",
        given.train,
        "--size",
        str(given.vocab),
        "--min_count",
        str(given.min_count),
    )
    return Step(
        given.numbers["words"],
        given.words,
        (Command((*made, "--out", given.words), f"{given.dumpdir}/log/words.log", tell="all"),),
        {"vocab": str(given.vocab), "min_count": str(given.min_count)},
        (given.train,),
    )


def train(
    given: Models,
    stage: str,
    name: str,
    role: str,
    label: str,
    config: str,
    seed: str,
    settings: Sequence[str],
    options: Sequence[str],
) -> Iterator[Step]:
    """A training, and its finetuning; the options name directories that it depends on."""
    yield train_one(given, stage, f"{given.expdir}/{name}", role, label, config, seed, settings, options)
    if given.finetune:
        before = f"{given.expdir}/{name}"
        more = (*options, "--init", before)
        tuned = (*settings, *given.finetune)
        yield train_one(given, stage, f"{before}_ft", role, f"{label}, finetuned", config, seed, tuned, more)


def train_one(
    given: Models,
    stage: str,
    out: str,
    role: str,
    label: str,
    config: str,
    seed: str,
    settings: Sequence[str],
    options: Sequence[str],
) -> Step:
    """One training."""
    settings = [*settings, *given.lm_opts]
    on, run, more = given.on
    made = ["kdasr", "lm", "train", "--conf", config, "--words", given.words, "--train", given.train]
    made += ["--valid", given.valid, "--out", out, "--role", role, "--label", label, "--seed", seed, *more, *options]
    made += ["--set", *settings] if settings else []
    inputs = [word for word in options if not word.startswith("--")]
    return Step(
        given.numbers[stage],
        out,
        (Command(tuple(made), f"{out}/train.log", on, options=run, tell="last"),),
        {"seed": seed, "set": " ".join(settings)},
        (config, given.train, given.valid, given.words, *inputs),
        f"{out}: training ({label}), log in {out}/train.log",
        needs=(
            (given.numbers["words"], given.words),
            *((given.numbers["teacher"], one) for one in inputs if one in given.teachers),
        ),
    )


def teachers(given: Models) -> Iterator[Step]:
    """One for each of the teachers' seeds."""
    for seed in given.teacher_seeds:
        yield from train(given, "teacher", f"teacher_s{seed}", "teacher", "teacher", given.teacher_config, seed, (), ())


def students(given: Models) -> Iterator[Step]:
    """One for each seed and objective; before them, where they are stored, the teachers' distributions."""
    learn_from = ["--teachers", *given.teachers]
    if given.stored != "0" and set(given.objectives) != {"ce"}:
        soft = f"{given.dumpdir}/soft_{given.stored}{'_draws' if given.draws else ''}"
        learn_from = ["--soft", soft]
        on, run, more = given.on
        made = ("kdasr", "lm", "soft", "--teachers", *given.teachers, "--text", given.train)
        made += (
            "--kept",
            given.stored.replace("all", "0"),
            "--out",
            soft,
            *more,
            *(("--draws",) if given.draws else ()),
        )
        yield Step(
            given.numbers["student"],
            soft,
            (Command(made, f"{given.dumpdir}/log/{PurePath(soft).name}.log", on, options=run, tell="all"),),
            {"stored": given.stored, "draws": str(given.draws).lower()},
            (given.train, *given.teachers),
            quiet=True,
            needs=tuple((given.numbers["teacher"], one) for one in given.teachers),
        )
    for seed in given.seeds:
        for objective in given.objectives:
            alone = objective == "ce"
            settings = (f"objective={objective}", *(given.ce_opts if alone else ()))
            options = () if alone else learn_from
            name, label = f"student_{objective}_s{seed}", f"student, {objective}"
            yield from train(given, "student", name, "student", label, given.student_config, seed, settings, options)


def perplexities(given: Models) -> Iterator[Step]:
    """Of the teachers together, and of each model."""
    texts = (given.valid, *given.tests)
    on, run, more = given.on
    each = [("ensemble", given.teachers), *((PurePath(one).name, [one]) for one in given.all_models())]
    for name, models in each:
        out = f"{given.expdir}/{name}/ppl"
        made = ("kdasr", "lm", "ppl", "--model", *models, "--text", *texts, "--out", out, *more)
        commands = [Command(made, f"{out}/ppl.log", on, options=run)]
        if given.dynamic and len(models) == 1:
            commands.append(Command((*made, "--dynamic", given.train), f"{out}/dynamic.log", on, options=run))
        settings = {"dynamic": str(given.dynamic).lower()}
        needs = tuple(
            (given.numbers["student" if PurePath(one).name.startswith("student_") else "teacher"], one)
            for one in models
        )
        yield Step(given.numbers["ppl"], out, tuple(commands), settings, (*texts, *models), needs=needs, quiet=True)


def table(given: Models, command: str, notes: Sequence[str]) -> Step:
    """The table of language models; written each time, from all models that are there."""
    made = ["kdasr", "lm", "report", "--exp", given.expdir, "--out", given.results, "--command", command]
    made += [word for note in notes if note for word in ("--note", note)]
    return Step(given.numbers["report"], given.expdir, (Command(tuple(made), on="here"),), {}, (), always=True)


# ------------------------------------------------------------------- stages 8 and 9 of utils/kd.sh


def of(plan: Plan) -> Models:
    """The language models of a recipe."""
    given = plan.options
    text = f"{given.dumpdir}/lm/text"
    return Models(
        train=f"{text}/train.txt",
        valid=f"{text}/valid.txt",
        tests=(f"{text}/test.txt",),
        vocab=given.lm_vocab,
        min_count=given.lm_min_count,
        teacher_config=given.lm_teacher_config,
        student_config=given.lm_student_config,
        teacher_seeds=given.lm_teacher_seeds,
        seeds=given.lm_seeds,
        objectives=given.lm_objectives,
        ce_opts=given.lm_ce_opts,
        lm_opts=given.lm_opts,
        finetune=(),
        stored=given.lm_stored,
        draws=False,
        dynamic=False,
        ngpu=given.ngpu,
        dumpdir=f"{given.dumpdir}/lm",
        expdir=f"{given.expdir}/lm",
        results=plan.layout.lm_results,
        numbers={"words": 8, "teacher": 8, "student": 8, "ppl": 8, "report": 9},
    )


def models(plan: Plan) -> Iterator[Step]:
    """Stage 8."""
    given = of(plan)
    for option in ("lm_teacher_config", "lm_student_config"):
        need_config(option, getattr(plan.options, option))
    yield text(plan)
    yield words(given)
    yield from teachers(given)
    yield from students(given)
    yield from perplexities(given)


def text(plan: Plan) -> Step:
    """The text that language models learn from: --lm_text_opts, or the transcripts."""
    given, at = plan.options, plan.layout
    out, log = f"{given.dumpdir}/lm/text", f"{given.dumpdir}/lm/log/text.log"
    references = [f"{at.feats}/{name}/text" for name in at.other_sets]
    if given.lm_text_opts:
        made = ("kdasr", "data", "text", "--out", out, *given.lm_text_opts, "--without", *references)
        settings, inputs = {"lm_text_opts": " ".join(given.lm_text_opts)}, tuple(references)
        says = ""
    else:
        # of copies at other speeds the one that data/ has is taken
        source = f"{given.datadir}/{given.train_set}/text"
        tests = [f"{at.feats}/{name}/text" for name in given.test_sets]
        made = ("kdasr", "data", "sentences", "--train", source, "--only", f"{at.labelled}/text")
        made += ("--valid", f"{at.feats}/{given.valid_set}/text", "--test", *tests, "--out", out)
        settings, inputs = {}, (at.labelled, source, *references)
        says = f"{out}: the transcripts of {at.labelled}, to be validated on those of {given.valid_set}"
    needs = tuple((2, f"{at.feats}/{name}") for name in at.other_sets)
    return Step(8, out, (Command(made, log, tell="all"),), settings, inputs, says, needs=needs)


def rescore(plan: Plan) -> Iterator[Step]:
    """Stage 9: lists of recognisers, in their order, and reranked by each model and by the teachers together."""
    given, at = plan.options, plan.layout
    lms = of(plan)
    first_pass = f"{given.expdir}/lm/first_pass"
    needs = tuple((8, one) for one in lms.teachers)
    for name in given.rescore:
        recogniser = at.teacher if name == "teacher" else f"{student_named(plan, name)}"
        stage = 3 if name == "teacher" else 5
        for one in at.other_sets:
            out, data = f"{first_pass}/nbest_{name}/{one}", f"{at.feats}/{one}"
            here = (*needs, (stage, recogniser), (2, data))
            yield lists(plan, out, data, [recogniser], given.rescore_beam, given.rescore_beam, 9, here)
        rankings = {"first_pass": [], "ensemble": lms.teachers}
        rankings |= {PurePath(one).name: [one] for one in finished_models(lms.expdir)}
        for ranking, ranked_by in rankings.items():
            yield from ranked(plan, ranking, name, ranked_by)
    yield table(lms, plan.command, (given.corpus_note, given.note))


def finished_models(expdir: str) -> list[str]:
    """The language models that there are."""
    return [
        one.removesuffix(f"/{DONE}") for kind in ("student_*", "teacher_s*") for one in found(expdir, f"{kind}/{DONE}")
    ]


def student_named(plan: Plan, name: str) -> str:
    """The first student of a recipe, of the first configuration."""
    return plan.layout.student(read(name), plan.options.student_configs[0], plan.options.seeds[0])


def ranked(plan: Plan, ranking: str, recogniser: str, lms: Sequence[str]) -> Iterator[Step]:
    """The lists of all sets ranked by the mean of some language models, their weights tuned on the validation set."""
    given, at = plan.options, plan.layout
    place = f"{given.expdir}/lm/{ranking}/rescore_{recogniser}"
    on, run, more = plan.on_gpu
    for name in at.other_sets:  # the validation set is the first of them
        out, listed, data = (
            f"{place}/{name}",
            f"{given.expdir}/lm/first_pass/nbest_{recogniser}/{name}",
            f"{at.feats}/{name}",
        )
        made = ["kdasr", "rescore", "--nbest", listed, "--out", out]
        inputs, settings = [listed, *lms], {}
        if lms:
            made += ["--lm", f"lm={'+'.join(lms)}", *more]
            if name == given.valid_set:
                filtered = ("--wsj_filter",) if "--wsj_filter" in given.score_opts else ()
                made += ["--tune", f"{data}/text", *plan.nlsyms, *filtered, *given.rescore_opts]
                inputs += [data, *plan.nlsyms[1:]]
                settings = {"rescore_opts": " ".join(given.rescore_opts)}
                settings |= {"filter": " ".join(filtered)} if filtered else {}
            else:
                made += ["--weights", f"{place}/{given.valid_set}/weights.json"]
                inputs.append(f"{place}/{given.valid_set}")
        command = Command(tuple(made), f"{place}/log/{name}.log", on, options=run)
        yield Step(9, out, (command,), settings, tuple(inputs), quiet=True)
        yield scored(plan, out, data, "wer", 9, 9)
