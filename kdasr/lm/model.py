"""A language model's directory: ESPnet's config.yaml, the best checkpoint, the vocabulary."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.lm.settings import LmSettings
from kdasr.lm.text import Vocabulary, Words
from kdasr.networks.awd import AwdLstm
from kdasr.networks.load import load_lm


def save_config(out: Path, words: str | Path, seed: int, settings: LmSettings, vocabulary: Vocabulary) -> None:
    """Write what ESPnet's LM task builds the network from, and the vocabulary's directory `words` beside it."""
    config = {
        "lm": "awd_lstm",
        "lm_conf": settings.network,
        "model_conf": {"ignore_id": 0},
        "init": None,
        "token_type": "word" if isinstance(vocabulary, Words) else vocabulary.type,
        "token_list": vocabulary.list,
        "seed": seed,
        "optimisation": settings.optimisation,  # ESPnet does not read this
    }
    if not (out / "tokens").exists():
        shutil.copytree(words, out / "tokens")
    with atomic_write(out / "config.yaml") as stream:
        yaml.safe_dump(config, stream, allow_unicode=True, sort_keys=False)


def load(directory: str | Path, device: str | torch.device = "cpu") -> tuple[AwdLstm, list[str]]:
    """A trained model in evaluation mode, and its vocabulary.

    Raises:
        UserError: there is none, or it is an ESPnet language model of another kind.
    """
    network, args = load_lm(directory, None, device)
    if not isinstance(network, AwdLstm):
        raise UserError(f"{directory}: is a language model of type {args.lm}; name one that kdasr lm train has made")
    return network, list(args.token_list)


def load_all(
    directories: Sequence[str], device: str | torch.device = "cpu", option: str = "--model"
) -> tuple[list[AwdLstm], list[str]]:
    """Trained models of one vocabulary, and this vocabulary.

    Args:
        directories: at least one.
        device: where they are to be.
        option: that names them, for messages.

    Raises:
        UserError: as `load`, or one has another vocabulary than the first.
    """
    loaded = [load(directory, device) for directory in directories]
    words = loaded[0][1]
    other = next((one for one, (_, theirs) in zip(directories, loaded, strict=True) if theirs != words), None)
    if other is not None:
        raise UserError(f"{option} {other}: has another vocabulary than {directories[0]}; name models of one")
    return [model for model, _ in loaded], words
