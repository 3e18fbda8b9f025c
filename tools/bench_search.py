#!/usr/bin/env python3
"""kdasr's search compared with ESPnet's, in one run, on the same checkpoints and utterances.

Examples:
  tools/venv/bin/python tools/bench_search.py                                   # every scenario (about an hour)
  tools/venv/bin/python tools/bench_search.py --scenario rnn_ctc --utterances 100 --theirs 16 --out rnn.md
  tools/venv/bin/python tools/bench_search.py --scenario rnn_ctc --batch_frames 20000 40000 80000   # kdasr's alone
  tools/venv/bin/python tools/bench_search.py --scenario rnn_ctc --profile      # where kdasr's time goes
  tools/venv/bin/python tools/bench_search.py --device cuda --utterances 64     # GPU: wall time and peak memory
  tools/venv/bin/python tools/bench_search.py --model exp/teacher --data dump/fbank/test_eval92 --utterances 40

Scenarios:
  rnn_ctc, rnn      VGG-BLSTMP 4 x 320, LSTM 320 with location attention; ctc_weight 0.3 and 0; against ESPnet's
                    BeamSearch, as espnet2.bin.asr_inference sets it up
  munim_ctc, munim  kdasr's own networks at Mun'im's size, 5 x 384 and 3 x 384; likewise
  conformer_ctc     conformer 12 x 256, transformer decoder 6 x 256; against ESPnet's BatchBeamSearch
  espnet1           as rnn_ctc, against espnet1's recognize_batch of 8 with the same weights (ESPnet 202511 and older)
  batched           as conformer_ctc, against ESPnet's own batches of 8 utterances (ESPnet 202609 and newer)
                    In these two, lengths in groups of 8 are equal, as neighbours' in a large sorted set nearly are:
                    both go on with all of a batch until its longest is done

kdasr decodes every utterance once; ESPnet decodes a random part of the same utterances once, evenly drawn over their
lengths. So the two sides are compared by seconds a second of audio. ESPnet's first half goes before kdasr's
work and its second half after it, so that a machine that slows down slows both.

Without --model, weights are random, nothing is downloaded, and each hypothesis is as long as its utterance's
limit: 14 tokens a second on both sides. Reading features and encoding are included on both sides. CPU seconds of this
process are the figure to look at on a machine that others use, too.
"""

# ruff: noqa: E402 (the number of threads has to be set before torch is imported)
from __future__ import annotations

import argparse
import logging
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import torch
from bench_models import (
    RATIO,
    Ids,
    Side,
    espnet1_side,
    espnet2_side,
    kdasr_side,
    lengths,
    network,
    write_data,
    write_model,
)

from kdasr.espnet import prepare, version
from kdasr.models import find_model, find_models
from kdasr.search.engine import Engine
from kdasr.search.options import Computing, SearchOptions
from kdasr.search.rows import Row, read_rows

BATCH = 8  # of ESPnet's batched searches


class Scenario(NamedTuple):
    """What is compared."""

    kind: str  # of bench_models.network
    ctc_weight: float
    peer: str


SCENARIOS = {
    "rnn_ctc": Scenario("rnn", 0.3, "stock"),
    "rnn": Scenario("rnn", 0.0, "stock"),
    "munim_ctc": Scenario("munim", 0.3, "stock"),
    "munim": Scenario("munim", 0.0, "stock"),
    "conformer_ctc": Scenario("conformer", 0.3, "stock"),
    "espnet1": Scenario("rnn", 0.3, "espnet1"),
    "batched": Scenario("conformer", 0.3, "batched"),
}


@dataclass
class Spent:
    """What one side spent, on so much audio."""

    cpu: float = 0.0  # seconds
    wall: float = 0.0  # seconds
    audio: float = 0.0  # seconds
    peak: int = 0  # bytes of the GPU
    found: dict[str, Ids] = field(default_factory=dict)

    def tokens(self) -> int:
        """Tokens of all utterances' best hypotheses."""
        return sum(len(nbest[0]) for nbest in self.found.values() if nbest)

    def rtfx(self) -> float:
        """Audio seconds a CPU second."""
        return self.audio / self.cpu

    def a_second(self, kind: Literal["cpu", "wall"]) -> float:
        """CPU or wall seconds a second of audio."""
        return (self.cpu if kind == "cpu" else self.wall) / self.audio


def measured(side: Side, rows: Sequence[Row], spent: Spent, device: str) -> None:
    """Run one side on some utterances; what it spent is added."""
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    cpu, wall = time.process_time(), time.perf_counter()
    found = side(rows)
    if cuda:
        torch.cuda.synchronize()
        spent.peak = max(spent.peak, torch.cuda.max_memory_allocated())
    spent.cpu += time.process_time() - cpu
    spent.wall += time.perf_counter() - wall
    spent.audio += sum(row.seconds or 0.0 for row in rows)
    spent.found.update(found)


@dataclass(frozen=True)
class Comparison:
    """Both sides of a scenario."""

    scenario: str
    peer: str
    theirs: Spent
    ours: Spent
    same_best: float  # share of the utterances that both decoded
    same_nbest: float
    parts: dict[str, float]  # kdasr's seconds by part

    def cells(self, cuda: bool) -> dict[str, str]:
        """A row of the table."""
        theirs, ours = self.theirs, self.ours
        cpu, wall = (theirs.a_second(kind) / ours.a_second(kind) for kind in ("cpu", "wall"))
        row = {
            "scenario": self.scenario,
            "against": self.peer,
            "utterances, theirs / ours": f"{len(theirs.found)} / {len(ours.found)}",
            "tokens a second of audio": f"{theirs.tokens() / theirs.audio:.2f} / {ours.tokens() / ours.audio:.2f}",
            "CPU s a second of audio": f"{theirs.a_second('cpu'):.3f} / {ours.a_second('cpu'):.3f}",
            "ratio": f"{cpu:.2f}",
            "wall ratio": f"{wall:.2f}",
            "RTFx (CPU)": f"{theirs.rtfx():.1f} / {ours.rtfx():.1f}",
            "same 1-best": f"{100 * self.same_best:.0f} %",
            "same N-best": f"{100 * self.same_nbest:.0f} %",
        }
        if cuda:
            row["RTFx (wall)"] = f"{theirs.audio / theirs.wall:.1f} / {ours.audio / ours.wall:.1f}"
            row["peak MB"] = f"{theirs.peak / 1e6:.0f} / {ours.peak / 1e6:.0f}"
        return row


def part_of(rows: Sequence[Row], number: int, together: int, seed: int) -> list[list[Row]]:
    """A random part of the utterances, about as long on average as all of them, in groups, the longest first.

    Args:
        rows: all utterances.
        number: how many; rounded up to whole groups.
        together: so many neighbours in length are a group (the peer's batch).
        seed: of the draw.

    Systematic sampling: of the groups in the order of their length every so-manieth, from a random one on, so that
    each is drawn with the same probability.
    """
    by_length = sorted(rows, key=lambda row: -(row.seconds or 0.0))
    groups = [list(by_length[first : first + together]) for first in range(0, len(rows), together)]
    drawn = min(-(-number // together), len(groups))
    start = random.Random(seed).random()
    return [groups[int((start + one) * len(groups) / drawn)] for one in range(drawn)]


def compare(
    theirs: Side, ours: Side, engine: Engine, rows: Sequence[Row], part: Sequence[list[Row]], labels: tuple[str, str]
) -> Comparison:
    """Each utterance once: every other group of their part by them, all utterances by us, the rest of their part."""
    shortest = sorted(rows, key=lambda row: row.seconds or 0.0)[:1]
    for side in (theirs, ours):  # warm up
        side(shortest)
    engine.watch.seconds.clear()
    spent, own = Spent(), Spent()
    first, second = ([row for group in part[start::2] for row in group] for start in (0, 1))
    measured(theirs, first, spent, engine.device)
    measured(ours, rows, own, engine.device)
    measured(theirs, second, spent, engine.device)
    best, nbest = agreement(spent.found, own.found, engine.spell)
    return Comparison(*labels, spent, own, best, nbest, engine.watch.totals())


def agreement(theirs: dict[str, Ids], ours: dict[str, Ids], spell: Callable[[Sequence[int]], str]) -> tuple[float, ...]:
    """Of the utterances that they decoded, the shares with our best text, and with our N-best texts, in order.

    Raises SystemExit where they decoded nothing, or what we did not decode.
    """
    if not theirs or not theirs.keys() <= ours.keys():
        raise SystemExit("the two sides did not decode the same utterances")
    best = nbest = 0
    for key, hyps in theirs.items():
        # kdasr merges hypotheses of one text, so the other side's are merged, too.
        one, other = (list(dict.fromkeys(spell(ids) for ids in side)) or [""] for side in (hyps, ours[key]))
        best += one[0] == other[0]
        nbest += one == other
    return best / len(theirs), nbest / len(theirs)


def table(rows: Sequence[dict[str, str]]) -> str:
    """Rows as Markdown."""
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([row[column] for column in columns] for row in rows)]
    return "\n".join("|" + "|".join(line) + "|" for line in lines)


def conditions(device: str) -> str:
    """Where and with what this was measured."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    gpu = f"{torch.cuda.get_device_name()}; " if device.startswith("cuda") else ""
    return (
        f"{gpu}{cpu}, {os.cpu_count()} cores, one thread, load {os.getloadavg()[0]:.1f}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, ESPnet {version()}; "
        f"kdasr {git.stdout.strip() or 'without git'}; {time.strftime('%Y-%m-%d')}"
    )


def shares(parts: dict[str, float], wall: float) -> str:
    """Wall time by part of kdasr's search."""
    given = {**parts, "rest": wall - sum(parts.values())}
    return ", ".join(f"{part} {100 * seconds / wall:.0f} %" for part, seconds in given.items())


def profiled(side: Side, rows: Sequence[Row], cuda: bool) -> str:
    """torch.profiler's table of the 15 operations that took longest themselves."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as record:
        side(rows)
    key = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    return record.key_averages().table(sort_by=key, row_limit=15, max_name_column_width=40)


def missing(scenario: Scenario) -> str | None:
    """Why this scenario cannot be run with the ESPnet that is installed, or None."""
    new = version() >= "202609"
    if scenario.peer == "espnet1" and new:
        return f"ESPnet {version()} has no espnet1 any more"
    if scenario.peer == "batched" and not new:
        return f"ESPnet {version()} cannot decode several utterances at once; 202609 and newer (Python 3.12) can"
    return None


class Place(NamedTuple):
    """What a scenario is run on."""

    model: str
    rows: list[Row]
    options: SearchOptions
    settings: dict[str, Any]  # of the network; empty for a given model


def place_of(label: str, args: argparse.Namespace, scratch: Path) -> Place:
    """The model and utterances of a scenario: made in `scratch`, or those given."""
    scenario = SCENARIOS[label]
    if args.model:
        options = SearchOptions(beam=args.beam, nbest=args.beam, ctc_weight=scenario.ctc_weight)
        rows = read_rows(args.data, find_model(args.model, None))
        drawn = random.Random(args.seed).sample(rows, min(args.utterances, len(rows)))
        return Place(args.model, sorted(drawn), options, {})
    settings = network(scenario.kind)
    model = scratch / scenario.kind
    if not model.exists():
        write_model(model, settings)
    group = 1 if scenario.peer == "stock" else BATCH
    data = scratch / f"data{group}"
    if not data.exists():
        write_data(data, lengths(args.utterances, group))
    # No shortest length: <sos/eos> is never likely, and with one as long as the longest nothing would count as ended.
    options = SearchOptions(args.beam, args.beam, scenario.ctc_weight, maxlenratio=RATIO)
    return Place(str(model), read_rows(data, find_model(model, None)), options, settings)


def run(label: str, args: argparse.Namespace, scratch: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Rows of the table and notes of a scenario."""
    scenario, cuda = SCENARIOS[label], args.device.startswith("cuda")
    place = place_of(label, args, scratch)
    models = find_models([place.model], None)
    if args.profile or len(args.batch_frames) > 1:
        rows, notes = [], []
        for frames in args.batch_frames:
            engine = Engine(models, place.options, Computing(frames, args.device, args.graphs, args.bf16))
            side = kdasr_side(engine)
            side(place.rows[:1])
            if args.profile:
                notes.append(f"{label}, --batch_frames {frames}\n\n{profiled(side, place.rows, cuda)}")
                continue
            engine.watch.seconds.clear()
            spent = Spent()
            measured(side, place.rows, spent, args.device)
            parts = shares(engine.watch.totals(), spent.wall)
            given = {"scenario": label, "batch_frames": str(frames), "CPU s": f"{spent.cpu:.2f}"}
            given |= {"wall s": f"{spent.wall:.2f}", "RTFx (CPU)": f"{spent.rtfx():.1f}"}
            given |= {"peak MB": f"{spent.peak / 1e6:.0f}"} if cuda else {}
            rows.append({**given, "parts": parts})
        return rows, notes
    engine = Engine(models, place.options, Computing(args.batch_frames[0], args.device, args.graphs, args.bf16))
    batch = 1 if scenario.peer == "stock" else BATCH
    if scenario.peer == "espnet1":
        theirs, peer = espnet1_side(engine, place.settings, BATCH), f"espnet1 recognize_batch, {BATCH}"
    else:
        theirs = espnet2_side(models.first, place.options, args.device, batch)
        peer = f"ESPnet {version()}" + (f", batch {batch}" if batch > 1 else "")
    part = part_of(place.rows, args.theirs, batch, args.seed)
    done = compare(theirs, kdasr_side(engine), engine, place.rows, part, (label, peer))
    note = f"{label}: kdasr's wall time: {shares(done.parts, done.ours.wall)}"
    return [done.cells(cuda)], [note]


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", nargs="+", choices=list(SCENARIOS), help="these only (default: all)")
    parser.add_argument("--utterances", type=int, default=200, help="kdasr decodes so many (default %(default)s)")
    parser.add_argument(
        "--theirs", type=int, default=BATCH, help="the peer decodes a random part, so many (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of that draw (default %(default)s)")
    parser.add_argument("--beam", type=int, default=10, help="hypotheses kept a step (default %(default)s)")
    parser.add_argument(
        "--batch_frames",
        type=int,
        nargs="+",
        default=[160000],
        help="kdasr's grid: input frames x beam (default 160000, as `kdasr nbest`); several: kdasr alone with each",
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default %(default)s)")
    parser.add_argument("--bf16", action="store_true", help="kdasr's encoder and large layers in bfloat16, on a CPU")
    parser.add_argument("--graphs", action="store_true", help="on a GPU: kdasr's steps as a CUDA graph")
    parser.add_argument("--model", help="a trained model instead of random ones; nothing is forced then")
    parser.add_argument("--data", help="its data directory, with feats.scp")
    parser.add_argument("--profile", action="store_true", help="torch.profiler's table of kdasr's side, alone")
    parser.add_argument("--out", type=Path, help="write the tables there, too (Markdown)")
    args = parser.parse_args(words)
    if bool(args.model) != bool(args.data):
        parser.error("--model and --data go together")
    if args.device != "cpu" and not torch.cuda.is_available():
        sys.exit("bench_search.py: torch finds no GPU here; run it where there is one, or leave out --device")
    if args.graphs and args.device == "cpu":
        parser.error("--graphs is for a GPU")
    args.device = "cuda:0" if args.device == "cuda" else args.device
    chosen = args.scenario or (["rnn_ctc", "rnn"] if args.model else list(SCENARIOS))
    prepare()
    logging.disable(logging.WARNING)
    rows: list[dict[str, str]] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for label in chosen:
            if reason := missing(SCENARIOS[label]):
                notes.append(f"{label}: skipped, {reason}")
                continue
            more, said = run(label, args, Path(scratch))
            rows += [{**row, "scenario": f"given model, {label}"} if args.model else row for row in more]
            notes += said
            print("\n".join([*(" ".join(row.values()) for row in more), *said]), file=sys.stderr, flush=True)
    what = "trained model" if args.model else f"random weights, {RATIO:.2f} tokens forced an encoded frame"
    notes.append(f"Beam {args.beam}; {what}; each utterance once. {conditions(args.device)}")
    text = "\n\n".join([*([table(rows)] if rows else []), *notes]) + "\n"
    print(text, end="")
    if args.out:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
