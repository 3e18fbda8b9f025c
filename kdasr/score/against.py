"""Two systems on one set: is the difference beyond noise?

Both directories are those of `kdasr score`. The paired bootstrap resamples utterances, the matched-pairs test over the
stretches of speech in which one of the systems errs (NIST's test of this field). Translations are compared by the
paired bootstrap of sacrebleu.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.score import bleu, bleu_samples
from kdasr.score.align import count
from kdasr.score.intervals import paired
from kdasr.score.kaldi import read_operations
from kdasr.score.matched import matched_pairs
from kdasr.score.measures import BLEU


def against(ours: str | Path, theirs: str | Path) -> dict[str, Any]:
    """Compare the system scored in `ours` with that in `theirs`.

    Returns:
        `rate` of both (percent), `bootstrap` (intervals.Paired) and `matched` (matched.Matched), each of ours less
        theirs: negative where ours is better. Of translations `bootstrap` is of BLEU, positive where ours is better,
        and `sacrebleu` its test: p, samples, seed, and mean and half of the interval of both.

    Raises:
        UserError: no finished score there; other rules, utterances or references.
    """
    mine, other = (_read(directory) for directory in (ours, theirs))
    if mine["signature"] != other["signature"]:
        raise UserError(
            f"{theirs}: was scored by other rules ({other['signature']}) than {ours} ({mine['signature']}); "
            "score both with the same options"
        )
    compare = _translations if mine["type"] == BLEU.key else _errors
    return {
        "against": str(theirs),
        "type": mine["type"],
        "rate": [mine[mine["type"]], other[other["type"]]],
        **compare(ours, theirs),
        "signature": mine["signature"],
    }


def _errors(ours: str | Path, theirs: str | Path) -> dict[str, Any]:
    """Both tests of error rates."""
    my_steps, other_steps = (read_operations(Path(directory) / "per_utt") for directory in (ours, theirs))
    _same_set(my_steps, other_steps, ours, theirs, "per_utt", "utterance")
    counts = [[count(steps[name]) for name in my_steps] for steps in (my_steps, other_steps)]
    for name, first, second in zip(my_steps, *counts, strict=True):
        if first.words != second.words:
            raise UserError(
                f"{theirs}/per_utt: {name} has {second.words} reference words, {first.words} in {ours}; "
                "score both against one reference"
            )
    errors = [[one.errors for one in side] for side in counts]
    return {
        "bootstrap": asdict(paired(errors[1], errors[0], [one.words for one in counts[0]])),
        "matched": asdict(matched_pairs(list(my_steps.values()), [other_steps[name] for name in my_steps])),
    }


def _translations(ours: str | Path, theirs: str | Path) -> dict[str, Any]:
    """The paired bootstrap of BLEU."""
    mine, other = (bleu.read_rows(Path(directory) / bleu.SENTENCES) for directory in (ours, theirs))
    _same_set(mine, other, ours, theirs, bleu.SENTENCES, "sentence")
    if unlike := next((name for name in mine if mine[name]["ref"] != other[name]["ref"]), None):
        raise UserError(
            f"{theirs}/{bleu.SENTENCES}: {unlike} has another reference than in {ours}; "
            "score both against one reference"
        )
    rows = list(mine.values()), [other[name] for name in mine]
    change = bleu_samples.paired(*([[bleu_samples.statistics(row) for row in side]] for side in rows[::-1]))
    return {"bootstrap": asdict(change), "sacrebleu": bleu.paired_test(*rows)}


def _same_set(
    mine: Collection[str], other: Collection[str], ours: str | Path, theirs: str | Path, file: str, what: str
) -> None:
    for directory, names, rest in ((theirs, other, mine), (ours, mine, other)):
        missing = next((name for name in rest if name not in names), None)
        if missing is not None:
            raise UserError(f"{directory}/{file}: lacks {what} {missing}; only scores of one set can be compared")


def told(result: dict[str, Any]) -> str:
    """A comparison in words, three lines."""
    bootstrap = result["bootstrap"]
    if "sacrebleu" in result:
        test = result["sacrebleu"]
        better = "better" if BLEU.sign * bootstrap["difference"] > 0 else "worse"
        verdict = f"significantly {better}" if test["p"] < 0.05 else "no significant difference"
        how = f"sacrebleu's paired bootstrap, {test['samples']} samples, seed {test['seed']}: p {_p(test['p'])}: "
        return _difference(result, "") + f"{how}{verdict} at the 5 % level\n"
    matched = result["matched"]
    better = "fewer" if matched["mean"] < 0 else "more"
    verdict = f"significantly {better} errors" if matched["p"] < 0.05 else "no significant difference"
    return _difference(result, f", p {_p(bootstrap['p'])} (paired bootstrap over utterances)") + (
        f"matched pairs: {matched['segments']} segments, {matched['mean']:+.3f} errors a segment, Z "
        f"{matched['z']:+.2f}, p {_p(matched['p'])}: {verdict} at the 5 % level\n"
    )


def _difference(result: dict[str, Any], test: str) -> str:
    bootstrap, (here, there) = result["bootstrap"], result["rate"]
    return (
        f"against {result['against']}: {result['type'].upper()} {here:.2f} here, {there:.2f} there\n"
        f"difference {bootstrap['difference']:+.2f} points, 95 % interval {bootstrap['low']:+.2f} to "
        f"{bootstrap['high']:+.2f}{test}\n"
    )


def _p(value: float) -> str:
    return "< 0.0005" if value < 0.0005 else f"{value:.3f}"


def _read(directory: str | Path) -> dict[str, Any]:
    path = Path(directory) / "score.json"
    if not path.is_file():
        raise UserError(f"{directory}: holds no finished score (score.json); run kdasr score --dir {directory} first")
    return read_json(path)
