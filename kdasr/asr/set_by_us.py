"""Settings of ESPnet's trainer that `kdasr train` makes itself: in a configuration they are refused, by name.

A configuration says what a network is and how it is trained. What it is trained on, where it goes and which tokens it
writes are options of `kdasr train`; ESPnet would let them win over the configuration without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kdasr.errors import UserError


class Ours(NamedTuple):
    """A setting that kdasr makes."""

    instead: str  # where it comes from
    same: tuple[Any, ...] = ()  # values that are what kdasr makes of it anyway: these may stand in a configuration


_TOKENS = "the tokens are those of --tokens (in a recipe: of --token_type, or of the teacher)"
_SOURCE = "the tokens of source text are those of --src_tokens"
_LISTS = "the sets are those of --train and --valid"
_ALWAYS = "kdasr train always"
SETTINGS = {
    "output_dir": Ours("the directory is --out"),
    "seed": Ours("the seed is --seed (in a recipe: --seed of the teacher, --seeds of students)"),
    "ngpu": Ours("GPUs are counted by --ngpu"),
    "token_list": Ours(_TOKENS),
    "token_type": Ours(_TOKENS),
    "bpemodel": Ours(_TOKENS),
    "non_linguistic_symbols": Ours(_TOKENS),
    "src_token_list": Ours(_SOURCE),
    "src_token_type": Ours(_SOURCE),
    "src_bpemodel": Ours(_SOURCE),
    "input_size": Ours("its size is that of the features"),
    "train_data_path_and_name_and_type": Ours(_LISTS, ([],)),
    "valid_data_path_and_name_and_type": Ours(_LISTS, ([],)),
    "train_shape_file": Ours(_LISTS, ([],)),
    "valid_shape_file": Ours(_LISTS, ([],)),
    "resume": Ours(f"{_ALWAYS} goes on where it stopped", (True,)),
    "use_preprocessor": Ours(f"{_ALWAYS} makes tokens of transcripts", (True,)),
    "cleaner": Ours("transcripts are taken as they are", ("none",)),
    "g2p": Ours("transcripts are taken as they are", ("none",)),
    "multiprocessing_distributed": Ours("processes are counted by --processes, --ngpu and --nodes", (False,)),
    "dist_backend": Ours("it is chosen by --ngpu", ("nccl", "gloo")),
    "collect_stats": Ours(f"{_ALWAYS} trains", (False,)),
    "dry_run": Ours(f"{_ALWAYS} trains", (False,)),
    "print_config": Ours(f"{_ALWAYS} trains", (False,)),
    # what ESPnet writes into the config.yaml of a model, and does not take itself
    "distributed": Ours("it is a note on the training of another model"),
    "required": Ours("it is a note on the training of another model"),
    "version": Ours("it is a note on the training of another model"),
}
FOUND_OUT = ("targets", "teacher", "teacher_frames", "student_frames")  # settings of kd_conf that kdasr train makes
# Not taken behind `--` either: there they would be other than what was checked in the configuration.
CONFIGURED = ("frontend", "frontend_conf", "normalize", "normalize_conf", "kd_conf", "config")


def refuse(config: Mapping[str, Any], file: str, espnet: Sequence[str] = (), init: bool = False) -> None:
    """UserError if a configuration, or options of ESPnet's, would be replaced by what kdasr sets.

    Args:
        config: the configuration.
        file: where it was read.
        espnet: further options of ESPnet's trainer.
        init: whether the model starts from another one's weights (--init).
    """
    wrong = {key: ours.instead for key, ours in SETTINGS.items() if _differs(config.get(key), ours.same)}
    if init and config.get("init_param"):
        wrong["init_param"] = "the model starts from --init"
    distillation = config.get("kd_conf")
    for key in FOUND_OUT if isinstance(distillation, Mapping) else ():
        if distillation.get(key):
            wrong[f"kd_conf: {key}"] = "kdasr train finds it out"
    if wrong:
        key, instead = next(iter(wrong.items()))
        all_keys = f" (and {', '.join(list(wrong)[1:])})" if len(wrong) > 1 else ""
        raise UserError(f"{file}: sets {key}{all_keys}, which would be replaced: {instead}; remove it")
    for word in espnet:
        if not word.startswith("--") or word == "--":
            continue
        name = word.removeprefix("--").partition("=")[0]
        meant = next((key for key in (*SETTINGS, *CONFIGURED) if key.startswith(name)), None)  # argparse takes prefixes
        if meant:
            instead = SETTINGS[meant].instead if meant in SETTINGS else f"give it in {file}"
            raise UserError(f"{word}: is not taken behind --; {instead}")


def _differs(value: Any, same: Sequence[Any]) -> bool:
    """Whether a setting is there, and not what kdasr makes of it."""
    return value is not None and not any(type(value) is type(one) and value == one for one in same)
