"""`kdasr frames decode`: the words of a set from framewise predictions, by Viterbi over tokens and their trigram.

The trigram is that of the aligned tokens of the training set, and the priors are its counts of states; both come from
`--train` (kdasr.frames.grams, kdasr.frames.viterbi). Weights are given, read from the weights.json of another run, or
tuned: one after the other over a grid, round after round until word errors fall no more; of equally good ones those
nearer to zero are taken. What is written: text, weights.json if they were tuned, and last decode.json. An utterance too
short to be aligned has no predictions: its text is empty, so that its words count as deleted.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kdasr.arrays import read_npy
from kdasr.errors import UserError
from kdasr.files import only_writer, read_json, write_json, write_table
from kdasr.frames.predict import LOG_PROBS, checked, of_data
from kdasr.frames.viterbi import Graph, Weights, build, decode
from kdasr.settings import check_begun
from kdasr.shards import cut, digest
from kdasr.workers import run_shards

if TYPE_CHECKING:
    from kdasr.frames.data import Frames

EXAMPLES = """examples:
  # weights tuned on the development set
  kdasr frames decode --predictions exp/baseline_s1/predict_dev --data data/frames_dev --train data/frames_train \\
      --out exp/baseline_s1/predict_dev/decode --tune dump/fbank40/dev/text
  # and used on the test set
  kdasr frames decode --predictions exp/baseline_s1/predict_test --data data/frames_test --train data/frames_train \\
      --out exp/baseline_s1/predict_test/decode --weights exp/baseline_s1/predict_dev/decode/weights.json
"""
GRIDS = {"lm_weight": "0:12:2", "insertion": "-5:15:5", "prior_weight": "0:1:0.25"}  # in the order of the search
SHARD = 20  # utterances that a process takes at a time
HOUR = 360_000  # frames
MOST = 1 << 31  # bytes of the trigram as a table


@dataclass(frozen=True)
class Task:
    """What is decoded, in a form that goes to another process."""

    predictions: Path
    names: tuple[str, ...]  # (U,) utterances
    silent: tuple[str, ...]  # those without predictions
    ends: tuple[int, ...]  # (U+1,) rows of the predictions at which they begin and end
    tokens: tuple[str, ...]  # (V,)
    graph: Graph


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `kdasr frames decode`."""
    add, default = parser.add_argument, Weights()
    add("--predictions", required=True, metavar="DIR", help="what kdasr frames predict wrote")
    add("--data", required=True, metavar="DIR", help="the frames that were predicted (kdasr frames data)")
    add("--train", required=True, metavar="DIR", help="the training set: tokens of the trigram, counts of states")
    add("--out", required=True, metavar="DIR", help="directory to write")
    add("--lm_weight", type=float, metavar="W", help=f"of the trigram (default {default.lm_weight:g})")
    add("--prior_weight", type=float, metavar="W", help="of the states' log priors, which are taken off (default "
        f"{default.prior_weight:g})")  # fmt: skip
    add("--insertion", type=float, metavar="W", help=f"added for each token (default {default.insertion:g})")
    add("--weights", metavar="FILE", help="weights.json of another run; options above go before it")
    add("--tune", metavar="TEXT", help="search for the weights with fewest word errors against these references")
    grids = " ".join(f"{name}={grid}" for name, grid in GRIDS.items())
    add("--grid", nargs="+", default=[], metavar="NAME=FROM:TO:STEP", help=f"what --tune tries (default {grids})")
    add("--nj", type=int, default=1, help="processes (default 1)")


def run(args: argparse.Namespace) -> None:
    """Decode, unless it is done."""
    from kdasr.frames.data import RECORD, load
    from kdasr.lm.weights import parse_grids

    if args.nj < 1:
        raise UserError(f"--nj {args.nj}: expected 1 or more")
    if args.grid and not args.tune:
        raise UserError("--grid: is for --tune; name references, or leave it out")
    weights, out, began = given_weights(args), Path(args.out), time.process_time()
    grids = parse_grids([f"{name}={grid}" for name, grid in GRIDS.items()] + args.grid, list(GRIDS))
    data, train = load(args.data), load(args.train)
    about, task = of_data(args.predictions, args.data), prepare(args, data, train)
    refs = references(args.tune, task.names + task.silent, args.predictions) if args.tune else {}
    made: dict[str, Any] = {
        "predictions": about["name"],
        "train": [digest(Path(args.train) / name) for name in (RECORD, "tokens")],
        "weights": dataclasses.asdict(weights),
        "tune": digest(args.tune) if args.tune else None,
        "grid": grids if args.tune else None,
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
            found, spent = decode_all(task, chosen, args.nj)
            seconds += spent
            return found

        if args.tune:
            weights, tuned = tune(texts, refs, weights, grids)
            write_json(out / "weights.json", {"weights": dataclasses.asdict(weights), "tuned": tuned})
            print(f"{args.tune}: {tuned['wer_before']:.2f} % WER before, {tuned['wer']:.2f} % after")
            print(told(tuned, weights))
        found = texts(weights)
        write_table(out / "text", found)
        record = {"utterances": len(found), "frames": task.ends[-1], "weights": dataclasses.asdict(weights)}
        record["cpu_seconds"] = round(time.process_time() - began + seconds, 2)
        write_json(out / "decode.json", record)
    print(f"{out}: {len(found)} utterances, {record['cpu_seconds']:.1f} CPU s; {shown(weights)}")


def shown(weights: Weights) -> str:
    """Weights for people."""
    return " ".join(f"{name} {value:g}" for name, value in dataclasses.asdict(weights).items())


def given_weights(args: argparse.Namespace) -> Weights:
    """The weights of options, over those of --weights, over the default ones; UserError if one is no number."""
    from kdasr.lm.weights import known, number

    names = [one.name for one in dataclasses.fields(Weights)]
    found: dict[str, float] = {}
    if args.weights:
        stored = read_json(args.weights).get("weights")
        if not isinstance(stored, dict):
            raise UserError(f"{args.weights}: has no weights; name a weights.json that kdasr frames decode has written")
        for name, value in stored.items():
            known(name, names, args.weights)
            found[name] = number(str(value), f"{args.weights}: {name}")
    for name in names:
        if (value := getattr(args, name)) is not None:
            found[name] = number(str(value), f"--{name}")
    return Weights(**found)


def prepare(args: argparse.Namespace, data: Frames, train: Frames) -> Task:
    """The graph, and where each utterance's predictions are.

    Raises:
        UserError: no predictions, states other than the training set's, or too many tokens for a table.
    """
    from kdasr.frames.grams import count

    path = Path(args.predictions) / LOG_PROBS
    if not path.is_file():
        raise UserError(f"{path}: no such file; make it first: kdasr frames predict --data {args.data}")
    checked(args.predictions, mapped=True)
    if data.states != train.states:
        raise UserError(f"{args.data}: has other states than {args.train}; make it with --like {args.train}")
    kinds = len({token for one in train.tokens.values() for token in one})
    if 8 * (kinds + 1) ** 3 > MOST:
        raise UserError(f"{args.train}: has {kinds} tokens, too many for a table of trigrams; use characters")
    grams = count(train.tokens.values())
    graph = build(train.states, train.counts, grams.tokens, grams.table())
    ends = np.cumsum([0, *data.sizes]).tolist()
    return Task(path, tuple(data.names), tuple(data.skipped), tuple(ends), grams.tokens, graph)


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
    from kdasr.data.tokens import Tokens

    return " ".join(Tokens("char", [], []).join(tokens).replace("▁", " ").split())


def references(path: str, names: Iterable[str], predictions: object) -> dict[str, tuple[str, ...]]:
    """The words of each utterance, as `kdasr score` counts them; a text may hold others, too.

    Raises:
        UserError: it lacks one.
    """
    from kdasr.score import trn
    from kdasr.score.rules import Rules

    wanted, every = dict.fromkeys(names), trn.read_text(path)
    found = {name: Rules().tokens(words) for name, words in every.items() if name in wanted}
    trn.same_utterances(found, wanted, path, predictions)
    return found


def tune(
    texts: Callable[[Weights], Mapping[str, str]],
    refs: Mapping[str, Sequence[str]],
    start: Weights,
    grids: Mapping[str, Sequence[float]],
) -> tuple[Weights, dict[str, Any]]:
    """Search for the weights with fewest word errors, one weight at a time until none gets better.

    Args:
        texts: decodes with some weights.
        refs: words of each utterance.
        start: where to begin.
        grids: values of each weight to try, in this order.

    Returns:
        The weights; and for a JSON file, words, WER in percent before and after, and for each weight (value, WER)
        with the others as found.
    """
    from kdasr.score.align import align_words, tally
    from kdasr.score.trn import split

    names = list(refs)

    @functools.cache
    def rate(weights: Weights) -> float:
        found = texts(weights)
        return tally(align_words([refs[name] for name in names], [split(found[name]) for name in names])).wer

    def key(weights: Weights) -> tuple[float, float]:
        return rate(weights), sum(abs(value) for value in dataclasses.astuple(weights))

    found, improved = start, True
    while improved:
        improved = False
        for name, values in grids.items():
            best = min((dataclasses.replace(found, **{name: value}) for value in values), key=key)
            if key(best) < key(found):
                found, improved = best, True
    table = {
        name: [(value, round(rate(dataclasses.replace(found, **{name: value})), 4)) for value in values]
        for name, values in grids.items()
    }
    words = sum(map(len, refs.values()))
    rates = {"wer_before": round(rate(start), 4), "wer": round(rate(found), 4)}
    return found, {"words": words, **rates, "table": table}


def told(tuned: Mapping[str, Any], weights: Weights) -> str:
    """WER of each value tried, a line a weight; and which weight is the end of its grid."""
    lines = []
    for name, row in tuned["table"].items():
        lines.append(f"  {name}: " + ", ".join(f"{value:g} {rate:.2f}" for value, rate in row))
        found = getattr(weights, name)
        if found and found in (row[0][0], row[-1][0]):
            lines.append(f"  {name} {found:g} is the end of its grid; widen it by --grid {name}=FROM:TO:STEP")
    return "\n".join(lines)
