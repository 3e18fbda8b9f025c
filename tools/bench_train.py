#!/usr/bin/env python3
"""What an update of a model's weights costs: CPU seconds, of `kdasr train` with the networks of recipes.

    tools/bench_train.py                                 # every case
    tools/bench_train.py --case teacher student          # of the synthetic demo corpus
    tools/bench_train.py --against ../before             # this checkout and that one, in turns: a ratio in one run

A case trains for `--updates` on random data of the right shapes (seconds of audio, characters or words, tokens kept of
soft targets), one thread. An update is all that the trainer does between two batches: reading and padding, forward,
backward, clipping, the optimiser's step, statistics. The first `--skip` are not counted. Each of `--rounds` is a
process of each checkout, in turns; what counts is the median over rounds of the mean update. As both checkouts begin
with the same weights and draw the same random numbers, their losses are compared, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import yaml

from kdasr.files import write_json, write_table
from kdasr.shards import digest

ROOT = Path(__file__).resolve().parent.parent
BINS, KEPT = 80, 8  # of features; tokens kept of a soft target
CHARACTERS = ["<blank>", "<unk>", "<space>", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'.-&,", "<sos/eos>"]
WORDS = ["<blank>", "<unk>", *(f"w{number:04}" for number in range(3997)), "<sos/eos>"]


@dataclass(frozen=True)
class Case:
    """What is trained."""

    config: str
    data: str  # speech, soft (targets with soft targets), long (of WSJ's lengths), or text
    changes: tuple[tuple[str, Any], ...] = ()  # of the configuration, so that an update takes seconds at most


CASES = {
    "teacher": Case("egs/wsj/conf/mini_teacher.yaml", "speech"),
    "student": Case("egs/wsj/conf/mini_student.yaml", "speech"),
    "student_soft": Case("egs/wsj/conf/mini_student.yaml", "soft"),
    "text_teacher": Case("egs/multi30k/conf/teacher.yaml", "text"),
    "text_student": Case("egs/multi30k/conf/student.yaml", "text"),
    "conformer": Case("egs/wsj/conf/wsj_conformer_teacher.yaml", "long", (("batch_bins", 250000), ("accum_grad", 1))),
}


def main() -> None:
    """Measure the cases, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--case", nargs="+", choices=list(CASES), default=list(CASES))
    add("--against", type=Path, metavar="DIR", help="another checkout, which is the one before")
    add("--updates", type=int, default=60, help="of a process, the skipped ones among them (default 60)")
    add("--skip", type=int, default=10, help="of them (default 10)")
    add("--rounds", type=int, default=3, help="processes of each checkout (default 3)")
    add("--float32", action="store_true", help="leave cpu_bf16 of configurations out")
    add("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(json.loads(args.child))))
        return
    sides = [path.resolve() for path in (args.against, ROOT) if path]
    print("|case|" + ("CPU s an update, before|after|ratio|losses differ by|" if args.against else "CPU s an update|"))
    print("|---|" + "---:|" * (4 if args.against else 1))
    with tempfile.TemporaryDirectory() as scratch:
        places = {kind: Path(scratch) / kind for kind in {CASES[name].data for name in args.case}}
        for kind, place in sorted(places.items()):
            write_place(place, kind)
        for name in args.case:
            runs: dict[Path, list[dict[str, list[float]]]] = {side: [] for side in sides}
            for number in range(args.rounds):
                for side in sides:
                    given = {"place": str(places[CASES[name].data]), "out": f"{scratch}/{name}_{number}_{side.name}"}
                    given |= {"config": str(side / CASES[name].config), "kind": CASES[name].data}
                    given |= {"changes": dict(CASES[name].changes), "updates": args.updates, "float32": args.float32}
                    runs[side].append(process(side, given))
            print(row(name, [runs[side] for side in sides], args.skip), flush=True)


def row(name: str, sides: Sequence[Sequence[dict[str, list[float]]]], skip: int) -> str:
    """A line of the table, of the runs of one checkout, or of two."""
    spent = [statistics.median(statistics.mean(run["spent"][skip:]) for run in runs) for runs in sides]
    cells = [name, *(f"{seconds:.4f}" for seconds in spent)]
    if len(sides) == 2:
        before, after = (np.array(runs[0]["losses"]) for runs in sides)
        cells += [f"{spent[0] / spent[1]:.2f}", f"{np.abs(after / before - 1).max():.1e}"]
    return "|" + "|".join(cells) + "|"


def process(side: Path, given: dict[str, Any]) -> dict[str, list[float]]:
    """Train in a process of its own, with the code of a checkout."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(side)}
    words = [sys.executable, __file__, "--child", json.dumps(given)]
    done = subprocess.run(words, env=environment, cwd=side, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side}: {given['config']}: training failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def child(given: dict[str, Any]) -> dict[str, list[float]]:
    """`kdasr train` in this process: CPU seconds of each update, and its loss."""
    from kdasr.cli import main as kdasr
    from kdasr.espnet import name  # ESPnet as kdasr imports it: without the checks that it makes in each call

    Trainer, SubReporter = name("espnet2.train.trainer:Trainer"), name("espnet2.train.reporter:SubReporter")
    place, out = Path(given["place"]), Path(given["out"])
    config = yaml.safe_load(Path(given["config"]).read_text(encoding="utf-8")) | given["changes"]
    config |= {"max_epoch": 1, "num_iters_per_epoch": given["updates"], "num_workers": 0, "log_interval": 1000}
    if given["float32"]:
        config.pop("cpu_bf16", None)
    out.mkdir()
    (out / "c.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    moments, losses = [], []
    epoch, register = Trainer.train_one_epoch.__func__, SubReporter.register

    def timed(batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            yield batch
            moments.append(time.process_time())

    def train_one_epoch(cls: type, **options: Any) -> bool:
        moments.append(time.process_time())
        return epoch(cls, **options | {"iterator": timed(options["iterator"])})

    def kept(self: Any, stats: dict[str, Any], *more: Any, **options: Any) -> None:
        if self.key == "train" and "loss" in stats:
            losses.append(float(stats["loss"]))
        register(self, stats, *more, **options)

    Trainer.train_one_epoch, SubReporter.register = classmethod(train_one_epoch), kept
    words = ["train", "--config", out / "c.yaml", "--train", place / "train", "--valid", place / "valid"]
    words += ["--tokens", place / "tokens", "--out", out / "model", "--seed", 1]
    if given["kind"] == "soft":
        words += ["--targets", place / "targets", "--role", "student", "--kd", "word_weight=0.5", "ctc_word_weight=0.7"]
    if given["kind"] == "text":
        words += ["--src_tokens", place / "src_tokens"]
    if status := kdasr([str(word) for word in words]):
        sys.exit(status)
    return {"spent": np.diff(moments).tolist(), "losses": losses}


def write_place(place: Path, kind: str) -> None:
    """Random sets, token lists and targets of a kind of data."""
    random = np.random.default_rng(1)
    names = WORDS if kind == "text" else CHARACTERS
    for name in ("tokens", "src_tokens") if kind == "text" else ("tokens",):
        (place / name).mkdir(parents=True)
        (place / name / "tokens.txt").write_text("".join(f"{token}\n" for token in names), encoding="utf-8")
        write_json(place / name / "tokens.json", {"type": "word" if kind == "text" else "char"})
        (place / name / "nlsyms.txt").write_text("", encoding="utf-8")
    for part, count in (("train", 600), ("valid", 4)):
        keys = [f"{part}{number:04}" for number in range(count)]
        if kind == "text":
            (place / part).mkdir()
            for name in ("text.src", "text"):
                sizes = np.clip(random.normal(15, 5, count), 4, 40).astype(int)
                lines = [" ".join(WORDS[i] for i in random.integers(2, len(WORDS) - 1, size)) for size in sizes]
                write_table(place / part / name, dict(zip(keys, lines, strict=True)))
            continue
        low, high = (400, 1200) if kind == "long" else (180, 320)
        write_speech(place / part, dict(zip(keys, random.integers(low, high, count).tolist(), strict=True)), random)
    if kind == "soft":
        write_targets(place, random)


def write_speech(directory: Path, frames: dict[str, int], random: np.random.Generator) -> None:
    """A feature directory of random numbers with texts of 16 characters a second, and statistics."""
    directory.mkdir()
    matrices = {key: random.standard_normal((count, BINS)).astype(np.float32) for key, count in frames.items()}
    kaldiio.save_ark(str(directory / "feats.ark"), matrices, scp=str(directory / "feats.scp"))
    write_table(directory / "utt2num_frames", {key: str(count) for key, count in frames.items()})
    texts = {key: random.integers(3, len(CHARACTERS) - 1, int(0.16 * count)) for key, count in frames.items()}
    write_table(directory / "text", {key: "".join(CHARACTERS[i] for i in ids) for key, ids in texts.items()})
    every = np.concatenate(list(matrices.values()))  # (T, F)
    np.savez(directory / "cmvn.npz", count=len(every), sum=every.sum(0), sum_square=(every**2).sum(0))


def write_targets(place: Path, random: np.random.Generator) -> None:
    """Targets with soft targets: of two utterances of five the text alone, else four hypotheses with an error each."""
    hyps: dict[str, list[list[int]]] = {}
    for line in (place / "train/text").read_text(encoding="utf-8").splitlines():
        key, text = line.split(" ", 1)
        best = [CHARACTERS.index(letter) for letter in text]
        hyps[key] = [list(best) for _ in range(1 if random.random() < 0.6 else 4)]
        for other in hyps[key][1:]:
            other[int(random.integers(len(best)))] = int(random.integers(3, len(CHARACTERS) - 1))
    (place / "targets").mkdir()
    rows = {name: {} for name in ("hyps", "hyp_lens", "weights", "text")}
    frames = dict(line.split(" ") for line in (place / "train/utt2num_frames").read_text().splitlines())
    soft = {"soft": {}, "ctc": {}}
    for key, lists in hyps.items():
        rows["hyps"][key] = " ".join(str(token) for one in lists for token in one)
        rows["hyp_lens"][key] = " ".join(str(len(one)) for one in lists)
        rows["weights"][key] = "1" if len(lists) == 1 else "0.7 0.1 0.1 0.1"
        rows["text"][key] = "".join(CHARACTERS[token] for token in lists[0])
        for name, count in (("soft", sum(len(one) + 1 for one in lists)), ("ctc", -(-int(frames[key]) // 4))):
            ids = np.stack([random.permutation(len(CHARACTERS))[:KEPT] for _ in range(count)])  # (steps, J)
            logp = np.log(random.dirichlet(np.full(KEPT, 0.3), count) + 1e-6) - 0.001  # (steps, J)
            soft[name][key] = np.concatenate([ids, np.minimum(logp, 0)], 1).astype(np.float32)
    for name, table in rows.items():
        write_table(place / "targets" / name, table)
    for name, matrices in soft.items():
        kaldiio.save_ark(str(place / f"targets/{name}.ark"), matrices, scp=str(place / f"targets/{name}.scp"))
    write_json(
        place / "targets/targets.json",
        {"settings": {"tokens": digest(place / "tokens/tokens.txt")}, "summary": {}},
    )


if __name__ == "__main__":
    main()
