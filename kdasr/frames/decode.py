"""The words of a set from framewise predictions, by Viterbi over tokens and their trigram.

The trigram is that of the aligned tokens of the training set, and the priors are its counts of states; both come from
`--train` (kdasr.frames.grams, kdasr.frames.viterbi). Where weights come from is in kdasr.frames.weights. What is
written: text, weights.json if they were tuned, and last decode.json. An utterance too short to be aligned has no
predictions: its text is empty, so that its words count as deleted.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kdasr.errors import UserError
from kdasr.files import only_writer, write_json, write_table
from kdasr.frames.data import Frames, load
from kdasr.frames.grams import count
from kdasr.frames.predict import LOG_PROBS, checked, of_data
from kdasr.frames.prepare import RECORD
from kdasr.frames.viterbi import Weights, build
from kdasr.frames.weights import GRIDS, describe, given_weights, references, tune
from kdasr.frames.words import Task, decode_all, shown
from kdasr.lm.weights import parse_grids
from kdasr.settings import check_begun
from kdasr.shards import digest

MOST = 1 << 31  # bytes of the trigram as a table


@dataclass(frozen=True)
class DecodeOptions:
    """What is decoded, by what, and where the words go."""

    predictions: str  # directory of kdasr frames predict
    data: str  # the frames that were predicted (kdasr frames data)
    train: str  # the training set: tokens of the trigram, counts of states
    out: str  # directory to write
    given: Mapping[str, float] = field(default_factory=dict)  # weights by name; they go before those of `weights`
    weights: str | None = None  # weights.json of another run
    tune: str | None = None  # references to search for weights by (Kaldi's text form); None: no search
    grid: Sequence[str] = ()  # NAME=FROM:TO:STEP, what the search tries besides GRIDS
    nj: int = 1  # processes


def decode_set(options: DecodeOptions) -> None:
    """Decode, unless it is done.

    Raises:
        UserError: options that cannot be, files that are missing or do not belong together, or `out` was begun with
            others.
    """
    if options.nj < 1:
        raise UserError(f"--nj {options.nj}: expected 1 or more")
    if options.grid and not options.tune:
        raise UserError("--grid: is for --tune; name references, or leave it out")
    weights, out, began = given_weights(options.given, options.weights), Path(options.out), time.process_time()
    grids = parse_grids([f"{name}={grid}" for name, grid in GRIDS.items()] + [*options.grid], list(GRIDS))
    data, train = load(options.data), load(options.train)
    about, task = of_data(options.predictions, options.data), prepare(options, data, train)
    refs = references(options.tune, task.names + task.silent, options.predictions) if options.tune else {}
    made: dict[str, Any] = {
        "predictions": about["name"],
        "train": [digest(Path(options.train) / name) for name in (RECORD, "tokens")],
        "weights": dataclasses.asdict(weights),
        "tune": digest(options.tune) if options.tune else None,
        "grid": grids if options.tune else None,
    }
    with only_writer(out):
        check_begun(out, made)
        if (out / "decode.json").is_file():
            print(f"{out}: decoded already; to decode again: rm -r {out}")
            return
        write_json(out / "settings.json", made)
        seconds = 0.0  # of other processes

        def texts(chosen: Weights) -> dict[str, str]:
            nonlocal seconds
            found, spent = decode_all(task, chosen, options.nj)
            seconds += spent
            return found

        if options.tune:
            weights, tuned = tune(texts, refs, weights, grids)
            write_json(out / "weights.json", {"weights": dataclasses.asdict(weights), "tuned": tuned})
            print(f"{options.tune}: {tuned['wer_before']:.2f} % WER before, {tuned['wer']:.2f} % after")
            print(describe(tuned, weights))
        found = texts(weights)
        write_table(out / "text", found)
        record = {"utterances": len(found), "frames": task.ends[-1], "weights": dataclasses.asdict(weights)}
        record["cpu_seconds"] = round(time.process_time() - began + seconds, 2)
        write_json(out / "decode.json", record)
    print(f"{out}: {len(found)} utterances, {record['cpu_seconds']:.1f} CPU s; {shown(weights)}")


def prepare(options: DecodeOptions, data: Frames, train: Frames) -> Task:
    """The graph, and where each utterance's predictions are.

    Raises:
        UserError: no predictions, states other than the training set's, or too many tokens for a table.
    """
    path = Path(options.predictions) / LOG_PROBS
    if not path.is_file():
        raise UserError(f"{path}: no such file; make it first: kdasr frames predict --data {options.data}")
    checked(options.predictions, mapped=True)
    if data.states != train.states:
        raise UserError(f"{options.data}: has other states than {options.train}; make it with --like {options.train}")
    kinds = len({token for one in train.tokens.values() for token in one})
    if 8 * (kinds + 1) ** 3 > MOST:
        raise UserError(f"{options.train}: has {kinds} tokens, too many for a table of trigrams; use characters")
    grams = count(train.tokens.values())
    graph = build(train.states, train.counts, grams.tokens, grams.table())
    ends = np.cumsum([0, *data.sizes]).tolist()
    return Task(path, tuple(data.names), tuple(data.skipped), tuple(ends), grams.tokens, graph)
