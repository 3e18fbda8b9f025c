"""`kdasr train`: a teacher, a student or a control, with ESPnet's trainer.

Reads feature directories, a token directory and, for a student, a directory of targets, with or without
soft targets; writes an ESPnet model directory with four things more: `tokens/`, `cmvn.npz` (so that it
can be moved), `features.json` (what the features were made as) and `kdasr.json` (size, seconds, seed, revision). A
killed run goes on from its last finished epoch.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdasr import __version__, checkpoints
from kdasr.asr import init
from kdasr.asr.clock import Clock
from kdasr.asr.settings import INPUTS, Distillation, read_settings
from kdasr.data.cmvn import read_npz
from kdasr.data.made import FILE as FEATURES
from kdasr.data.made import check_made, made_as
from kdasr.data.matrices import check_archives, check_heads, read_matrix
from kdasr.data.places import Place, parse, parse_table
from kdasr.errors import UserError
from kdasr.espnet import find_checkpoint
from kdasr.files import atomic_dir, only_writer, read_json, read_numbers, read_table, read_yaml, write_json, write_table
from kdasr.nbest.check_targets import SOFT_REMEDY, check_targets
from kdasr.nbest.target_files import TABLES
from kdasr.shards import digest

if TYPE_CHECKING:
    from kdasr.data.tokens import Tokens

EXAMPLES = """examples:
  # a teacher on the transcribed part
  kdasr train --config conf/mini_teacher.yaml --train dump/fbank/train --valid dump/fbank/dev \\
      --tokens dump/tokens/char --out exp/teacher
  # a student on the teacher's hypotheses (of two sets: transcribed and untranscribed)
  kdasr train --config conf/mini_student.yaml --train dump/fbank/train dump/fbank/extra --targets exp/student/targets \\
      --valid dump/fbank/dev --tokens dump/tokens/char --out exp/student --role student --teacher teacher
  # a student that starts from its teacher's weights; --mask with a pruned model's keeps the pruned ones at zero
  kdasr train --config conf/mini_student.yaml ... --init exp/teacher --out exp/student --role student
  # word-level distillation, from the soft targets of `kdasr soft`; or from the teacher itself, run beside the student
  kdasr train ... --targets exp/student/targets --kd word_weight=0.5 temperature=2 --out exp/student
  kdasr train ... --kd word_weight=0.5 teachers=[exp/teacher] --out exp/student
  # ESPnet's own options behind --
  kdasr train --config conf/wsj_teacher.yaml ... --out exp/big --ngpu 4 -- --use_amp true --max_epoch 50
  # on four GPUs of each of two nodes
  slurm.py --num_nodes 2 --gpu 4 exp/big/log/train.log kdasr train ... --nodes 2 --ngpu 4 --out exp/big
"""


# Settings that models of older versions say nothing of; that they lack them is no difference.
LATER = ("train statistics", "valid statistics", "token files", "token type", "hypotheses", "teachers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr train`."""
    add = parser.add_argument
    add("--config", required=True, help="ESPnet training config: networks, optimiser, epochs")
    add("--train", required=True, nargs="+", metavar="DIR", help="feature directories to train on")
    add("--valid", required=True, metavar="DIR", help="feature directory to choose epochs by")
    add("--tokens", required=True, metavar="DIR", help="token directory (kdasr tokens)")
    add("--targets", metavar="DIR", help="train on these hypotheses (kdasr targets) instead of the references")
    add(
        "--kd",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="how to learn from a teacher: word_weight, temperature, divergence, teachers, ... (kdasr/asr/settings.py)",
    )
    add("--out", required=True, metavar="DIR", help="model directory to write")
    add("--seed", type=int, default=1, help="of initial weights, batch order and dropout (default 1)")
    add("--ngpu", type=int, default=0, help="GPUs of a node to train on, a process each (default 0: CPU)")
    add("--processes", type=int, default=1, help="without GPUs: processes of a node that train together (default 1)")
    add("--nodes", type=int, default=1, help="nodes of this SLURM job that train together (default 1)")
    add("--init", metavar="DIR", help="start from this model's weights, as far as names and shapes agree")
    add(
        "--init_layers",
        choices=init.CHOICES,
        default="spaced",
        help="which of its layers a shallower student takes: evenly spaced ones, or the first (default spaced)",
    )
    add("--mask", metavar="FILE", help="keep at zero what this mask prunes (mask.pth of kdasr prune)")
    add("--role", choices=("teacher", "student"), default="teacher", help="for the report (default teacher)")
    add("--label", default="", help="what the report calls this system (default: the role)")
    add("--teacher", default=None, metavar="NAME", help="model directory that made the targets, for the report")
    add("espnet", nargs="*", help="further options of espnet2.bin.asr_train, behind --")


def run(args: argparse.Namespace) -> None:
    """Check the inputs, train, and record what was trained."""
    out = Path(args.out)
    if "," in args.out:
        raise UserError(f"--out {args.out}: ESPnet cannot take a path with a comma; name another directory")
    settings = describe(args)
    check_features(args, out)
    with only_writer(out):
        record = read_json(out / "kdasr.json") if (out / "kdasr.json").exists() else None
        if record is not None:
            made = record.get("settings")
            if not isinstance(made, dict) or "parameters" not in record:
                raise UserError(f"{out}/kdasr.json: is no record of a training; remove {out}, or name another --out")
            if not (differing := others(made, settings)):
                print(f"{out}: trained already ({record['parameters']:,} parameters); to train again: rm -r {out}")
                return
            raise UserError(f"{out}: holds a model of other {', '.join(differing)}; remove it, or name another --out")
        claim_settings(out, settings)
        lists = prepare_data(args, out)
        train(args, out, lists, settings)


def describe(args: argparse.Namespace) -> dict[str, Any]:
    """What a model depends on: config, features, tokens, targets, teachers, seed."""
    for path, stage in ((args.config, "name a config"), (Path(args.tokens) / "tokens.txt", "run kdasr tokens")):
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file; {stage} first")
    kd = distillation(args)  # says so if the config is none
    settings: dict[str, Any] = {"config": digest(args.config), "tokens": digest(Path(args.tokens) / "tokens.txt")}
    files = [Path(args.tokens) / name for name in ("nlsyms.txt", "bpe.model")]
    settings["token files"] = {path.name: digest(path) for path in files if path.is_file()}
    settings["token type"] = read_json(Path(args.tokens) / "tokens.json").get("type")
    settings.update(seed=args.seed, options=list(args.espnet))
    if args.kd:
        settings["kd"] = list(args.kd)
    for key, directories in (("train", args.train), ("valid", [args.valid])):
        for directory in directories:
            if not (Path(directory) / "feats.scp").is_file():
                raise UserError(f"{directory}: holds no feats.scp; make features first (kdasr feats --out {directory})")
        settings[key] = [digest(Path(directory) / "utt2num_frames") for directory in directories]
        # which stand for the features, too: archives are read once, when they are trained on
        statistics = [Path(directory) / "cmvn.npz" for directory in directories]
        settings[f"{key} statistics"] = [digest(path) if path.is_file() else None for path in statistics]
        texts = [Path(directory) / "text" for directory in directories]
        if key == "valid" or not args.targets:
            settings[f"{key} text"] = [digest(text) for text in texts if text.is_file()]
    if args.targets:
        if not (Path(args.targets) / "hyps").is_file():
            raise UserError(f"{args.targets}: holds no hyps; select targets first (kdasr targets --out {args.targets})")
        settings["targets"] = digest(Path(args.targets) / "hyps") + digest(Path(args.targets) / "weights")
        settings["hypotheses"] = digest(Path(args.targets) / "hyp_lens")  # where one ends and the next begins
        for name in soft_tables(args):
            if (Path(args.targets) / f"{name}.ark").is_file():
                settings[f"{name} targets"] = digest(Path(args.targets) / f"{name}.ark")
    if kd.soft and kd.teachers:
        settings["teachers"] = [digest(find_checkpoint(directory)) for directory in kd.teachers]
    if args.init:
        settings["init"] = init.settings(args.init, args.init_layers)
    if args.mask:
        if not Path(args.mask).is_file():
            raise UserError(f"{args.mask}: no such file; prune a model first (kdasr prune)")
        settings["mask"] = digest(args.mask)
    return settings


def check_features(args: argparse.Namespace, out: Path) -> None:
    """UserError if the sets have features of several kinds, or of another than a model that is there."""
    places = features_of(args)
    made_as(places)
    check_made(places, out)


def features_of(args: argparse.Namespace) -> dict[str, Place]:
    """The features of all sets, by set and utterance."""
    lists = [Path(directory) / "feats.scp" for directory in [*args.train, args.valid]]
    return {f"{path} {key}": place for path in lists for key, place in parse_table(read_table(path), path).items()}


def distillation(args: argparse.Namespace) -> Distillation:
    """The distillation settings: the config's kd_conf, and --kd over it; UserError if they are not right."""
    import yaml

    conf = read_yaml(args.config).get("kd_conf") or {}
    if not isinstance(conf, dict):
        raise UserError(f"{args.config}: kd_conf is {conf!r}, expected settings `name: value`")
    for word in args.kd:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"--kd {word}: expected KEY=VALUE, as in word_weight=0.5")
        try:
            conf[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UserError(f"--kd {word}: its value is not YAML ({str(error).splitlines()[0]})") from None
    return read_settings(conf)


def soft_tables(args: argparse.Namespace) -> list[str]:
    """Names of the tables of soft targets that the student reads; none if it asks its teachers itself."""
    kd = distillation(args)
    wanted = {"soft": kd.word_weight, "ctc": kd.ctc_word_weight}
    return [name for name, weight in wanted.items() if weight and not kd.teachers]


def others(made: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """Names of the settings that differ from those that a model was made with."""
    known = [key for key in {*settings, *made} if key in made or key not in LATER]
    return sorted(key for key in known if made.get(key) != settings.get(key))


def claim_settings(out: Path, settings: dict[str, Any]) -> None:
    """Refuse to go on from a checkpoint that other settings made."""
    begun = out / "settings.json"
    if begun.exists() and others(read_json(begun), settings) and (out / "checkpoint.pth").exists():
        raise UserError(f"{out}: holds a training run begun with other settings; remove it, or name another --out")
    write_json(begun, settings)


def prepare_data(args: argparse.Namespace, out: Path) -> Path:
    """Write the lists that ESPnet reads (features, text, shapes) into out/data, and return where.

    The sets and what they point to are checked here.
    """
    from kdasr.asr.prefixes import count
    from kdasr.data.tokens import load_tokens

    tokens = load_tokens(args.tokens)
    lists = out / "data"
    feats: dict[str, Place] = {}
    text: dict[str, str] = {}
    frames: dict[str, float] = {}
    for directory in map(Path, args.train):
        feats |= parse_table(read_table(directory / "feats.scp"), directory / "feats.scp")
        frames |= read_numbers(directory / "utt2num_frames")
        if not args.targets:
            if not (directory / "text").is_file():
                raise UserError(f"{directory}: has no text; untranscribed audio needs --targets (kdasr targets)")
            text |= read_table(directory / "text")
    if args.targets:
        checked = check_targets(args.targets, digest(Path(args.tokens) / "tokens.txt"), len(tokens.list), feats)
        text = checked["text"]
    check_soft_targets(args, len(tokens.list))
    left_out = len(feats.keys() - text.keys())
    if left_out:
        print(f"{out}: {left_out} of {len(feats)} utterances have no {'target' if args.targets else 'text'}, left out")
    absent = sorted(text.keys() - feats.keys())
    if absent:
        raise UserError(
            f"{args.targets or args.train[0]}: {absent[0]} (and {len(absent) - 1} more) has no features; "
            "add its set to --train"
        )
    keys = sorted(text)
    if not keys:
        raise UserError(f"{' '.join(args.train)}: no utterance with both features and text is left to train on")
    valid = Path(args.valid)
    said_there = read_table(valid / "text")
    judged = parse_table(read_table(valid / "feats.scp"), valid / "feats.scp")
    counted_there = read_numbers(valid / "utt2num_frames")
    size = feature_size(keys[0], feats[keys[0]])
    for part, places, said, counted in (
        ("train", {key: feats[key] for key in keys}, {key: text[key] for key in keys}, frames),
        ("valid", judged, said_there, counted_there),
    ):
        check_archives(places, "make the features again (kdasr feats)")
        check_heads(places, "make the features again (kdasr feats)")
        lacking = next((key for key in said if key not in places or key not in counted), None)
        if lacking is not None:
            where = valid if part == "valid" else args.train[0]
            raise UserError(f"{where}: {lacking} has text, and no features or frames; make them again (kdasr feats)")
        # ESPnet reads these, and not the sets' own lists: what was looked at is what it gets
        write_table(lists / part / "feats.scp", {key: places[key].entry() for key in said})
        write_table(lists / part / "text", said)
        write_table(lists / part / "speech_shape", {key: f"{int(counted[key])},{size}" for key in said})
        if part == "train" and args.targets:
            # what the decoder computes of an utterance's hypotheses
            steps = {key: count(checked["hyps"][key], checked["hyp_lens"][key]) for key in said}
        else:
            steps = {key: len(tokens.encode(said[key])) for key in said}
        write_table(lists / part / "text_shape", {key: f"{steps[key]},{len(tokens.list)}" for key in said})
    for name in ("hyps", "hyp_lens", "weights"):
        (lists / "train" / name).unlink(missing_ok=True)  # of a run that came no further than this
    if args.targets:
        for name in TABLES:
            write_table(lists / "train" / name, read_table(Path(args.targets) / name, empty=True))
        for name in soft_tables(args):
            check_heads(checked[f"{name}.scp"], SOFT_REMEDY)
            write_table(lists / "train" / f"{name}.scp", {key: checked[f"{name}.scp"][key].entry() for key in keys})
    if not (out / "tokens").is_dir() or not (out / "checkpoint.pth").is_file():  # or of a run that never began
        with atomic_dir(out / "tokens") as fresh:
            shutil.copytree(args.tokens, fresh, dirs_exist_ok=True)
    stats = Path(args.train[0]) / "cmvn.npz"
    if stats.is_file():
        if len(read_npz(stats).sum) != size:
            raise UserError(f"{stats}: is of other features than {args.train[0]}/feats.scp; make them again")
        shutil.copyfile(stats, out / "cmvn.npz")
    else:
        (out / "cmvn.npz").unlink(missing_ok=True)
    (out / FEATURES).unlink(missing_ok=True)
    if features := made_as(features_of(args)):
        write_json(out / FEATURES, features)  # so that it is given no others
    return lists


def feature_size(name: str, place: Place) -> int:
    """Bins of the features of an utterance."""
    return int(read_matrix(name, place).shape[1])


def espnet_options(args: argparse.Namespace, out: Path, lists: Path) -> list[str]:
    """The command line of ESPnet's trainer."""
    import json

    tokens = read_json(out / "tokens" / "tokens.json")
    first, place = next(iter(read_table(lists / "train" / "feats.scp").items()))
    size = feature_size(first, parse(place, first))
    # ESPnet takes a directory named "none" for no directory
    options = [
        "--config",
        args.config,
        "--output_dir",
        str(out) if "/" in str(out) else f"./{out}",
        "--resume",
        "true",
        "--seed",
        str(args.seed),
    ]
    options += ["--ngpu", str(args.ngpu), "--use_preprocessor", "true", "--cleaner", "none", "--g2p", "none"]
    options += ["--token_list", str(out / "tokens" / "tokens.txt"), "--input_size", str(size)]
    options += ["--token_type", "char" if tokens["type"] == "char" else "bpe"]
    symbols = out / "tokens" / "nlsyms.txt"
    options += ["--non_linguistic_symbols", str(symbols) if symbols.is_file() else "none"]
    if tokens["type"] != "char":
        options += ["--bpemodel", str(out / "tokens" / "bpe.model")]
    if (out / "cmvn.npz").is_file():
        options += [
            "--normalize",
            "global_mvn",
            "--normalize_conf",
            "stats_file=" + json.dumps(str((out / "cmvn.npz").resolve())),
        ]
    for part in ("train", "valid"):
        options += [f"--{part}_data_path_and_name_and_type", f"{lists / part / 'feats.scp'},speech,kaldi_ark"]
        options += [f"--{part}_data_path_and_name_and_type", f"{lists / part / 'text'},text,text"]
        options += [f"--{part}_shape_file", str(lists / part / "speech_shape")]
        options += [f"--{part}_shape_file", str(lists / part / "text_shape")]
    if args.targets:
        inputs = [("hyps", "text_int"), ("hyp_lens", "text_int"), ("weights", "text_float")]
        inputs += [(f"{name}.scp", "kaldi_ark") for name in soft_tables(args)]
        keys = dict(zip(("hyps", "hyp_lens", "weights", "soft.scp", "ctc.scp"), INPUTS, strict=True))
        for file, kind in inputs:
            key = keys[file]
            options += ["--train_data_path_and_name_and_type", f"{lists / 'train' / file},{key},{kind}"]
        options += ["--kd_conf", "targets=" + json.dumps(str(args.targets))]
    if args.teacher:
        options += ["--kd_conf", "teacher=" + json.dumps(args.teacher)]
    for word in args.kd:
        options += ["--kd_conf", word]
    return options + list(args.espnet)


def check_soft_targets(args: argparse.Namespace, vocabulary: int) -> None:
    """UserError unless a student that learns from distributions has them, as many tokens as its divergence needs."""
    kd = distillation(args)
    for name in soft_tables(args):
        table = Path(args.targets or "") / f"{name}.scp"
        if not args.targets or not table.is_file():
            more = " --ctc" if name == "ctc" else ""
            raise UserError(
                f"{args.targets or '--targets'}: has no {name}.scp to learn distributions from; make it "
                f"(kdasr soft --targets DIR{more}), or name models to ask (--kd teachers=[DIR])"
            )
        first, place = next(iter(read_table(table).items()))
        kept = feature_size(first, parse(place, f"{table}: {first}")) // 2
        if kd.divergence == "reverse_kl" and kept < vocabulary:
            raise UserError(f"{table}: keeps {kept} of {vocabulary} tokens; reverse_kl needs all (kdasr soft --kept 0)")


def train(args: argparse.Namespace, out: Path, lists: Path, settings: dict[str, Any]) -> None:
    """Run ESPnet's trainer to its end, and write kdasr.json."""
    import json

    from kdasr.asr import resume, worker
    from kdasr.espnet import load_model, prepare
    from kdasr.prune.mask import check_held

    prepare()
    import kdasr.asr.task  # noqa: F401  seconds, before the clock starts

    processes = args.ngpu or args.processes
    with Clock(out) as clock:
        command = espnet_options(args, out, lists)
        unfit = say_unfit(out, lists, command)
        if args.mask:
            checkpoints.check_known(args.mask)
            shutil.copyfile(args.mask, out / "mask.pth")  # for who goes on from this model
            command += ["--kd_conf", "mask=" + json.dumps(str(out / "mask.pth"))]
        if args.init:
            command += init.options(args.init, args.init_layers, out, command)
        resume.mend(out)
        if processes * args.nodes > 1:
            worker.train_together(out, command, processes, args.nodes, gpus=args.ngpu > 0)
        else:
            worker.train(out, command)
    spent = clock.spent()
    model, _ = load_model(out, finished=False)  # which also refuses a checkpoint that lacks weights
    held = {"non_zero": check_held(model, args.mask, out)} if args.mask else {}
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
            "seed": args.seed,
            "role": args.role,
            "label": args.label or args.role,
            "teacher": args.teacher,
            "config": str(args.config),
            "git": revision(),
            "kdasr": __version__,
            "settings": settings,
        },
    )


def say_unfit(out: Path, lists: Path, command: Sequence[str]) -> list[str]:
    """Count, before training, the utterances that have more tokens than CTC has frames, and say which is the first."""
    from kdasr.asr.fit import too_short
    from kdasr.asr.task import KDTask
    from kdasr.data.tokens import load_tokens
    from kdasr.espnet import build, register

    try:
        options = KDTask.get_parser().parse_args(list(command))
    except SystemExit:
        raise UserError(f"{out}: ESPnet refused an option; its message stands above") from None
    if not (options.model_conf or {}).get("ctc_weight", 0.5) or options.input_size is None:
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
    from kdasr.asr.fit import frames_needed

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
    states = checkpoints.load(out / "checkpoint.pth")
    steps = [int(state["step"]) for optimizer in states["optimizers"] for state in optimizer["state"].values()]
    return max(steps, default=0)


def revision() -> str:
    """The git revision of this kdasr, or "unknown"."""
    answer = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or "unknown"
