"""utils/frames.sh: framewise acoustic models (Hinton, Vinyals and Dean 2015, sections 4 and 5), in eight stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from kdasr.errors import UserError
from kdasr.recipe.options import option, parse, stage_range
from kdasr.recipe.step import Command, Step, finished
from kdasr.recipe.work import Work

STAGES = ("align", "baseline", "ensemble", "distil", "few", "specialist", "score", "report")
PURPOSES = (
    "which state of which character each frame is of",
    "large networks, each trained by itself",
    "their mean predictions, which others learn from",
    "small networks that learn from them, or longer from labels",
    "networks that see a small part of the frames",
    "specialists for states that the networks confuse",
    "every network's words, and their errors",
    "a table",
)


@dataclass(frozen=True)
class Options:
    """The options of utils/frames.sh, which explains them and has their defaults."""

    stage: str
    stop_stage: str
    nj: int = option(least=1)
    submit: str = option(choices=("", "slurm"))
    train_set: str
    valid_set: str
    test_sets: tuple[str, ...]
    aligner: str
    bins: str
    speed: str
    frames_opts: tuple[str, ...]
    frames_config: str
    baseline_seeds: tuple[str, ...]
    temperatures: tuple[str, ...]
    main: str
    distil_opts: tuple[str, ...]
    seeds: tuple[str, ...]
    share: str
    few_opts: tuple[str, ...]
    groups: int
    specialist_opts: tuple[str, ...]
    model_opts: tuple[str, ...]
    score_opts: tuple[str, ...]
    nlsyms: str
    datadir: str
    dumpdir: str
    expdir: str
    results: str
    note: str
    corpus_note: str

    @property
    def train(self) -> str:
        """Frames of the training set."""
        return f"{self.dumpdir}/{self.train_set}"

    @property
    def valid(self) -> str:
        """Frames of the validation set."""
        return f"{self.dumpdir}/{self.valid_set}"

    @property
    def evaluated(self) -> list[str]:
        """The validation set and the test sets, each once."""
        return list(dict.fromkeys([self.valid_set, *self.test_sets]))

    @property
    def baselines(self) -> list[str]:
        """Model directories of the baselines, together the ensemble."""
        return [f"{self.expdir}/baseline_s{seed}" for seed in self.baseline_seeds]

    @property
    def soft(self) -> str:
        """Predictions of all baselines together for the training set."""
        return f"{self.expdir}/ensemble/predict_{self.train_set}"

    @property
    def weights(self) -> str:
        """The first baseline's weights of the language model serve all: what differs between rows is the network."""
        return f"{self.baselines[0]}/predict_{self.valid_set}/decode/weights.json"


def work(words: Sequence[str], command: str) -> Work:
    """What utils/frames.sh runs with these options.

    Args:
        words: `name=value`, one for each option.
        command: as the user wrote it.

    Raises:
        UserError: a value out of range, or a configuration that is not there.
    """
    given = parse(Options, words)
    given = replace(given, results=given.results or f"{given.expdir}/RESULTS.md")
    asked = stage_range(STAGES, given.stage, given.stop_stage)
    if not Path(given.frames_config).is_file():
        raise UserError(f"{given.frames_config}: no such file; name the configuration with --frames_config")
    if given.main not in given.temperatures:
        raise UserError(f"--main {given.main}: is none of --temperatures {' '.join(given.temperatures)}")
    left_out = {number for number, none in ((5, given.share == "0"), (6, not given.groups)) if none}
    stages = (align, baseline, ensemble, distil, few, specialist, score)

    def steps(stage: int) -> list[Step]:
        return [report(given, command)] if stage == 8 else list(stages[stage - 1](given))

    at = given
    about = (
        f"reads {at.datadir}/{{{','.join((at.train_set, *at.evaluated))}}}, {at.aligner}, writes {at.dumpdir}",
        f"reads {at.train}, writes {' '.join(at.baselines)}",
        f"reads {' '.join(at.baselines)}, writes {at.expdir}/ensemble",
        f"reads {at.train} {at.soft}, writes {at.expdir}/distilled_* {at.expdir}/long_*",
        f"reads {at.train} {at.soft}, writes {at.expdir}/hard_* {at.expdir}/soft_*",
        f"reads {at.train} {at.baselines[0]}, writes {at.expdir}/specialists_*",
        f"reads {at.expdir}/*, writes {at.expdir}/*/predict_*",
        f"reads {at.expdir}/*, writes {at.results}",
    )
    numbers = [number for number in asked if number not in left_out]
    program = "./frames.sh"
    return Work(STAGES, numbers, steps, lambda n: about[n - 1], at.expdir, at.nj, command, program, purposes=PURPOSES)


def align(given: Options) -> Iterator[Step]:
    """Stage 1: features as the aligner takes them and of our own bins, the alignment, and the frames of each set."""
    if not Path(given.aligner, "config.yaml").is_file():
        raise UserError(
            f"{given.aligner}: no model is there; train the teacher first: ./run.sh --stop_stage 3 "
            "(or name one with --aligner)"
        )
    # a model from elsewhere has no .done
    aligner = [given.aligner] if finished(given.aligner) else [f"{given.aligner}/config.yaml"]
    for name in (given.train_set, *given.evaluated):
        out, data, dump = f"{given.dumpdir}/{name}", f"{given.datadir}/{name}", given.dumpdir
        first = name == given.train_set
        speed = ("--speed", given.speed) if first and given.speed else ()
        like = given.frames_opts if first else ("--like", given.train)
        feats, aligned = ("kdasr", "feats", "--data", data, "--out"), f"{dump}/alignment/{name}"
        plain, bins = f"{dump}/aligner/{name}", f"{dump}/fbank/{name}"
        words = (
            ("feats", (*feats, plain, "--nj", "1", *speed)),
            ("bins", (*feats, bins, "--bins", given.bins, "--nj", "1", *speed)),
            ("align", ("kdasr", "frames", "align", "--model", given.aligner, "--data", plain, "--out", aligned)),
            ("data", ("kdasr", "frames", "data", "--feats", bins, "--alignment", aligned, "--out", out, *like)),
        )  # fmt: skip
        yield Step(
            1,
            out,
            tuple(
                Command(line, f"{out}/log/{part}.log", "decode", tell="last" if part == "data" else "")
                for part, line in words
            ),
            {"bins": given.bins, "speed": " ".join(speed), "frames_opts": " ".join(given.frames_opts)},
            (
                *(f"{data}/{part}" for part in ("wav.scp", "text", "segments")),
                *aligner,
                *(() if first else (given.train,)),
            ),
        )


def train(
    given: Options,
    stage: int,
    name: str,
    label: str,
    seed: str,
    settings: Sequence[str] = (),
    options: Sequence[str] = (),
    baseline: bool = False,
) -> Step:
    """A training, from soft targets if the options say so."""
    out, settings = f"{given.expdir}/{name}", [*settings, *given.model_opts]
    words = ["kdasr", "frames", "train", "--data", given.train, "--valid", given.valid, "--conf", given.frames_config]
    words += ["--out", out, "--recipe", name.partition("_")[0], *(["--baseline"] if baseline else [])]
    words += ["--label", label, "--seed", seed, *options, *(["--set", *settings] if settings else [])]
    soft = (given.soft,) if "--soft" in options else ()
    return Step(
        stage,
        out,
        (Command(tuple(words), f"{out}/train.log", tell="last"),),
        {"seed": seed, "set": " ".join(settings), "options": " ".join(options)},
        (given.frames_config, given.train, given.valid, *soft),
        f"{out}: training, log in {out}/train.log",
        needs=((1, given.train), (1, given.valid), *((3, one) for one in soft)),
    )


def baseline(given: Options) -> Iterator[Step]:
    """Stage 2."""
    for seed in given.baseline_seeds:
        yield train(given, 2, f"baseline_s{seed}", "baseline", seed, baseline=True)


def predict(given: Options, stage: int, out: str, name: str, models: Sequence[str]) -> Step:
    """Predictions of several models together for each frame of a set."""
    data = f"{given.dumpdir}/{name}"
    words = ("kdasr", "frames", "predict", "--models", *models, "--data", data, "--out", out)
    command = Command(words, f"{out}/predict.log", "decode", tell="last")
    stages = {"baseline": 2, "hard": 5, "soft": 5, "specialists": 6}
    needs = ((1, data), *((stages.get(PurePath(one).name.split("_")[0], 4), one) for one in models))
    return Step(stage, out, (command,), {}, (data, *models), needs=needs, quiet=True)


def ensemble(given: Options) -> Iterator[Step]:
    """Stage 3."""
    yield predict(given, 3, given.soft, given.train_set, given.baselines)


def distil(given: Options) -> Iterator[Step]:
    """Stage 4."""
    first = given.seeds[0]
    yield train(given, 4, f"long_s{first}", "baseline trained as long as distilled", first, given.distil_opts)
    for temperature in given.temperatures:
        for seed in given.seeds if temperature == given.main else given.seeds[:1]:
            settings = (*given.distil_opts, f"temperature={temperature}")
            yield train(
                given, 4, f"distilled_T{temperature}_s{seed}", "distilled", seed, settings, ("--soft", given.soft)
            )


def few(given: Options) -> Iterator[Step]:
    """Stage 5."""
    share = ("--share", given.share)
    for seed in given.seeds:
        yield train(given, 5, f"hard_s{seed}", "hard", seed, given.few_opts, share)
        settings = (*given.few_opts, f"temperature={given.main}")
        yield train(given, 5, f"soft_s{seed}", "soft", seed, settings, (*share, "--soft", given.soft))


def specialist(given: Options) -> Iterator[Step]:
    """Stage 6."""
    general, tested = given.baselines[0], f"{given.dumpdir}/{given.test_sets[-1]}"
    out = f"{given.expdir}/specialists_{general.rpartition('_')[2]}"
    words = ("kdasr", "frames", "specialists", "--data", given.train, "--test", tested, "--generalist", general)
    words += ("--groups", str(given.groups), "--out", out, *given.specialist_opts)
    yield Step(
        6,
        out,
        (Command(words, f"{out}/train.log", tell="last"),),
        {"groups": str(given.groups), "options": " ".join(given.specialist_opts)},
        (given.train, tested, general),
        needs=((2, general),),
    )


def score(given: Options) -> Iterator[Step]:
    """Stage 7: predictions, words and error rates of the first baseline, of all together, and of every other model."""
    first = given.baselines[0]
    others = sorted(str(path.parent) for path in Path(given.expdir).glob("*/kdasr.json"))
    models = {PurePath(first).name: [first], "ensemble": given.baselines}
    models |= {PurePath(one).name: [one] for one in others if one != first}
    for name, predicted_by in models.items():
        for one in given.evaluated:  # the validation set is the first of them
            yield from scored(given, f"{given.expdir}/{name}/predict_{one}", one, predicted_by)


def scored(given: Options, predictions: str, name: str, models: Sequence[str]) -> Iterator[Step]:
    """Predictions of a set, its words, and their error rate."""
    out, source = f"{predictions}/decode", f"{given.datadir}/{name}"
    step = predict(given, 7, predictions, name, models)
    yield step
    words = ["kdasr", "frames", "decode", "--predictions", predictions, "--data", f"{given.dumpdir}/{name}"]
    words += ["--train", given.train, "--out", out]
    inputs = [predictions, given.train]
    tuned = str(PurePath(given.weights).parent)
    if out == tuned:
        words += ["--tune", f"{source}/text"]
    else:
        words += ["--weights", given.weights]
        inputs += [given.weights, tuned]
    yield Step(7, out, (Command(tuple(words), f"{out}.log", "decode"),), {}, tuple(inputs), quiet=True)
    nlsyms = ("--nlsyms", given.nlsyms) if given.nlsyms else ()
    words = ["kdasr", "score", "--ref", f"{source}/text", "--hyp", f"{out}/text", "--utt2spk", f"{source}/utt2spk"]
    words += ["--dir", f"{out}/score_wer", "--type", "wer", *nlsyms, *given.score_opts]
    command, settings = Command(tuple(words), f"{out}.score.log"), {"score_opts": " ".join(given.score_opts)}
    yield Step(7, f"{out}/score_wer", (command,), settings, (out, f"{source}/utt2spk", *nlsyms[1:]), quiet=True)


def report(given: Options, command: str) -> Step:
    """Stage 8."""
    words = ["kdasr", "frames", "report", "--exp", given.expdir, "--out", given.results, "--command", command]
    words += [word for note in (given.corpus_note, given.note) if note for word in ("--note", note)]
    needs = ((7, f"{given.expdir}/ensemble/predict_{given.valid_set}/decode/score_wer"),)
    return Step(8, given.expdir, (Command(tuple(words), on="here"),), {}, (), needs=needs, always=True)
