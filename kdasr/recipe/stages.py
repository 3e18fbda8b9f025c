"""Stages of the main recipe, a function each: data, features, teacher, N-best, decoding, scores, report.

Each gives its steps in an order in which they can be done. They change nothing; they only check which files are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from kdasr.data.kaldi_dir import SOURCE
from kdasr.errors import UserError
from kdasr.files import read_yaml
from kdasr.models import has_decoder
from kdasr.recipe.plan import Plan
from kdasr.recipe.step import DONE, Command, On, Step
from kdasr.recipe.tree import found, has_text, need_config, need_model


def data(plan: Plan) -> Iterator[Step]:
    """Stage 1."""
    given = plan.options
    words = ("local/data.sh", "--datadir", given.datadir, "--nj", str(given.nj), *given.data_opts)
    settings = {"data_opts": " ".join(given.data_opts)}
    command = Command(words, f"{given.datadir}/log/data.log")
    # without options for the corpus, data that is there is used
    yield Step(1, given.datadir, (command,), settings, (), taken=not given.data_opts)
    if given.teacher_dir:  # whether it fits the corpus is known now, before hours of features
        yield from finished_teacher(plan, 1)


def feats(plan: Plan) -> Iterator[Step]:
    """Stage 2."""
    given, at = plan.options, plan.layout
    if not given.audio_alone:
        yield prepare(plan, given.train_set, at.train_all, given.speed)
    for name in at.other_sets:
        yield prepare(plan, name, f"{at.feats}/{name}")
    if given.unlabelled_set:
        yield prepare(plan, given.unlabelled_set, at.unlabelled, given.speed)
    if at.cut:
        words = ("kdasr", "data", "holdout", "--transcribed", given.transcribed, "--seed", str(given.split_seed))
        words += (at.train_all, "--labelled", at.labelled, "--unlabelled", at.unlabelled)
        yield Step(
            2,
            at.labelled,
            (Command(words, f"{at.feats}/log/holdout.log"),),
            {"transcribed": given.transcribed, "seed": str(given.split_seed)},
            (at.train_all,),
            f"{at.train_all}: {given.transcribed} of it into {at.labelled}, the rest without text into {at.unlabelled}",
            also=(at.unlabelled,),
        )
    if plan.crossfits:
        words = ("kdasr", "data", "folds", at.labelled, "--folds", str(given.folds), "--out", at.folds)
        yield Step(
            2,
            at.folds,
            (Command(words, f"{at.feats}/log/folds.log"),),
            {"folds": str(given.folds)},
            (at.labelled,),
            f"{at.labelled}: {given.folds} parts of it into {at.folds}, for teachers that were not trained on "
            "what they decode",
            also=tuple(f"{at.folds}/{part}{n}" for n in range(1, given.folds + 1) for part in ("fold", "rest")),
        )


def prepare(plan: Plan, name: str, out: str, speed: str = "") -> Step:
    """A set as models read it: its features, or its text as it is."""
    return copied(plan, name, out) if plan.options.translates else extract(plan, name, out, speed)


def copied(plan: Plan, name: str, out: str) -> Step:
    """A set of text: a copy, so that what was trained on is kept, and known, whatever becomes of the corpus."""
    source = f"{plan.options.datadir}/{name}"
    log = f"{plan.layout.feats}/log/{name}.log"  # a data directory with a log in it would be somebody else's
    return Step(
        2,
        out,
        (Command(("copy_data_dir.py", source, out), log),),
        {},
        (f"{source}/{SOURCE}", f"{source}/text"),
        f"{out}: text, log in {log}",
        needs=((1, f"{source}/{SOURCE}"), (1, f"{source}/utt2spk")),
    )


def extract(plan: Plan, name: str, out: str, speed: str = "") -> Step:
    """Features of a set."""
    given = plan.options
    source = f"{given.datadir}/{name}"
    words = ["kdasr", "feats", "--data", source, "--out", out, "--cmvn", given.cmvn]
    words += given.audio_opts
    settings = {"cmvn": given.cmvn, "speed": speed} | plan.audio_settings
    if speed:
        words += ["--speed", speed]
    if given.min_duration:
        words += ["--min_duration", given.min_duration]
        settings["min_duration"] = given.min_duration
    if given.feats_type != "fbank":
        words += ["--type", given.feats_type]
        settings["feats_type"] = given.feats_type
    return Step(
        2,
        out,
        (
            Command((*words, "--job", f"JOB/{given.nj}"), f"{out}/log/feats.JOB.log", jobs=given.nj),
            Command((*words, "--merge"), f"{out}/log/merge.log"),
        ),
        settings,
        tuple(f"{source}/{name}" for name in ("wav.scp", "text", "utt2spk", "segments")),
        f"{out}: features, log in {out}/log/feats.*.log",
        needs=((1, f"{source}/wav.scp"), (1, f"{source}/utt2spk")),
        wide=True,
    )


def teacher(plan: Plan) -> Iterator[Step]:
    """Stage 3."""
    given, at = plan.options, plan.layout
    if given.teacher_dir:
        if 1 not in given.stages:
            yield from finished_teacher(plan, 3)
        return
    if given.joint_tokens:
        yield token_list(plan, at.tokens, ("text", SOURCE), str(given.vocab))
    else:
        yield token_list(plan, at.tokens, ("text",), str(given.vocab))
        if at.src_tokens:
            yield token_list(plan, at.src_tokens, (SOURCE,), given.src_vocab or str(given.vocab))
    need_config("teacher_config", given.teacher_config)
    for number, out in enumerate(plan.teachers):
        yield train(plan, out, "teacher", "teacher", given.teacher_config, [at.labelled], str(given.seed + number), 3)
    for n in range(1, given.folds + 1) if plan.crossfits else ():
        label = f"teacher without fold {n} of {given.folds}"
        data = [f"{at.folds}/rest{n}"]
        about = ("--recipe", f"fold{n}of{given.folds}")
        yield train(plan, at.fold_teacher(n), "teacher", label, given.teacher_config, data, str(given.seed), 3, about)


def token_list(plan: Plan, out: str, texts: Sequence[str], vocab: str) -> Step:
    """A token list of these files of the transcribed data, which the other sets are compared with."""
    given, at = plan.options, plan.layout
    size = () if given.token_type == "char" else ("--vocab", vocab)
    words = ("kdasr", "tokens", "--text", *(f"{at.labelled}/{one}" for one in texts), "--out", out)
    check = [f"{at.feats}/{name}/{one}" for name in at.other_sets for one in texts]
    return Step(
        3,
        out,
        (Command((*words, "--type", given.token_type, *size, *plan.nlsyms, "--check", *check), token_log(plan, out)),),
        {"type": given.token_type, "vocab": size[1] if size else ""},
        (at.labelled, *plan.nlsyms[1:]),
        needs=prepared(plan),
    )


def token_log(plan: Plan, tokens: str) -> str:
    """Where the making of a token list is logged."""
    return f"{plan.options.dumpdir}/tokens/log/{PurePath(tokens).name}.log"


def prepared(plan: Plan) -> tuple[tuple[int, str], ...]:
    """The sets of stage 2 that a teacher and its tokens need."""
    at = plan.layout
    return tuple((2, one) for one in (at.train_all, at.labelled, at.valid_audio) if one)


def finished_teacher(plan: Plan, stage: int) -> Iterator[Step]:
    """A finished model as the teacher, in a directory of ours, as nothing is written into its own; and its tokens.

    Args:
        plan: the plan.
        stage: 1 where that runs, else 3.
    """
    given, at = plan.options, plan.layout
    packed = Path(given.teacher_dir).is_file()
    if not packed:
        need_model(given.teacher_dir)
    source = given.teacher_dir if packed else f"{given.teacher_dir}/config.yaml"
    log = f"{given.expdir}/log/{PurePath(at.teacher).name}.log"
    asked = {"teacher_opts": " ".join(given.teacher_opts)} if given.teacher_opts else {}
    yield Step(
        stage,
        at.teacher,
        (Command(("kdasr", "adopt", given.teacher_dir, "--out", at.teacher, *given.teacher_opts), log),),
        {"teacher_dir": given.teacher_dir, **asked},
        (source,),
        makes=(f"{at.teacher}/kdasr.json",),  # without it reports would not know the teacher
    )
    if stage == 1:
        with_text = given.test_sets if given.audio_alone else (given.train_set, *at.other_sets)
        sets = [f"{given.datadir}/{name}" for name in with_text]
    else:
        sets = [at.labelled] if at.labelled and has_text(f"{at.labelled}/text") else []
    model = at.teacher if packed else given.teacher_dir
    needs = ((1, given.datadir),) if stage == 1 else prepared(plan)
    for out, side, text in ((at.tokens, (), "text"), (at.src_tokens, ("--source",), SOURCE)):
        if out:
            words = ("kdasr", "tokens", "--model", model, *side, "--out", out, *plan.nlsyms)
            words += ("--check", *(f"{one}/{text}" for one in sets)) if sets else ()
            command = Command(words, token_log(plan, out))
            yield Step(stage, out, (command,), {}, (source, *plan.nlsyms[1:]), needs=needs)


def of_ctc_alone(plan: Plan) -> bool:
    """Whether the teacher is a finished model without an attention decoder: it decodes with CTC alone."""
    given = plan.options
    places = (f"{plan.layout.teacher}/config.yaml", f"{given.teacher_dir}/config.yaml")  # a pack: once it is unpacked
    config = next((place for place in places if given.teacher_dir and Path(place).is_file()), None)
    try:
        return config is not None and not has_decoder(read_yaml(config))
    except UserError:  # kdasr adopt says so in its step
        return False


def train(
    plan: Plan,
    out: str,
    role: str,
    label: str,
    config: str,
    data: Sequence[str],
    seed: str,
    stage: int,
    facts: Sequence[str] = (),
    options: Sequence[str] = (),
    inputs: Sequence[str] = (),
    settings: str = "",
    before_teacher: bool = False,
) -> Step:
    """A training.

    Args:
        plan: the plan.
        out: the model's directory.
        role: teacher or student.
        label: what tables call it.
        config: its configuration.
        data: the features that it trains on.
        seed: its seed.
        stage: of the step.
        facts: options of kdasr train that say what the model is, and change nothing of it.
        options: further options of kdasr train, ...
        inputs: ... the directories among them that it depends on, ...
        settings: ... and its distillation settings.
        before_teacher: whether it can be trained beside the teacher.
    """
    given, at = plan.options, plan.layout
    valid = at.valid
    words = ["kdasr", "train", "--config", config, "--train", *data, "--valid", valid, "--tokens", at.tokens]
    words += ["--src_tokens", at.src_tokens] if given.translates else []
    words += ["--out", out, *given.audio_opts, *options, "--seed", seed, "--ngpu", str(given.ngpu)]
    on: On = "train"
    run: list[str] = []
    if given.ngpu:
        on, run = "cuda", ["--gpu", str(given.ngpu)]
    if given.num_nodes > 1:
        run += ["--num_nodes", str(given.num_nodes)]
        words += ["--nodes", str(given.num_nodes)]
    words += ["--role", role, *facts, "--label", label, *(("--", *given.train_opts) if given.train_opts else ())]
    return Step(
        stage,
        out,
        (Command(tuple(words), f"{out}/log/train.log", on, options=tuple(run)),),
        {"seed": seed, "train_opts": " ".join(given.train_opts)}
        | ({"kd": settings} if settings else {})
        | plan.audio_settings,
        (config, *data, valid, *at.token_lists, *inputs),
        f"{out}: training ({label}), log in {out}/log/train.log",
        needs=(
            *((2, one) for one in data),
            (5 if given.audio_alone else 2, valid),
            *((3, one) for one in at.token_lists),
        ),
        before_teacher=before_teacher,
    )


def nbest(plan: Plan) -> Iterator[Step]:
    """Stage 4."""
    for one in plan.archives:
        needs = ((2, one.data), *((3, model) for model in one.models))
        yield lists(plan, one.out, one.data, one.models, one.beam, one.nbest, 4, needs)


def lists(
    plan: Plan,
    out: str,
    data: str,
    models: Sequence[str],
    beam: int,
    best: int,
    stage: int,
    needs: tuple[tuple[int, str], ...],
) -> Step:
    """N-best lists of a set, by a model or several together."""
    given = plan.options
    ctc = "1" if set(models) <= set(plan.teachers) and of_ctc_alone(plan) else plan.ctc_weight
    on, run, more = plan.on_gpu
    words = (
        "kdasr",
        "nbest",
        "--model",
        *models,
        "--data",
        data,
        "--out",
        out,
        "--beam",
        str(beam),
        "--nbest",
        str(best),
    )
    words += ("--ctc_weight", ctc, *more, *given.audio_opts, *given.nbest_opts)
    jobs = Command((*words, "--job", f"JOB/{given.nj}"), f"{out}/log/nbest.JOB.log", on, given.nj, run)
    settings = {"nbest": str(best), "beam": str(beam), "ctc_weight": ctc}
    return Step(
        stage,
        out,
        (jobs, Command((*words, "--merge"), f"{out}/log/merge.log", on, options=run)),
        settings | {"nbest_opts": " ".join(given.nbest_opts)} | plan.audio_settings,
        (*models, data),
        f"{out}: {best}-best, log in {out}/log/nbest.*.log",
        needs=needs,
        wide=True,
    )


def decode(plan: Plan) -> Iterator[Step]:
    """Stage 6."""
    given, at = plan.options, plan.layout
    needs = (
        *((2, f"{at.feats}/{name}") for name in given.test_sets),
        *((3, one) for one in plan.teachers),
        *((5, one) for one in plan.student_dirs),
    )
    on, run, more = plan.on_gpu
    alone = plan.teachers if of_ctc_alone(plan) else []
    for model, tag, name in decodings(plan):
        out, data = f"{model}/decode_{tag}/{name}", f"{at.feats}/{name}"
        kind, number, mean = re.fullmatch("([a-z]+)([0-9]*)(_token)?", tag).groups()  # type: ignore[union-attr]
        beam = "1" if kind == "greedy" else number or str(given.beam)
        ctc = "1" if model in alone else plan.ctc_weight if kind == "beam" else "0"
        words = ("kdasr", "decode", "--model", model, "--data", data, "--out", out, "--beam", beam, "--ctc_weight", ctc)
        words += (*(["--normalize_length"] if mean else []), *more, *given.audio_opts, *given.decode_opts)
        if given.decode_nj == 1:
            commands = [Command((*words, "--nj", "1"), f"{out}/log/decode.log", on, options=run)]
        else:
            job = (*words, "--job", f"JOB/{given.decode_nj}")
            commands = [
                Command(job, f"{out}/log/decode.JOB.log", on, given.decode_nj, run),
                Command((*words, "--merge"), f"{out}/log/merge.log", on, options=run),
            ]
        settings = {"beam": beam, "ctc_weight": ctc, "decode_opts": " ".join(given.decode_opts)} | plan.audio_settings
        settings |= {"normalize_length": "true"} if mean else {}
        yield Step(6, out, tuple(commands), settings, (model, data), f"{out}: decoding", needs=needs, quiet=True)
    for model in (one for one in (*plan.teachers, *plan.student_dirs) if given.ppl and one not in alone):
        for name in given.test_sets:
            out, data = f"{model}/ppl/{name}", f"{at.feats}/{name}"
            words = ("kdasr", "ppl", "--model", model, "--data", data, "--out", f"{out}.json", *more, *given.audio_opts)
            command = Command(words, f"{out}/log/ppl.log", on, options=run)
            yield Step(6, out, (command,), plan.audio_settings, (model, data), quiet=True)


def decodings(plan: Plan) -> list[tuple[str, str, str]]:
    """Model, tag and set of each decoding."""
    models = [*plan.teachers, *plan.student_dirs]
    given = plan.options
    return [(model, tag, name) for model in models for tag in given.decode_tags for name in given.test_sets]


def score(plan: Plan) -> Iterator[Step]:
    """Stage 7."""
    for model, tag, name in decodings(plan):
        for kind in plan.score_kinds:
            yield scored(plan, f"{model}/decode_{tag}/{name}", f"{plan.layout.feats}/{name}", kind, 7, 6)


def scored(plan: Plan, out: str, data: str, kind: str, stage: int, before: int) -> Step:
    """The score of a decoding, or of a list that was ranked anew."""
    given = plan.options
    words = ("kdasr", "score", "--ref", f"{data}/text", "--hyp", f"{out}/text")
    words += ("--src", f"{data}/{SOURCE}") if given.translates else ("--utt2spk", f"{data}/utt2spk")
    words += ("--dir", f"{out}/score_{kind}", "--type", kind, *plan.nlsyms, *given.score_opts)
    return Step(
        stage,
        f"{out}/score_{kind}",
        (Command(words, f"{out}/log/score_{kind}.log"),),
        {"type": kind, "score_opts": " ".join(given.score_opts)},
        (out, *plan.nlsyms[1:]),
        needs=((before, out),) if before != stage else (),
        quiet=True,
    )


def report(plan: Plan) -> Iterator[Step]:
    """Stage 10."""
    given, at = plan.options, plan.layout
    scores = found(given.expdir, f"*/decode_*/*/score_*/{DONE}")
    if not scores:
        raise UserError(f"{given.expdir}: no scores; run stage 7 (score) first: ./run.sh --stage 7")
    scores += found(given.expdir, f"*/ppl/*/{DONE}")
    scores += found(given.expdir, "*/kdasr.json")  # labels may be changed
    notes = [word for note in (given.corpus_note, given.note) if note for word in ("--note", note)]
    if given.figures:
        notes += ["--figures", given.figures]
    sets = [f"{given.datadir}/{name}" for name in given.test_sets if has_text(f"{given.datadir}/{name}/wav.scp")]
    details, page = str(PurePath(at.results).with_suffix(".csv")), f"{given.expdir}/report.html"
    words = ["kdasr", "report", given.expdir, "-o", at.results, "-o", details, "-o", page]
    words += ["--command", plan.command, *notes, *(("--audio", *sets) if sets else ())]
    yield Step(
        10,
        given.expdir,
        (Command(tuple(words), f"{given.expdir}/report.txt", "here"),),
        {"notes": " ".join(notes), "results": at.results},
        (*scores, *([given.figures] if given.figures else [])),
        remade=True,
        makes=(at.results, details, page, f"{given.expdir}/report.txt"),
        shows=f"{given.expdir}/report.txt",
    )
