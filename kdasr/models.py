"""What is known of a model directory without loading the model (or torch).

A model directory is ESPnet's: config.yaml and checkpoints; one that `kdasr train` wrote holds its token
directory, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kdasr import checkpoints
from kdasr.errors import UserError
from kdasr.files import read_json, read_lines, read_yaml
from kdasr.model_kinds import refuse_others
from kdasr.s2t import S2T, UNASKED, Prompt, is_s2t, tokens_of, use
from kdasr.shards import digest
from kdasr.translation import SRC_TOKENS, is_mt

# What decodes by default, the first that is there.
LM_CHECKPOINTS = ("valid.loss.ave.pth", "valid.loss.best.pth")
ASR_CHECKPOINTS = ("valid.acc.ave.pth", "valid.acc.best.pth", *LM_CHECKPOINTS)
UP = 3  # levels above a model directory where its training may have run; ESPnet's recipes train into exp/NAME


class Source(NamedTuple):
    """A model to decode with."""

    directory: str
    checkpoint: str
    tokens: tuple[str, ...]  # id -> token of what it writes
    bins: int | None  # of the features it takes, a frame; None if it takes something else, or is a language model
    sample_rate: int | None  # of the audio it takes; None if it takes something else, or is a language model
    hashes: tuple[str, str, str]  # of checkpoint, config and token list
    s2t: S2T | None = None  # how it is used if it is an S2T model
    reads: tuple[str, ...] = ()  # id -> token of the source text that it takes, if it translates

    @property
    def unit(self) -> str:
        """What a bar counts of what it takes."""
        return "thousand source tokens" if self.reads else "h of audio"


class Models(NamedTuple):
    """The models of a search: one or an ensemble, whose first one sets limits, and perhaps a language model."""

    sources: tuple[Source, ...]
    lm: Source | None = None

    @property
    def first(self) -> Source:
        """The only model, or the one whose frames limit the output and whose tokenizer spells it."""
        return self.sources[0]

    def settings(self) -> dict[str, str]:
        """Their hashes for a manifest; those of an ensemble are joined by +."""
        settings = {
            "model": "+".join(source.hashes[0] for source in self.sources),
            "config": "+".join(source.hashes[1] for source in self.sources),
            "tokens": self.first.hashes[2],
        }
        if self.first.s2t is not None:
            settings["prompt"] = " ".join(self.first.s2t.words)
        if self.lm is not None:
            settings.update(lm=self.lm.hashes[0], lm_config=self.lm.hashes[1])
        return settings


def read_config(directory: str | Path, lm: bool = False) -> dict[str, Any]:
    """A model directory's config.yaml, its token list (`token_list`) read if the config only names a file.

    Args:
        directory: of an ASR model, or of a language model if `lm`.

    Raises:
        UserError: there is none, it is not that of an ESPnet2 ASR model (or language model), or it is of a kind that
            kdasr cannot use (kdasr.model_kinds).
    """
    path = Path(directory) / "config.yaml"
    if Path(directory).is_file():
        raise UserError(
            f"{directory}: is a file; if it is a packed model, unpack it: kdasr adopt {directory} --out DIR"
        )
    what = "language model" if lm else "ASR model"
    if not path.is_file():
        remedy = "name an ESPnet2 LM directory" if lm else f"train one: kdasr train --out {directory}"
        raise UserError(f"{path}: no such file; {directory} is no trained {what if lm else 'model'} ({remedy})")
    config = read_yaml(path)
    if not lm:
        refuse_others(config, path)
    needed = ("lm", "lm_conf", "token_list") if lm else ("input_size", "token_list")  # are there, whatever they are
    tokens = config.get("token_list")
    if any(name not in config for name in needed) or not _are_tokens(tokens):
        raise UserError(f"{path}: is not the config of an ESPnet2 {what}; copy it again from the training")
    for key, what in (("token_list", "the token list"), ("src_token_list", "the source token list")):
        if isinstance(config.get(key), str):
            config[key] = read_lines(beside(directory, config[key], what))
    return config


def _are_tokens(tokens: Any) -> bool:
    """Whether this is a token list, or the path of one."""
    return isinstance(tokens, str) or (isinstance(tokens, list) and all(isinstance(token, str) for token in tokens))


def beside(directory: str | Path, path: str, what: str) -> Path:
    """A file that a config names, as `look_beside` finds it; UserError if it is nowhere."""
    found = look_beside(directory, path)
    if found is None:
        raise UserError(f"{directory}/config.yaml: names {path} as {what}, which is gone; put it beside config.yaml")
    return found


def look_beside(directory: str | Path, path: str) -> Path | None:
    """A file that a config names: beside the config, as in a model that was moved, or where it was at training.

    ESPnet's trainer writes paths relative to where it was run, which is some levels above the model directory. A packed
    model keeps the files under their paths. Where config.yaml is a link, as of a teacher in a recipe, the model it
    leads to counts, too.

    Args:
        directory: the model directory.
        path: as the config has it.

    Returns:
        The first place that holds such a file; None if none does.
    """
    directory, file = Path(directory), Path(path).name
    home = (directory / "config.yaml").resolve().parent
    places = [directory / "tokens" / file, directory / file, home / file]
    inside = Path(path).relative_to(Path(path).anchor)  # a zip keeps /data/x as data/x
    places += [directory / inside, home / inside]
    if not Path(path).is_absolute():
        places += [above / path for above in home.parents[:UP]]
    return next((place for place in (*places, Path(path)) if place.is_file()), None)


def attends(directory: str | Path) -> bool:
    """Whether an ASR model has an attention decoder; one that was trained with CTC alone has none."""
    return has_decoder(read_config(directory))


def translates(directory: str | Path) -> bool:
    """Whether a model directory, which may not be there, is of a model that translates."""
    return (Path(directory) / "config.yaml").is_file() and is_mt(read_config(directory))


def only_recognisers(directory: str | Path, command: str) -> None:
    """UserError if a model, which may not be there, translates; `command` takes recognisers alone."""
    if translates(directory):
        raise UserError(f"{directory}: is a model that translates, and {command} takes recognisers; name one")


def has_decoder(config: Mapping[str, Any]) -> bool:
    """As `attends`, by a config.yaml that has been read."""
    conf = config.get("model_conf")
    return bool(config.get("decoder", True)) and not (isinstance(conf, Mapping) and conf.get("ctc_weight") == 1.0)


def find_checkpoint(
    directory: str | Path, model_file: str | None = None, usual: tuple[str, ...] = ASR_CHECKPOINTS
) -> Path:
    """The checkpoint to decode with: the one named, or the first that is there of the usual: averaged best, best.

    Published models often have an average under its full name alone, as valid.acc.ave_10best.pth.
    """
    directory = Path(directory)
    names = (model_file,) if model_file else usual
    for candidate in names:
        if (directory / candidate).is_file():
            return directory / candidate
    for candidate in () if model_file else usual:
        full = sorted(directory.glob(candidate.replace(".ave.", ".ave_*best.")))
        if len(full) == 1:
            return full[0]
    remedy = "" if usual is LM_CHECKPOINTS else f" (kdasr train --out {directory})"
    raise UserError(f"{directory}: none of {', '.join(names)} is there; train the model first{remedy}")


def output_tokens(directory: str | Path) -> list[str]:
    """The tokens that a model's hypotheses are written in: its own, of an S2T model those that are text."""
    return tokens_of(read_config(directory), f"{directory}/config.yaml")


def find_model(directory: str | Path, model_file: str | None, prompt: Prompt = UNASKED) -> Source:
    """Look into a model directory.

    Args:
        directory: of the model.
        model_file: a checkpoint in it; None for the averaged best.
        prompt: what an S2T model is asked for; what is left out of it is what `kdasr adopt` was told, if anything.

    Raises:
        UserError: it is no ESPnet ASR model's, has no checkpoint, or its token directory is another model's; it is an
            S2T model that cannot be asked for this, or none and is asked.
    """
    config = read_config(directory)
    checkpoint = find_checkpoint(directory, model_file)
    tokens = tokens_of(config, f"{directory}/config.yaml")
    listed = token_hash(tokens)
    own = Path(directory) / "tokens" / "tokens.txt"
    if own.is_file() and digest(own) != listed:
        raise UserError(
            f"{own}: is not the token list of {directory}/config.yaml; put back the one that the model was trained with"
        )
    rate, reads = None, tuple(config["src_token_list"]) if is_mt(config) else ()
    if reads:
        check_source(directory, config)
    elif config["input_size"] is None:
        rate = sampling_rate(config.get("frontend_conf"), f"{directory}/config.yaml")
    elif type(config["input_size"]) is not int:
        raise UserError(
            f"{directory}/config.yaml: input_size is {config['input_size']!r}, expected a number; correct it"
        )
    s2t = find_s2t(directory, config, prompt)
    hashes = (checkpoints.check(checkpoint)[:16], digest(Path(directory) / "config.yaml"), listed)
    return Source(str(directory), str(checkpoint), tuple(tokens), config["input_size"], rate, hashes, s2t, reads)


def check_source(directory: str | Path, config: Mapping[str, Any]) -> None:
    """UserError if the tokens that a translation model is to read with are other than it was trained with."""
    own = Path(directory) / SRC_TOKENS / "tokens.txt"
    if own.is_file() and digest(own) != token_hash(config["src_token_list"]):
        raise UserError(
            f"{own}: is not the source token list of {directory}/config.yaml; put back the one that the model was "
            "trained with"
        )


def find_s2t(directory: str | Path, config: Mapping[str, Any], prompt: Prompt) -> S2T | None:
    """How an S2T model is used; None for a model of another task. Arguments and errors as `find_model`."""
    where = f"{directory}/config.yaml"
    if not is_s2t(config):
        if any(prompt):
            raise UserError(f"--lang, --task: {where} is of no S2T model, which alone take them; leave them out")
        return None
    record = Path(directory) / checkpoints.RECORD
    told = read_json(record).get("prompt") if record.is_file() else None
    known = Prompt(*(str(told.get(name, "")) for name in Prompt._fields)) if isinstance(told, dict) else UNASKED
    rate = sampling_rate(config.get("frontend_conf"), where)
    return use(config, where, rate, Prompt(prompt.lang or known.lang, prompt.task or known.task))


def sampling_rate(frontend: Any, where: str) -> int:
    """The sampling rate of a waveform front end's settings, Hz: 16000 or 16k."""
    given = str(frontend.get("fs", 16000) if isinstance(frontend, dict) else 16000)
    match = re.fullmatch(r"([0-9]+)(k?)", given)
    if not match or not int(match[1]):
        raise UserError(
            f"{where}: frontend_conf has fs {given!r}, expected a sampling rate as 16000 or 16k; correct it"
        )
    return int(match[1]) * (1000 if match[2] else 1)


def find_lm(directory: str | Path, lm_file: str | None) -> Source:
    """Look into a language model directory.

    Raises:
        UserError: it is no ESPnet language model's, or has no checkpoint.
    """
    config = read_config(directory, lm=True)
    checkpoint = find_checkpoint(directory, lm_file, LM_CHECKPOINTS)
    tokens = tuple(config["token_list"])
    hashes = (checkpoints.check(checkpoint)[:16], digest(Path(directory) / "config.yaml"), token_hash(tokens))
    return Source(str(directory), str(checkpoint), tokens, None, None, hashes)


def find_models(
    directories: Sequence[str],
    model_file: str | None,
    lm: str | None = None,
    lm_file: str | None = None,
    prompt: Prompt = UNASKED,
) -> Models:
    """Look into the directories of all models that decode together.

    Args:
        directories: of ASR models, at least one.
        model_file: a checkpoint in each of them; None for the averaged best.
        lm, lm_file: directory of a language model, and a checkpoint in it.
        prompt: what S2T models are asked for.

    Raises:
        UserError: what `find_model` and `find_lm` raise, or two of them do not go together.
    """
    models = Models(
        tuple(find_model(directory, model_file, prompt) for directory in directories),
        None if lm is None else find_lm(lm, lm_file),
    )
    first = models.first
    for other in models.sources[1:]:
        if (other.bins, other.sample_rate, other.reads) != (first.bins, first.sample_rate, first.reads):
            raise UserError(
                f"{first.directory} takes {_input(first)}, {other.directory} takes {_input(other)}; "
                "an ensemble needs models of the same input"
            )
        if other.s2t != first.s2t:
            raise UserError(
                f"{other.directory}: as an S2T model it is asked or numbers its tokens in another way than "
                f"{first.directory}; an ensemble needs models that do the same"
            )
    if models.lm and first.s2t:
        raise UserError(f"--lm {lm}: {first.directory} is an S2T model, which kdasr decodes alone; leave --lm out")
    for other in (*models.sources[1:], *([models.lm] if models.lm else [])):
        if other.tokens != first.tokens:
            remedy = "the language model must be" if other is models.lm else "the models of an ensemble must be"
            raise UserError(
                f"{other.directory}: its token list is not that of {first.directory} "
                f"({_difference(other.tokens, first.tokens)}); {remedy} trained over the same tokens"
            )
    return models


def token_hash(tokens: Sequence[str]) -> str:
    """The hash of tokens.txt with these tokens."""
    return hashlib.sha256("".join(f"{token}\n" for token in tokens).encode()).hexdigest()[:16]


def _input(source: Source) -> str:
    if source.reads:
        return f"source text of {len(source.reads)} tokens ({source.reads[len(source.reads) // 2]!r} amid them)"
    return f"audio of {source.sample_rate} Hz" if source.sample_rate else f"{source.bins} bins a frame"


def _difference(one: Sequence[str], other: Sequence[str]) -> str:
    if len(one) != len(other):
        return f"{len(one)} tokens, not {len(other)}"
    place = next(i for i, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    return f"token {place} is {one[place]!r}, not {other[place]!r}"
