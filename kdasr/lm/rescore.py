"""Rerank N-best lists by a weighted sum of their scores and those of language models.

    total = sum over scores of weight x score

The scores of a hypothesis are those that its list comes with (`score`, the search's own total, and its parts), the
log probability of each language model, <sos/eos> at the end included, and `length`, its number of words. By default
`score` has weight 1 and all others 0, so that nothing changes; weights are given, tuned, or both.

A word of a model's class <rnn_unk> costs what the class costs, times its share of it (kdasr.lm.text); a word that the
model does not know costs what <unk> costs.

The directory written holds text (the new 1-best), nbest.jsonl (all hypotheses in the new order: `place` is the old
place, from 1; `scores` are logarithms without their weights, larger is better), weights.json, and rescore.json: what
was read, the work done, what has changed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdasr import shape
from kdasr.errors import UserError
from kdasr.files import atomic_dir, atomic_write, only_writer, read_json, write_json, write_table
from kdasr.lm.kaldi_nbest import read_kaldi, score_files
from kdasr.lm.mixture import Mixture, parse_lms, score
from kdasr.lm.weights import (
    LENGTH,
    LENGTH_GRID,
    LM_GRID,
    Lists,
    describe,
    known,
    number,
    parse_grids,
    parse_weights,
    tune,
)
from kdasr.models import LM_CHECKPOINTS, find_checkpoint, read_config
from kdasr.nbest.archive import read_manifest, read_nbest, shard_path
from kdasr.score import trn
from kdasr.score.align import normal
from kdasr.score.count import count_errors
from kdasr.score.rules import read_symbols
from kdasr.score.trn import split
from kdasr.settings import check_made
from kdasr.shape import COUNT, NUMBER, Each, Must
from kdasr.shards import digest

RECORD = {  # the shape of rescore.json, as far as it is read
    "made_from": Must({}),
    "lms": Must(Each(dict.fromkeys(("steps", "tree", "words", "unknown"), Must(COUNT)))),
    "weights": Must(Each(NUMBER)),
    **dict.fromkeys(("utterances", "changed"), Must(COUNT)),
}


@dataclass(frozen=True)
class RescoreOptions:
    """What is rescored, by what, and where the result goes."""

    nbest: str  # archive of kdasr nbest, or Kaldi's parallel text archives
    out: str  # directory to write
    lms: Sequence[str] = ()  # [NAME=]DIR, or [NAME=]DIR+DIR for the mean of several models' probabilities
    weights: Sequence[
        str
    ] = ()  # NAME=W, or a weights.json of another run; score=1 and all others 0 where none is given
    tune: str | None = None  # references (Kaldi's text form) to search for weights by; None: no search
    grid: Sequence[str] = ()  # NAME=FROM:TO:STEP, what the search tries besides its defaults
    nlsyms: str | None = None  # symbols, one a line, that are no words to the search
    wsj_filter: bool = False  # the search leaves out what kdasr score --wsj_filter leaves out
    history: int = 0  # join prefixes that end in so many equal tokens; 0: none, so that scores are exact
    acoustic_scale: float | None = None  # of Kaldi's lists; None: that by which they are ordered
    ngpu: int = 0  # 0: CPU; 1: a GPU


def rescore(options: RescoreOptions) -> None:
    """Rescore, unless it is done, and print what has changed.

    Raises:
        UserError: options that cannot be, files that are missing or damaged, or `out` holds another result.
    """
    if options.history < 0 or options.ngpu not in (0, 1):
        raise UserError(f"--history {options.history} --ngpu {options.ngpu}: expected 0 or more, and 0 or 1")
    if options.acoustic_scale is not None and not 0 < options.acoustic_scale < float("inf"):
        raise UserError(f"--acoustic_scale {options.acoustic_scale:g}: expected a number above 0, as in 0.0833")
    if options.grid and not options.tune:
        raise UserError("--grid: is for --tune; name references, or leave it out")
    device = "cuda:0" if options.ngpu else "cpu"
    out, began = Path(options.out), (time.process_time(), time.perf_counter())
    mixtures = parse_lms(options.lms)
    with only_writer(out.parent, name=f".{out.name}.lock"):
        made = inputs(options, mixtures)
        if _done(out, made):
            return
        lists, scale = read_lists(options)
        names = [*lists.scores, LENGTH, *(mixture.name for mixture in mixtures)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise UserError(f"--lm: the lists have a score {twice!r} already; name the model's, as in --lm lm2=EXP")
        weights = given_weights(options.weights, names)
        default = {mixture.name: f"{mixture.name}={LM_GRID}" for mixture in mixtures}
        default[LENGTH] = f"{LENGTH}={LENGTH_GRID}"
        grids = parse_grids([*default.values(), *options.grid], names) if options.tune else {}
        errors, words = (
            word_errors(options, lists) if options.tune else (np.zeros(0), 0)
        )  # says what is wrong before the work
        record: dict[str, Any] = {"made_from": made, "acoustic_scale": scale, "lms": {}}
        lists.add(LENGTH, np.array([len(split(text)) for text in lists.texts], dtype=float))
        for mixture in mixtures:
            record["lms"][mixture.name] = score(lists, mixture, options.nbest, options.history, device)
        tuned = tune(lists, errors, words, weights, grids) if options.tune else None
        weights = tuned.weights if tuned else weights
        total = lists.total(weights)
        best = [lists.texts[hyp] for hyp in lists.best(total)]
        changed = sum(lists.texts[old] != new for old, new in zip(lists.starts, best, strict=True))
        record |= {"utterances": len(lists.ids), "hypotheses": len(lists.texts), "changed": changed}
        record |= {"weights": weights, "tuned": tuned.record() if tuned else None}
        record["cpu_seconds"], record["wall_seconds"] = (
            round(clock() - start, 2)
            for clock, start in zip((time.process_time, time.perf_counter), began, strict=True)
        )
        with atomic_dir(out) as fresh:
            write_table(fresh / "text", zip(lists.ids, best, strict=True))
            write_lists(fresh / "nbest.jsonl", lists, total)
            write_json(fresh / "weights.json", {"weights": weights, "acoustic_scale": scale, "tuned": record["tuned"]})
            write_json(fresh / "rescore.json", record)
    if tuned:
        print(describe(tuned, len(lists.ids)))
    print(summary(out, record))


def summary(out: Path, record: dict[str, Any]) -> str:
    """A summary of the work, as text."""
    lines = []
    for name, one in record["lms"].items():
        lines.append(
            f"{name}: {one['steps']:,} steps in {one['tree']:,} ({one['steps'] / max(one['tree'], 1):.1f} to one), "
            f"{100 * one['unknown'] / max(one['words'], 1):.2f} % of the words unknown"
        )
    shown = " ".join(f"{name}={weight:g}" for name, weight in record["weights"].items() if weight)
    lines.append(
        f"{out}: the best hypothesis of {record['changed']} of {record['utterances']} utterances changed; {shown}"
    )
    return "\n".join(lines)


def inputs(options: RescoreOptions, mixtures: Sequence[Mixture]) -> dict[str, Any]:
    """What the result depends on."""
    nbest = Path(options.nbest)
    if (nbest / "manifest.json").is_file():
        files = [shard_path(nbest, shard) for shard in range(read_manifest(nbest)["shards"])]
    else:
        files = [path for texts, scores in score_files(nbest) for path in (texts, *scores)]
    for mixture in mixtures:
        for directory in mixture.directories:
            read_config(directory, lm=True)  # says what it is, if it is no language model
    return {
        "nbest": {str(path.relative_to(nbest)): digest(path) for path in files if path.is_file()},
        "lm": {
            mixture.name: [digest(find_checkpoint(one, None, LM_CHECKPOINTS)) for one in mixture.directories]
            for mixture in mixtures
        },
        "weights": [digest(word) if Path(word).is_file() else word for word in options.weights],
        "tune": digest(options.tune) if options.tune and Path(options.tune).is_file() else options.tune,
        "nlsyms": digest(options.nlsyms) if options.nlsyms and Path(options.nlsyms).is_file() else options.nlsyms,
        **{name: getattr(options, name) for name in ("wsj_filter", "history", "acoustic_scale")},
        "grid": list(options.grid),
    }


def _done(out: Path, made: dict[str, Any]) -> bool:
    """Whether `out` holds the result; UserError if it holds another, or other things."""
    if not (out / "rescore.json").is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(
                f"{out}: holds other things than rescored lists, which would be lost; name another directory"
            )
        return False
    record = shape.read(out / "rescore.json", RECORD)
    check_made(out, record["made_from"], made)
    print(f"{out}: done already; to do it again: rm -r {out}\n{summary(out, record)}")
    return True


def read_lists(options: RescoreOptions) -> tuple[Lists, float | None]:
    """The lists, and the acoustic scale of Kaldi's."""
    if (Path(options.nbest) / "manifest.json").is_file():
        if options.acoustic_scale is not None:
            raise UserError(f"--acoustic_scale: {options.nbest} is no archive of Kaldi's; leave it out")
        return read_archive(options.nbest), None
    scale = options.acoustic_scale
    for word in options.weights:
        if scale is None and Path(word).is_file():
            scale = read_json(word).get("acoustic_scale")
            if scale is not None:
                scale = number(str(scale), f"{word}: acoustic_scale")
                if scale <= 0:
                    raise UserError(f"{word}: acoustic_scale is {scale:g}, expected a number above 0, as in 0.0833")
    lists, scale, how = read_kaldi(options.nbest, scale)
    print(f"{options.nbest}: acoustic scale {scale:.5g} (1/{1 / scale:.4g}): {how}")
    return lists, scale


def read_archive(directory: str | Path) -> Lists:
    """The lists of one of our archives, ordered by their `score`.

    Where the search ordered them by score a token, all scores are divided by the number of tokens.

    Raises:
        UserError: damaged, or no such archive.
    """
    manifest = read_manifest(directory)
    shape.check(manifest, {"search": Must({})}, Path(directory) / "manifest.json")
    records = list(read_nbest(directory))
    try:
        return _lists(records, manifest["search"]["normalize_length"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{directory}: holds what is no list of scored hypotheses; run kdasr nbest again") from None


def _lists(records: Sequence[dict[str, Any]], normalized: bool) -> Lists:
    """The lists of an archive's records; ValueError or the like if they are none."""
    if not all(record["hyps"] for record in records):
        raise ValueError("a list without a hypothesis")
    hyps = [hyp for record in records for hyp in record["hyps"]]
    lists = Lists(
        [record["id"] for record in records],
        np.array([len(record["hyps"]) for record in records]),
        [" ".join(split(hyp["text"])) for hyp in hyps],
    )
    if any(np.isnan(hyp["score"]) for hyp in hyps):
        raise ValueError("a score that is no number")
    if normalized:
        lists.tokens = np.array([len(hyp["tokens"]) + 1.0 for hyp in hyps])
    lists.add("score", np.array([hyp["score"] for hyp in hyps], dtype=float))
    for name in dict.fromkeys(name for hyp in hyps for name in hyp["scores"]):
        # a hypothesis without scores is the only one of its utterance
        lists.add(name, np.array([hyp["scores"].get(name, 0.0) for hyp in hyps], dtype=float))
    if normalized:  # the search counted a forced end in some hypotheses, which must not change the order
        values = lists.scores["score"]
        for start, size in zip(lists.starts, lists.sizes, strict=True):
            np.minimum.accumulate(values[start : start + size], out=values[start : start + size])
    return lists


def given_weights(words: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """The weights of files and of `NAME=W`, later ones over earlier ones over score=1; UserError as parse_weights."""
    weights = {"score": 1.0}
    for word in words:
        if not word.endswith(".json"):
            weights |= parse_weights([word], names)
            continue
        found = read_json(word).get("weights")
        if not isinstance(found, dict):
            raise UserError(f"{word}: has no weights; name a weights.json that kdasr rescore has written")
        for name, value in found.items():
            known(name, names, word)
            weights[name] = number(str(value), f"{word}: {name}")
    return weights


def word_errors(options: RescoreOptions, lists: Lists) -> tuple[np.ndarray, int]:
    """Word errors of each hypothesis (R,) against --tune as sclite counts them, and words of the references."""
    removed = read_symbols(options.nlsyms) if options.nlsyms else frozenset()

    def units(text: str) -> list[bytes]:
        words = trn.split(text)
        words = trn.wsj_filter(words) if options.wsj_filter else words
        return [normal(word) for word in trn.word_tokens(words, removed)]

    refs = trn.read_text(options.tune)
    trn.same_utterances(refs, dict.fromkeys(lists.ids), options.tune, options.nbest)
    texts = [lists.texts[start : start + size] for start, size in zip(lists.starts, lists.sizes, strict=True)]
    pairs = [(" ".join(refs[one]), hyps) for one, hyps in zip(lists.ids, texts, strict=True)]
    words = sum(len(units(ref)) for ref, _ in pairs)
    if not words:
        raise UserError(f"{options.tune}: no words are left to score; check --nlsyms and --wsj_filter")
    return np.array([count for row in count_errors(pairs, units) for count in row]), words


def write_lists(path: Path, lists: Lists, total: np.ndarray) -> None:
    """Write all hypotheses in their new order, an utterance a line."""
    ranking, columns = lists.ranking(total), {name: values.tolist() for name, values in lists.scores.items()}
    with atomic_write(path) as stream:
        for one, start, size in zip(lists.ids, lists.starts.tolist(), lists.sizes.tolist(), strict=True):
            hyps = [
                {
                    "text": lists.texts[hyp],
                    "place": hyp - start + 1,
                    "total": round(float(total[hyp]), 6),
                    "scores": {name: round(values[hyp], 6) for name, values in columns.items()},
                }
                for hyp in ranking[start : start + size].tolist()
            ]
            stream.write(json.dumps({"id": one, "hyps": hyps}, ensure_ascii=False, separators=(",", ":")) + "\n")
