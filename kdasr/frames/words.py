"""The words of a set: every utterance decoded with some weights, in several processes.

Nothing here imports torch: each process would spend seconds on that.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdasr.arrays import read_npy
from kdasr.data.tokens import Tokens
from kdasr.errors import UserError
from kdasr.files import read_json, write_json
from kdasr.frames.viterbi import Graph, Weights, decode
from kdasr.shards import cut
from kdasr.workers import run_shards

SHARD = 20  # utterances that a process takes at a time
HOUR = 360_000  # frames


@dataclass(frozen=True)
class Task:
    """What another process needs to decode."""

    predictions: Path
    names: tuple[str, ...]  # (U,) utterances
    silent: tuple[str, ...]  # those without predictions
    ends: tuple[int, ...]  # (U+1,) rows of the predictions at which they begin and end
    tokens: tuple[str, ...]  # (V,)
    graph: Graph


def decode_all(task: Task, weights: Weights, nj: int) -> tuple[dict[str, str], float]:
    """The text of each utterance, and the CPU seconds of processes other than this one."""
    with tempfile.TemporaryDirectory() as directory:
        make = functools.partial(decode_some, task, weights, directory)
        shards = cut(task.names, SHARD)
        run_shards(make, list(enumerate(shards)), nj, shown(weights))
        found = [read_json(Path(directory) / str(shard)) for shard in range(len(shards))]
    apart = sum(one["cpu_seconds"] for one in found) if min(nj, len(shards)) > 1 else 0.0
    texts = {name: text for one in found for name, text in one["texts"].items()}
    return {**texts, **dict.fromkeys(task.silent, "")}, apart


def decode_some(
    task: Task,
    weights: Weights,
    directory: str,
    shard: int,
    names: Sequence[str],
    progress: Callable[[float], None] = lambda _: None,
) -> float:
    """Decode a shard of utterances into a file of `directory`, and return their hours."""
    began, texts = time.process_time(), {}
    log_probs = read_npy(task.predictions, "predict again (kdasr frames predict)", mapped=True)
    first = shard * SHARD
    for number, name in enumerate(names, first):
        rows = log_probs[task.ends[number] : task.ends[number + 1]]
        if not np.isfinite(rows).all():
            raise UserError(f"{task.predictions}: {name} has predictions that are no numbers; train the network again")
        texts[name] = spell(task.tokens[one] for one in decode(task.graph, rows, weights)[0])
        progress(len(rows) / HOUR)
    write_json(Path(directory) / str(shard), {"texts": texts, "cpu_seconds": time.process_time() - began})
    return (task.ends[first + len(names)] - task.ends[first]) / HOUR


def spell(tokens: Iterable[str]) -> str:
    """The words of characters, among which <space> is a blank, or of pieces, of which "▁" begins a word."""
    return " ".join(Tokens("char", [], []).join(tokens).replace("▁", " ").split())


def shown(weights: Weights) -> str:
    """Weights for people."""
    return " ".join(f"{name} {value:g}" for name, value in dataclasses.asdict(weights).items())
