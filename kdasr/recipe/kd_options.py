"""The options of utils/kd.sh, which explains them and has their defaults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kdasr.errors import UserError
from kdasr.recipe.options import option, parse, stage_range

TASKS = ("recognition", "translation")
STAGES = ("data", "feats", "teacher", "nbest", "student", "decode", "score", "lm", "rescore", "report", "export")


@dataclass(frozen=True)
class Options:
    """As utils/kd.sh explains them. Lists of names, and options of commands, are split into words."""

    stage: str
    stop_stage: str
    nj: int = option(least=1)
    ngpu: int
    num_nodes: int = option(least=1)
    seed: int
    seeds: tuple[str, ...]
    submit: str = option(choices=("", "slurm"))
    early_students: bool
    task: str = option(choices=TASKS)
    train_set: str  # empty: nothing is transcribed, and a finished teacher labels unlabelled_set
    valid_set: str
    test_sets: tuple[str, ...]
    data_opts: tuple[str, ...] = option(quoted=True)
    unlabelled_set: str  # of datadir, which nobody transcribed; empty: the part of train_set that is not
    transcribed: str  # as it was written: directories are called after it
    split_seed: int
    feats_type: str = option(choices=("fbank", "spectrogram"))
    speed: str
    min_duration: str
    audio_opts: tuple[str, ...] = option(quoted=True)
    cmvn: str
    token_type: str = option(choices=("char", "unigram", "bpe", "word"))
    vocab: int = option(least=1)
    src_vocab: str  # of text that is translated; empty: as vocab
    joint_tokens: bool
    nlsyms: str
    teacher_config: str
    teacher_dir: str
    teacher_opts: tuple[str, ...] = option(quoted=True)
    student_configs: tuple[str, ...]
    teacher_fine_tune_config: str
    fine_tune_configs: tuple[str, ...]
    students: tuple[str, ...]
    folds: int = option(least=2)
    train_opts: tuple[str, ...] = option(quoted=True)
    target_opts: tuple[str, ...] = option(quoted=True)
    gpu_inference: bool
    nbest: int = option(least=1)
    beam: int = option(least=1)
    ctc_weight: str
    nbest_opts: tuple[str, ...] = option(quoted=True)
    decode_tags: tuple[str, ...]
    decode_opts: tuple[str, ...] = option(quoted=True)
    score_opts: tuple[str, ...] = option(quoted=True)
    ppl: bool
    decode_nj: int = option(least=1)
    lm: bool
    lm_text_opts: tuple[str, ...] = option(quoted=True)
    lm_vocab: int
    lm_min_count: int = option(least=1)
    lm_teacher_config: str
    lm_student_config: str
    lm_teacher_seeds: tuple[str, ...]
    lm_seeds: tuple[str, ...]
    lm_objectives: tuple[str, ...]
    lm_ce_opts: tuple[str, ...]
    lm_opts: tuple[str, ...]
    lm_stored: str
    rescore: tuple[str, ...]
    rescore_beam: int = option(least=1)
    rescore_opts: tuple[str, ...] = option(quoted=True)
    lm_results: str
    exports: tuple[str, ...]  # names of student recipes; none: see kdasr.recipe.exports
    export_opts: tuple[str, ...] = option(quoted=True)
    datadir: str
    dumpdir: str
    expdir: str
    results: str
    figures: str
    tag: str
    note: str
    corpus_note: str

    @property
    def translates(self) -> bool:
        """Whether models read text, and not audio."""
        return self.task == "translation"

    @property
    def audio_alone(self) -> bool:
        """Whether there are no transcripts to learn from."""
        return not self.train_set

    @property
    def stages(self) -> list[int]:
        """Numbers of the stages that run.

        Language models take minutes, which a first run need not wait for: 8 and 9 run with --lm true, or as the first
        or last stage.
        """
        asked = stage_range(STAGES, self.stage, self.stop_stage)
        with_lm = self.lm or {asked[0], asked[-1]} & {8, 9}
        return [number for number in asked if with_lm or number not in (8, 9)]


def read_options(given: Sequence[str]) -> Options:
    """Options from `name=value` words.

    Raises:
        UserError: a value that is unknown or out of range; values that do not go together.
    """
    options = parse(Options, given)
    stage_range(STAGES, options.stage, options.stop_stage)
    if options.teacher_opts and not options.teacher_dir:
        raise UserError(
            f"--teacher_opts {' '.join(options.teacher_opts)}: is for a finished model; give --teacher_dir, too"
        )
    if options.unlabelled_set and not options.transcribed.startswith("1"):
        raise UserError(
            f"--unlabelled_set {options.unlabelled_set}, --transcribed {options.transcribed}: are two ways to have "
            "untranscribed audio; leave one of the two out"
        )
    if options.audio_alone:
        check_audio_alone(options)
    if options.translates:
        check_translation(options)
    elif options.src_vocab or options.joint_tokens:
        raise UserError("--src_vocab, --joint_tokens: are of text that is translated; leave them out")
    if not re.fullmatch(r"(0?\.[0-9]*[1-9][0-9]*|1|1\.0*)", options.transcribed):
        raise UserError(f"--transcribed {options.transcribed}: expected a share above 0 and up to 1, as in 0.5")
    for tag in options.decode_tags:
        if not re.fullmatch("greedy|beam([1-9][0-9]*)?|attention([1-9][0-9]*)?(_token)?", tag):
            raise UserError(
                f"--decode_tags {tag}: expected some of greedy, beam, attention, attention_token, and beam20 or "
                "another number"
            )
    if not options.student_configs:
        raise UserError("--student_configs: expected the configuration of the students")
    if options.fine_tune_configs and len(options.fine_tune_configs) != len(options.student_configs):
        raise UserError(
            f"--fine_tune_configs {' '.join(options.fine_tune_configs)}: expected one for each of --student_configs "
            f"{' '.join(options.student_configs)}"
        )
    return options


def check_translation(options: Options) -> None:
    """UserError where something is for audio, and text is translated."""
    for name in ("speed", "min_duration", "audio_opts", "nlsyms"):
        if given := getattr(options, name):
            said = given if isinstance(given, str) else " ".join(given)
            raise UserError(f"--{name} {said}: is for speech, and --task translation reads text; leave it out")
    if {8, 9} & set(options.stages):
        raise UserError("--lm, stages 8 and 9: rerank what recognisers heard; leave them out with --task translation")
    if options.src_vocab and not re.fullmatch("[1-9][0-9]*", options.src_vocab):
        raise UserError(f"--src_vocab {options.src_vocab}: expected a number of units")
    if options.src_vocab and options.joint_tokens:
        raise UserError("--src_vocab, --joint_tokens: one list of both texts has --vocab units; leave --src_vocab out")


def check_audio_alone(options: Options) -> None:
    """UserError where something needs transcripts, and there are none."""
    if not options.teacher_dir:
        raise UserError(
            "--teacher_dir: without transcripts (--train) no teacher can be trained; name a finished ESPnet model"
        )
    if not options.unlabelled_set:
        raise UserError(
            "--unlabelled_set: without transcripts it is all there is to learn from; name it, or --train_set"
        )
    if {8, 9} & set(options.stages) and not options.lm_text_opts:
        raise UserError("--lm_text_opts: without transcripts language models need a text; name it, or leave out --lm")
