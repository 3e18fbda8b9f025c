"""What `kdasr train` is asked for, and what of it decides which model comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kdasr.asr import set_by_us
from kdasr.asr.inputs import Input, common_input, student_input
from kdasr.asr.settings import OF_CTC, Distillation, read_settings
from kdasr.data.utterances import AS_IT_IS, Reading
from kdasr.errors import UserError
from kdasr.files import read_json, read_yaml, write_json
from kdasr.models import find_checkpoint
from kdasr.shards import digest

# Settings that records of older versions do not have; a record without them is not different.
LATER = ("train statistics", "valid statistics", "token files", "token type", "hypotheses", "teachers")


@dataclass(frozen=True)
class Training:
    """One training."""

    config: str  # ESPnet's: networks, optimiser, epochs
    train: tuple[str, ...]  # feature directories
    valid: str  # the one to choose epochs by
    tokens: str  # token directory
    out: str  # model directory
    src_tokens: str | None = None  # token directory of source text, for a model that translates
    targets: str | None = None  # hypotheses to learn from, in place of references
    kd: tuple[str, ...] = ()  # KEY=VALUE over the config's kd_conf
    seed: int = 1
    ngpu: int = 0  # of a node; 0: the CPU
    processes: int = 1  # of a node, without GPUs
    nodes: int = 1
    init: str | None = None  # model directory to start from
    mask: str | None = None  # what stays zero
    role: str = "teacher"  # or student
    label: str = ""  # what the report calls it
    teacher: str | None = None  # name of the model directory, beside `out`, that made the targets
    recipe: str = ""  # its student recipe
    learned_from: str | None = None  # one of kdasr.asr.settings.LEARNS_FROM; None without targets: references
    network: str = ""  # what tables call its network, if not the recipe's usual one
    baseline: bool = False  # whether other students are compared with it
    oracle: bool = False  # whether it has seen labels that the others have not
    reading: Reading = AS_IT_IS  # of audio, for a student or teachers that take it
    espnet: tuple[str, ...] = ()  # further options of ESPnet's trainer


def describe(given: Training) -> dict[str, Any]:
    """What a model depends on: config, features, tokens, targets, teachers, seed."""
    for path, stage in ((given.config, "name a config"), (Path(given.tokens) / "tokens.txt", "run kdasr tokens")):
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file; {stage} first")
    kd = distillation(given)  # says so if the config is none
    settings: dict[str, Any] = {"config": digest(given.config), "tokens": digest(Path(given.tokens) / "tokens.txt")}
    files = [Path(given.tokens) / name for name in ("nlsyms.txt", "bpe.model")]
    settings["token files"] = digests(files)
    settings["token type"] = read_json(Path(given.tokens) / "tokens.json").get("type")
    settings.update(seed=given.seed, options=list(given.espnet))
    settings |= given.reading.changed()
    takes = takes_of(given)
    if given.src_tokens:
        for name in OF_CTC:
            if getattr(kd, name):
                raise UserError(f"kd_conf: {name}: a model that translates has no CTC branch; remove it")
        source = Path(given.src_tokens)
        files = [source / name for name in ("tokens.txt", "nlsyms.txt", "bpe.model")]
        settings["source tokens"] = digests(files)
        settings["source token type"] = read_json(source / "tokens.json").get("type")
    set_by_us.refuse(read_yaml(given.config), given.config, init=bool(given.init))
    if given.kd:
        settings["kd"] = list(given.kd)
    for key, directories in (("train", given.train), ("valid", [given.valid])):
        for directory in directories:
            if lacks := takes.lacks(Path(directory), given.config):
                raise UserError(f"{directory}: {lacks}")
        settings[key] = [takes.digests(Path(directory)) for directory in directories]
        # statistics stand for the features: the archives themselves are read only in training
        statistics = [Path(directory) / "cmvn.npz" for directory in directories]
        settings[f"{key} statistics"] = [digest(path) if path.is_file() else None for path in statistics]
        texts = [Path(directory) / "text" for directory in directories]
        if key == "valid" or not given.targets:
            settings[f"{key} text"] = [digest(text) for text in texts if text.is_file()]
    if given.targets:
        if not (Path(given.targets) / "hyps").is_file():
            raise UserError(
                f"{given.targets}: holds no hyps; select targets first (kdasr targets --out {given.targets})"
            )
        settings["targets"] = digest(Path(given.targets) / "hyps") + digest(Path(given.targets) / "weights")
        settings["hypotheses"] = digest(Path(given.targets) / "hyp_lens")  # where one ends and the next begins
        for name in soft_tables(given):
            if (Path(given.targets) / f"{name}.ark").is_file():
                settings[f"{name} targets"] = digest(Path(given.targets) / f"{name}.ark")
    if kd.soft and kd.teachers:
        settings["teachers"] = [digest(find_checkpoint(directory)) for directory in kd.teachers]
    if given.init:
        settings["init"] = {"checkpoint": digest(find_checkpoint(given.init))}
    if given.mask:
        if not Path(given.mask).is_file():
            raise UserError(f"{given.mask}: no such file; prune a model first (kdasr prune)")
        settings["mask"] = digest(given.mask)
    return settings


def digests(files: Sequence[Path]) -> dict[str, str]:
    """Those of the files that are there, by name."""
    return {path.name: digest(path) for path in files if path.is_file()}


def distillation(given: Training) -> Distillation:
    """The distillation settings: the config's kd_conf, and --kd over it; UserError if they are not right."""
    conf = read_yaml(given.config).get("kd_conf") or {}
    if not isinstance(conf, dict):
        raise UserError(f"{given.config}: kd_conf is {conf!r}, expected settings `name: value`")
    for word in given.kd:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"--kd {word}: expected KEY=VALUE, as in word_weight=0.5")
        try:
            conf[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--kd {word}: its value is not YAML ({str(error).splitlines()[0]})") from None
    return read_settings(conf)


def takes_of(given: Training) -> Input:
    """What the model takes; UserError as `student_input`."""
    return student_input(given.config, given.espnet, given.src_tokens)


def teachers_input(given: Training) -> Input | None:
    """What teachers beside the student take, if there are any and it is not what the student takes."""
    kd = distillation(given)
    if not (kd.soft and kd.teachers):
        return None
    takes = common_input(kd.teachers)
    own = takes_of(given)
    if takes.source != own.source:
        raise UserError(
            f"{kd.teachers[0]}: takes {takes}, the student {own}{' of other tokens' if own.source else ''}; give the "
            "student its --src_tokens, or store what it expects (kdasr soft)"
        )
    return None if takes == own else takes


def soft_tables(given: Training) -> list[str]:
    """Names of the tables of soft targets that the student reads; none if its teachers run beside it."""
    kd = distillation(given)
    wanted = {"soft": kd.word_weight, "ctc": kd.ctc_word_weight}
    return [name for name, weight in wanted.items() if weight and not kd.teachers]


def others(made: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """Names of the settings that differ from those that a model was made with."""
    known = [key for key in {*settings, *made} if key in made or key not in LATER]
    return sorted(key for key in known if made.get(key) != settings.get(key))


def claim_settings(out: Path, settings: dict[str, Any]) -> None:
    """Refuse to continue from a checkpoint that other settings made."""
    begun = out / "settings.json"
    if begun.exists() and others(read_json(begun), settings) and (out / "checkpoint.pth").exists():
        raise UserError(f"{out}: holds a training run begun with other settings; remove it, or name another --out")
    write_json(begun, settings)
