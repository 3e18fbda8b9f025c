"""One training, from its lists to its record: ESPnet's trainer, started as `Training` says."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kdasr import __version__, checkpoints, torch_files
from kdasr.asr import facts, frame_options, init, resume, statistics, worker
from kdasr.asr.clock import Clock
from kdasr.asr.fit import frames_needed, too_short
from kdasr.asr.lists import feature_size
from kdasr.asr.settings import INPUTS, TEACHERS_INPUT
from kdasr.asr.tasks import task_of
from kdasr.asr.training import Training, distillation, soft_tables, takes_of, teachers_input
from kdasr.data.places import parse
from kdasr.data.tokens import Tokens, load_tokens
from kdasr.errors import UserError
from kdasr.files import read_json, read_table, read_yaml
from kdasr.networks.load import build, load_model, register
from kdasr.prune.mask import check_held
from kdasr.translation import SRC_TOKENS


def espnet_options(given: Training, out: Path, lists: Path) -> list[str]:
    """The command line of ESPnet's trainer."""
    takes = takes_of(given)
    # ESPnet takes a directory named "none" for no directory
    options = [
        "--config",
        given.config,
        "--output_dir",
        str(out) if "/" in str(out) else f"./{out}",
        "--resume",
        "true",
        "--seed",
        str(given.seed),
    ]
    options += ["--ngpu", str(given.ngpu), "--use_preprocessor", "true", "--cleaner", "none", "--g2p", "none"]
    options += token_options("", out / "tokens") + (token_options("src_", out / SRC_TOKENS) if takes.source else [])
    symbols = out / "tokens" / "nlsyms.txt"
    options += ["--non_linguistic_symbols", str(symbols) if symbols.is_file() else "none"]
    if takes.source and "report_bleu" not in (read_yaml(given.config).get("model_conf") or {}):
        options += ["--model_conf", "report_bleu=false"]  # of tokens, led along the reference, by a package of its own
    if takes.features:
        first, place = next(iter(read_table(lists / "train" / "feats.scp").items()))
        options += ["--input_size", str(feature_size(first, parse(place, first)))]
    if normalisation(given, out) == "global_mvn":
        options += [
            "--normalize",
            "global_mvn",
            "--normalize_conf",
            "stats_file=" + json.dumps(str((out / "cmvn.npz").resolve())),
        ]
    for part in ("train", "valid"):
        options += [f"--{part}_data_path_and_name_and_type", f"{lists / part / takes.table},{takes.name},{takes.type}"]
        options += [f"--{part}_data_path_and_name_and_type", f"{lists / part / 'text'},text,text"]
        options += [f"--{part}_shape_file", str(lists / part / f"{takes.name}_shape")]
        options += [f"--{part}_shape_file", str(lists / part / "text_shape")]
    if heard := teachers_input(given):
        path = lists / "train" / f"kd_{heard.table}"
        options += ["--train_data_path_and_name_and_type", f"{path},{TEACHERS_INPUT},{heard.type}"]
    if given.targets:
        inputs = [("hyps", "text_int"), ("hyp_lens", "text_int"), ("weights", "text_float")]
        inputs += [(f"{name}.scp", "kaldi_ark") for name in soft_tables(given)]
        keys = dict(zip(("hyps", "hyp_lens", "weights", "soft.scp", "ctc.scp"), INPUTS, strict=True))
        for file, kind in inputs:
            key = keys[file]
            options += ["--train_data_path_and_name_and_type", f"{lists / 'train' / file},{key},{kind}"]
        options += ["--kd_conf", "targets=" + json.dumps(str(given.targets))]
    if given.teacher:
        options += ["--kd_conf", "teacher=" + json.dumps(given.teacher)]
    for word in given.kd:
        options += ["--kd_conf", word]
    return options + list(given.espnet)


def token_options(side: str, directory: Path) -> list[str]:
    """ESPnet's options of the token list of a side: "" of what a model writes, "src_" of the text that it reads."""
    kind = read_json(directory / "tokens.json")["type"]
    in_pieces = kind not in ("char", "word")
    options = [
        f"--{side}token_list",
        str(directory / "tokens.txt"),
        f"--{side}token_type",
        "bpe" if in_pieces else kind,
    ]
    return options + ([f"--{side}bpemodel", str(directory / "bpe.model")] if in_pieces else [])


def normalisation(given: Training, out: Path) -> str:
    """What normalises a model's features, where its configuration or the statistics of its features say it, else "".

    Raises:
        UserError: the configuration names statistics that the features do not have.
    """
    config, takes = read_yaml(given.config), takes_of(given)
    if takes.source:
        return ""
    has_statistics = bool(takes.rate) or (out / "cmvn.npz").is_file()  # those of a front end can be computed
    if "normalize" not in config:
        return "global_mvn" if has_statistics and not takes.rate else ""
    if config["normalize"] == "global_mvn" and not has_statistics:
        raise UserError(
            f"{given.config}: normalize is global_mvn, and {given.train[0]} has no cmvn.npz; make its features with "
            "kdasr feats, or take utterance_mvn"
        )
    return config["normalize"] or ""


def parsed(command: Sequence[str], out: Path) -> argparse.Namespace:
    """ESPnet's options of a command line; UserError for one that it does not take."""
    try:
        return task_of(command).get_parser().parse_args(list(command))
    except SystemExit:
        raise UserError(f"{out}: ESPnet refused an option; see its message above") from None


def train(given: Training, out: Path, lists: Path, settings: dict[str, Any]) -> None:
    """Run ESPnet's trainer to its end, and write kdasr.json."""
    processes = given.ngpu or given.processes
    with Clock(out) as clock:
        if normalisation(given, out) == "global_mvn" and not (out / "cmvn.npz").is_file():
            statistics.write(out, lists, parsed(espnet_options(given, out, lists), out))
        command = espnet_options(given, out, lists)
        options = parsed(command, out)
        unfit = say_unfit(out, lists, options)
        command += frame_options.options(distillation(given), given.targets, out, options)
        if given.mask:
            checkpoints.check_known(given.mask)
            shutil.copyfile(given.mask, out / "mask.pth")  # for a model that starts from this one
            command += ["--kd_conf", "mask=" + json.dumps(str(out / "mask.pth"))]
        if given.init:
            command += init.options(given.init, out, command)
        resume.repair(out)
        if processes * given.nodes > 1:
            worker.train_together(out, command, processes, given.nodes, gpus=given.ngpu > 0)
        else:
            worker.train(out, command)
    spent = clock.spent()
    model, _ = load_model(out, finished=False)  # which also refuses a checkpoint that lacks weights
    held = {"non_zero": check_held(model, given.mask, out)} if given.mask else {}
    interrupted = {"interrupted": spent.interrupted} if spent.interrupted else {}
    checkpoints.write_record(
        out,
        {
            "parameters": sum(weight.numel() for weight in model.parameters()),
            **held,
            "train_seconds": round(spent.wall, 1),
            "cpu_seconds": round(spent.cpu, 1),
            **interrupted,
            "updates": updates(out),
            **({"ctc_unfit": len(unfit)} if unfit else {}),
            "seed": given.seed,
            **facts.facts(given, bool(distillation(given).soft)),
            "config": str(given.config),
            "kdasr": __version__,
            "settings": settings,
        },
    )


def say_unfit(out: Path, lists: Path, options: argparse.Namespace) -> list[str]:
    """Count, before training, the utterances that have more tokens than CTC has frames, and say which is the first."""
    if "src_token_list" in options or not (options.model_conf or {}).get("ctc_weight", 0.5):  # no CTC
        return []
    frames = {key: int(row.split(",")[0]) for key, row in read_table(lists / "train" / "speech_shape").items()}
    needed = needed_frames(lists / "train", load_tokens(out / "tokens"), (options.kd_conf or {}).get("ctc_hyps"))
    unfit = too_short(build(register(), options, str(options.config)), options.input_size, frames, needed)
    if unfit:
        print(
            f"{out}: {len(unfit)} of {len(needed)} utterances have more tokens than the encoder gives frames, as "
            f"{unfit[0]} ({needed[unfit[0]]} needed): CTC learns nothing from them"
        )
    return unfit


def needed_frames(lists: Path, tokens: Tokens, ctc_hyps: str | None) -> dict[str, int]:
    """The fewest encoded frames that CTC needs for what it learns of each utterance: its text, or its hypotheses."""
    if not (lists / "hyps").is_file() or ctc_hyps == "best":
        return {key: frames_needed(tokens.encode(text)) for key, text in read_table(lists / "text", empty=True).items()}
    lengths = read_table(lists / "hyp_lens")
    needed = {}
    for key, row in read_table(lists / "hyps").items():
        ids = iter(map(int, row.split()))
        needed[key] = max(frames_needed(list(islice(ids, int(length)))) for length in lengths[key].split())
    return needed


def updates(out: Path) -> int:
    """Optimiser steps that the last checkpoint has behind it."""
    states = torch_files.load(out / "checkpoint.pth")
    steps = [int(state["step"]) for optimizer in states["optimizers"] for state in optimizer["state"].values()]
    return max(steps, default=0)
