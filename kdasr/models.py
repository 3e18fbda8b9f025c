"""What a model directory says of itself, read without loading the model (or torch).

A model directory is ESPnet's: config.yaml and checkpoints; one that `kdasr train` wrote holds its token
directory, too.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from kdasr.errors import UserError
from kdasr.espnet import find_checkpoint
from kdasr.files import read_lines
from kdasr.shards import digest


class Source(NamedTuple):
    """A model to decode with."""

    directory: str
    checkpoint: str
    tokens: list[str]  # id -> token
    sample_rate: int | None  # of the audio it takes; None if it takes features
    settings: dict[str, str]  # hashes of checkpoint, config and token list


def read_config(directory: str | Path) -> dict[str, Any]:
    """A model directory's config.yaml, its token list (`token_list`) read if the config only names a file.

    Raises:
        UserError: there is none, or it is not that of an ESPnet2 ASR model.
    """
    import yaml

    path = Path(directory) / "config.yaml"
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; {directory} is no trained model (train one: kdasr train --out {directory})"
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        tokens = config["token_list"]
        config["input_size"]  # is there, whatever it is
    except (yaml.YAMLError, KeyError, TypeError):
        raise UserError(f"{path}: is not the config of an ESPnet2 ASR model; copy it again from the training") from None
    if isinstance(tokens, str):
        config["token_list"] = read_lines(beside(directory, tokens, "the token list"))
    return config


def beside(directory: str | Path, path: str, what: str) -> Path:
    """A file that a config names: beside the config, as in a model that was moved, or where it was at training."""
    directory, file = Path(directory), Path(path).name
    places = (directory / "tokens" / file, directory / file, Path(path))
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UserError(f"{directory}/config.yaml: names {path} as {what}, which is gone; put it beside config.yaml")
    return found


def find_model(directory: str | Path, model_file: str | None) -> Source:
    """Look into a model directory.

    Raises:
        UserError: it is no ESPnet ASR model's, has no checkpoint, or its token directory is another model's.
    """
    config = read_config(directory)
    checkpoint = find_checkpoint(directory, model_file)
    tokens = config["token_list"]
    listed = hashlib.sha256("".join(f"{token}\n" for token in tokens).encode()).hexdigest()[:16]
    own = Path(directory) / "tokens" / "tokens.txt"
    if own.is_file() and digest(own) != listed:
        raise UserError(
            f"{own}: is not the token list of {directory}/config.yaml; put the one back that the model was trained with"
        )
    rate = None
    if config["input_size"] is None:
        given = str((config.get("frontend_conf") or {}).get("fs", 16000))
        rate = int(given[:-1]) * 1000 if given.endswith("k") else int(given)
    hashes = {"model": digest(checkpoint), "config": digest(Path(directory) / "config.yaml"), "tokens": listed}
    return Source(str(directory), str(checkpoint), tokens, rate, hashes)
