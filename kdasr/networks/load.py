"""ESPnet's tasks with kdasr's networks known to them, and trained models loaded whole."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from kdasr import checkpoints, torch_files
from kdasr.errors import UserError
from kdasr.espnet import name as of_espnet
from kdasr.models import LM_CHECKPOINTS, find_checkpoint, look_beside, read_config
from kdasr.networks import alone
from kdasr.networks.awd import AwdLstm
from kdasr.networks.decoder import AttentionDecoder
from kdasr.networks.encoder import ConvRNNEncoder
from kdasr.networks.luong import LuongDecoder
from kdasr.networks.munim2018 import MunimDecoder, MunimEncoder
from kdasr.networks.text import Lookup, TextEncoder
from kdasr.s2t import is_s2t
from kdasr.translation import is_mt

if TYPE_CHECKING:
    from espnet2.asr.espnet_model import ESPnetASRModel
    from espnet2.lm.abs_model import AbsLM

LARGEST = 1 << 24  # of a network's settings: units, layers, frames; a larger number would only fill the memory
OF_TRAINING = ("optim_conf", "scheduler_conf", "preprocessor_conf", "wandb_conf")


def register() -> Any:
    """Add kdasr's networks to ESPnet's ASR task and return that task class.

    After this, `encoder: conv_rnn` or `munim_rnn` and `decoder: attention_gru` or `munim_gru` in a config.yaml
    mean kdasr's networks for every ESPnet program in this process.
    """
    asr = importlib.import_module("espnet2.tasks.asr")

    # ClassChoices refuses names that it did not know when the option parser was made, so
    # they are added to its table before any parser is.
    asr.encoder_choices.classes["conv_rnn"] = ConvRNNEncoder
    asr.encoder_choices.classes["munim_rnn"] = MunimEncoder
    asr.decoder_choices.classes["attention_gru"] = AttentionDecoder
    asr.decoder_choices.classes["munim_gru"] = MunimDecoder
    return asr.ASRTask


def register_mt() -> Any:
    """Add kdasr's networks for text to ESPnet's MT task and return that task class.

    After this, `frontend: lookup`, `encoder: text_rnn` and `decoder: luong` mean kdasr's networks.
    """
    mt = importlib.import_module("espnet2.tasks.mt")

    mt.frontend_choices.classes["lookup"] = Lookup
    mt.encoder_choices.classes["text_rnn"] = TextEncoder
    mt.decoder_choices.classes["luong"] = LuongDecoder
    return mt.MTTask


def register_lm() -> Any:
    """Add `lm: awd_lstm` (kdasr.networks.awd) to ESPnet's LM task and return that task class."""
    task = importlib.import_module("espnet2.tasks.lm")

    task.lm_choices.classes["awd_lstm"] = AwdLstm
    return task.LMTask


def load_model(
    directory: str | Path,
    model_file: str | None = None,
    device: str = "cpu",
    finished: bool = True,
    s2t: bool = False,
) -> tuple[ESPnetASRModel, argparse.Namespace]:
    """Load a trained ESPnet ASR or MT model, in evaluation mode.

    Args:
        directory: an ESPnet model directory: config.yaml and checkpoints.
        model_file: a checkpoint in it; by default the averaged best one.
        device: "cpu", "cuda", "cuda:1".
        finished: whether to print a line where there is no record to compare the checkpoint with.
        s2t: whether it may be a model of ESPnet's S2T task, which has to be prompted.

    Raises:
        UserError: a file is missing or was changed, the config is none of such a model, or the checkpoint lacks weights
            that the network has or has others (ESPnet itself ignores that).
    """
    directory = Path(directory)
    config = directory / "config.yaml"
    checkpoint = find_checkpoint(directory, model_file)
    if not config.is_file():
        raise UserError(f"{config}: no such file; {directory} is not a trained ESPnet model (train one: kdasr train)")
    if finished:
        checkpoints.check(checkpoint)
        checkpoints.check_known(config)
    args = argparse.Namespace(**read_config(directory))
    prompted = is_s2t(vars(args))
    if prompted and not s2t:
        raise UserError(
            f"{config}: is of an S2T model, which teaches by what kdasr nbest, decode and soft write of it alone; make "
            "hypotheses or soft targets first"
        )
    task = of_espnet("espnet2.tasks.s2t:S2TTask") if prompted else register_mt() if is_mt(vars(args)) else None
    task = task or (alone.Alone if alone.known(args) else register())
    # The statistics of GlobalMVN are part of the checkpoint, but its constructor reads the file.
    stats = (getattr(args, "normalize_conf", None) or {}).get("stats_file")
    if stats:
        found = look_beside(directory, stats)
        if found is None:
            raise UserError(
                f"{config}: its normalize_conf names {stats}, which is gone; put the file back or beside config.yaml"
            )
        args.normalize_conf["stats_file"] = str(found)
    model = _built(task, args, checkpoint, config).to(device).eval()
    for module in model.modules() if prompted else ():
        if hasattr(module, "use_flash_attn"):  # ESPnet, too, decodes these without
            module.use_flash_attn = False
    return model, args


def load_lm(directory: str | Path, lm_file: str | None = None, device: str = "cpu") -> tuple[AbsLM, argparse.Namespace]:
    """Load a trained ESPnet language model, in evaluation mode.

    Args:
        directory: an ESPnet model directory: config.yaml and checkpoints.
        lm_file: a checkpoint in it; by default the averaged best one.
        device: "cpu", "cuda", "cuda:1".

    Raises:
        UserError: as `load_model`.
    """
    checkpoint = find_checkpoint(directory, lm_file, LM_CHECKPOINTS)
    checkpoints.check(checkpoint)
    args = argparse.Namespace(**read_config(directory, lm=True))
    return _built(register_lm(), args, checkpoint, Path(directory) / "config.yaml").lm.to(device).eval(), args


def _built(task: Any, args: argparse.Namespace, checkpoint: Path, config: Path) -> Any:
    """The model that a task builds, with all weights of a checkpoint; the state of the random generators is kept."""
    weights = torch_files.load_weights(checkpoint)
    model = build(task, args, config)
    check_weights(model, weights, checkpoint)
    model.load_state_dict(weights)
    for module in model.modules():
        # ESPnet's projected RNN encoder drops units even when it decodes: no two encodings would be the same.
        if type(module).__name__ == "RNNP":
            module.dropout = 0.0
    return model


def build(task: Any, args: argparse.Namespace, config: str | Path) -> Any:
    """The network that a task builds from its options; the state of the random generators is kept.

    Args:
        task: ESPnet's task class.
        args: its options.
        config: where they come from, for the message.

    Raises:
        UserError: whatever is wrong with them.
    """
    for name, value in _numbers(vars(args)):
        if abs(value) > LARGEST:
            raise UserError(
                f"{config}: {name} is {value}, which is larger than in any network; correct it, or copy it again"
            )
    try:
        with torch.random.fork_rng(devices=[]):  # of the CPU, where it is built: no GPU has to be started
            return task.build_model(args)
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(
            f"{config}: this model needs {error.name}, which is not installed; pip install {error.name}"
        ) from error
    except Exception as error:  # a wrong setting may raise any error in ESPnet, which names no file
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{config}: no network can be built of it ({said[:200]}); correct it, or copy it again"
        ) from error


def _numbers(settings: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, int]]:
    """The whole numbers of the settings of networks: (name, value)."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and (inside or str(name).endswith("_conf")) and name not in OF_TRAINING:
            yield from _numbers(value, f"{inside}{name}.")
        elif isinstance(value, int) and (inside or name == "input_size"):
            yield f"{inside}{name}", value


def check_weights(model: Any, weights: dict[str, Any], where: str | Path) -> None:
    """UserError if a checkpoint lacks weights that the network has, or has others, or of another shape."""
    own = model.state_dict()
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    other = [key for key in own.keys() & weights.keys() if own[key].shape != weights[key].shape]
    for what, keys in (("lacks", missing), ("has unknown", extra), ("has another shape of", sorted(other))):
        if keys:
            raise UserError(
                f"{where}: {what} {keys[0]} (and {len(keys) - 1} more); it does not belong to this config.yaml"
            )
