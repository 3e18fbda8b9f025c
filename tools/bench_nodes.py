#!/usr/bin/env python3
"""N-best lists on several machines: what a corpus would take, simulated from measured rates, and a small one measured.

Examples:
  tools/venv/bin/python tools/bench_nodes.py                                 # measure rates here, then simulate 1,000 h
  tools/venv/bin/python tools/bench_nodes.py --nodes 1 8 64 --cores 16 --shard_size 64
  tools/venv/bin/python tools/bench_nodes.py --speed 13 --start 9 --merge 0.3 --nodes 1 8 64   # rates that are known
  tools/venv/bin/python tools/bench_nodes.py --cluster 1 2 4                  # and arrays on a cluster of 4 nodes here

Rates are measured with Mun'im's networks at WSJ's size, random weights, beam 10, CTC 0.3 (tools/bench_models.py), one
process of one thread: seconds of audio a CPU second, CPU seconds of a process before its first shard (imports, model),
and what --merge takes for 1,000 utterances. The simulation: utterances of WSJ's lengths are cut into shards, element J
of N takes each shard S with S % N = J - 1 (kdasr.shards), all elements read at once from a file system that gives
--disk bytes a second to all of them together, and the array is done when its last element is.
"""

# ruff: noqa: E402 (the repository is put on the path before it is imported)
from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from bench_models import (
    BINS,
    FRAMES_A_SECOND,
    LONGEST,
    MEAN,
    RATIO,
    SHAPE,
    SHORTEST,
    lengths,
    network,
    write_data,
    write_model,
)

CLUSTER = ROOT / "tools/slurm_test_cluster.sh"
SUBMIT = 5.0  # seconds until an array runs, and from its end until that is seen: tools/bench_slurm.py --only overhead
MODEL_BYTES = 70e6  # of a checkpoint, which each element reads


class Rates(NamedTuple):
    """What one process needs."""

    speed: float  # seconds of audio a CPU second
    start: float  # seconds before its first shard
    merge: float  # seconds for 1,000 utterances


class Simulated(NamedTuple):
    """An array: seconds of its slowest element, and of what is before and behind."""

    elements: int
    shards: int
    start: float  # submission, imports, reading the model
    transfer: float
    work: float  # of a mean element
    waiting: float  # how much longer the slowest takes
    merge: float

    @property
    def total(self) -> float:
        """From submission to a finished archive."""
        return self.start + self.transfer + self.work + self.waiting + self.merge


def simulate(hours: float, elements: int, shard_size: int, rates: Rates, disk: float, seed: int = 0) -> Simulated:
    """An array of so many elements.

    Args:
        hours: of audio.
        elements: of the array, all at once.
        shard_size: utterances.
        rates: of one process.
        disk: bytes a second, to all elements together.
        seed: of the lengths.
    """
    random = np.random.default_rng(seed)
    seconds = np.clip(random.gamma(SHAPE, MEAN / SHAPE, round(hours * 3600 / MEAN)), SHORTEST, LONGEST)  # (U,)
    shards = np.add.reduceat(seconds, np.arange(0, len(seconds), shard_size))  # (S,) seconds of audio
    audio = np.bincount(np.arange(len(shards)) % elements, shards, elements)  # (N,) of each element
    reading = seconds.sum() * FRAMES_A_SECOND * BINS * 4 / disk
    start = SUBMIT + rates.start + elements * MODEL_BYTES / disk
    work, slowest = audio.mean() / rates.speed, audio.max() / rates.speed
    merge = rates.merge * len(seconds) / 1000
    return Simulated(elements, len(shards), start, reading, work, slowest - work, merge)


def simulated_table(hours: float, nodes: Sequence[int], cores: int, shard_size: int, rates: Rates, disk: float) -> str:
    """Markdown: a row for each number of nodes."""
    lines = [
        "|nodes|elements|shards|start-up|transfer|decoding|waiting for the slowest|merge|all|speed-up, of one process|",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    alone = simulate(hours, 1, shard_size, rates, disk).total
    for count in nodes:
        made = simulate(hours, count * cores, shard_size, rates, disk)
        parts = (made.start, made.transfer, made.work, made.waiting, made.merge, made.total)
        cells = [str(count), f"{made.elements:,}", f"{made.shards:,}", *map(spoken, parts)]
        share = alone / made.total / made.elements
        lines.append("|" + "|".join([*cells, f"{alone / made.total:,.0f} ({100 * share:.0f} % of ideal)"]) + "|")
    return "\n".join(lines)


def spoken(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def nbest(place: Path, out: Path, *more: str) -> list[str]:
    """The command line of `kdasr nbest` on what `make_place` made."""
    words = [sys.executable, "-m", "kdasr.cli", "nbest", "--model", place / "model", "--data", place / "data"]
    words += ["--out", out, "--beam", 10, "--nbest", 10, "--maxlenratio", RATIO, "--shard_size", 8, *more]
    return list(map(str, words))


def make_place(place: Path, utterances: int) -> None:
    """A model and a data directory."""
    write_model(place / "model", network("munim"))
    write_data(place / "data", lengths(utterances))


def run(words: Sequence[str]) -> float:
    """Run a command; its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"bench_nodes.py: {' '.join(words)}\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stats(out: Path) -> tuple[float, float]:
    """Seconds of audio and CPU seconds of an archive's shards."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in out.glob("stats.*.json")]
    return sum(one["audio_seconds"] for one in found), sum(one["cpu_seconds"] for one in found)


def measured_rates(place: Path, utterances: int) -> Rates:
    """By one process, in CPU seconds: it decodes all, and merges."""
    spent = run(nbest(place, place / "one", "--job", "1/1"))
    audio, cpu = stats(place / "one")
    merging = run(nbest(place, place / "one", "--merge"))
    again = run(nbest(place, place / "one"))  # does nothing: a process that starts, looks and ends
    return Rates(audio / cpu, spent - cpu, max(0.0, merging - again) / utterances * 1000)


def cluster_table(place: Path, counts: Sequence[int]) -> str:
    """Arrays of so many elements on a cluster of four nodes, all of them this machine."""
    lab = tempfile.mkdtemp(prefix="kdasr-slurm-nodes-")
    os.environ.update(KDASR_SLURM_LAB=lab, SLURM_CONF=f"{lab}/slurm.conf", PYTHONPATH=str(ROOT))
    subprocess.run([CLUSTER, "start"], check=True, stdout=subprocess.DEVNULL)
    lines = ["|elements, each on a node|wall, submission to merged|CPU seconds in shards|", "|---|---|---|"]
    try:
        for count in counts:
            out = place / f"array{count}"
            began = time.perf_counter()
            array = [str(ROOT / "utils/slurm.py"), "--mem", "3000M", f"JOB=1:{count}", str(place / f"log{count}.JOB")]
            run([*array, *nbest(place, out, "--job", f"JOB/{count}")])
            run(nbest(place, out, "--merge"))
            lines.append(f"|{count}|{time.perf_counter() - began:.0f} s|{stats(out)[1]:.0f}|")
    finally:
        subprocess.run([CLUSTER, "stop"], check=False)
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1000, help="of audio to simulate (default %(default)s)")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 8, 64], help="to simulate (default 1 8 64)")
    parser.add_argument("--cores", type=int, default=16, help="elements a node (default %(default)s)")
    parser.add_argument("--shard_size", type=int, default=256, help="as of kdasr nbest (default %(default)s)")
    parser.add_argument("--disk", type=float, default=500e6, help="bytes a second, to all (default %(default)s)")
    parser.add_argument("--utterances", type=int, default=48, help="that are measured (default %(default)s)")
    for name in Rates._fields:
        parser.add_argument(f"--{name}", type=float, help=f"{name} of Rates, known; all three: nothing is measured")
    parser.add_argument("--cluster", type=int, nargs="+", help="arrays of so many elements on a cluster here")
    args = parser.parse_args(words)
    known = [getattr(args, name) for name in Rates._fields]
    with tempfile.TemporaryDirectory(prefix="bench-nodes-") as name:
        place = Path(name)
        if args.cluster or None in known:
            make_place(place, args.utterances)
        rates = measured_rates(place, args.utterances) if None in known else Rates(*known)
        print(
            f"{rates.speed:.1f} s of audio a CPU second; {rates.start:.1f} CPU s before the first shard; "
            f"{rates.merge:.2f} CPU s to merge 1,000 utterances; {args.disk / 1e6:,.0f} MB/s\n"
        )
        print(simulated_table(args.hours, args.nodes, args.cores, args.shard_size, rates, args.disk), flush=True)
        if args.cluster:
            print(f"\n{args.utterances} utterances, four nodes that are this machine of {os.cpu_count()} cores:\n")
            print(cluster_table(place, args.cluster))


if __name__ == "__main__":
    main()
