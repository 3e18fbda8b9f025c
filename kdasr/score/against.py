"""Two systems on one set: is the difference beyond noise?

Both directories are those of `kdasr score`. The paired bootstrap resamples utterances, the matched-pairs test over the
stretches of speech in which one of the systems errs (NIST's test of this field).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.score.align import count
from kdasr.score.intervals import paired
from kdasr.score.kaldi import read_operations
from kdasr.score.matched import matched_pairs


def against(ours: str | Path, theirs: str | Path) -> dict[str, Any]:
    """Compare the system scored in `ours` with that in `theirs`.

    Returns:
        `rate` of both (percent), `bootstrap` (intervals.Paired) and `matched` (matched.Matched), each of ours less
        theirs: negative where ours is better.

    Raises:
        UserError: no finished score there; other rules, utterances or references.
    """
    results = [_read(directory) for directory in (ours, theirs)]
    (mine, my_steps), (other, other_steps) = results
    if mine["signature"] != other["signature"]:
        raise UserError(
            f"{theirs}: was scored by other rules ({other['signature']}) than {ours} ({mine['signature']}); "
            "score both with the same options"
        )
    for directory, steps, rest in ((theirs, other_steps, my_steps), (ours, my_steps, other_steps)):
        missing = next((name for name in rest if name not in steps), None)
        if missing is not None:
            raise UserError(f"{directory}/per_utt: lacks utterance {missing}; only scores of one set can be compared")
    counts = [[count(steps[name]) for name in my_steps] for steps in (my_steps, other_steps)]
    for name, first, second in zip(my_steps, *counts, strict=True):
        if first.words != second.words:
            raise UserError(
                f"{theirs}/per_utt: {name} has {second.words} reference words, {first.words} in {ours}; "
                "score both against one reference"
            )
    errors = [[one.errors for one in side] for side in counts]
    return {
        "against": str(theirs),
        "type": mine["type"],
        "rate": [mine[mine["type"]], other[other["type"]]],
        "bootstrap": asdict(paired(errors[1], errors[0], [one.words for one in counts[0]])),
        "matched": asdict(matched_pairs(list(my_steps.values()), [other_steps[name] for name in my_steps])),
        "signature": mine["signature"],
    }


def told(result: dict[str, Any]) -> str:
    """A comparison in words, three lines."""
    bootstrap, matched, name = result["bootstrap"], result["matched"], result["type"].upper()
    better = "fewer" if matched["mean"] < 0 else "more"
    verdict = f"significantly {better} errors" if matched["p"] < 0.05 else "no significant difference"
    return (
        f"against {result['against']}: {name} {result['rate'][0]:.2f} here, {result['rate'][1]:.2f} there\n"
        f"difference {bootstrap['difference']:+.2f} points, 95 % interval {bootstrap['low']:+.2f} to "
        f"{bootstrap['high']:+.2f}, p {_p(bootstrap['p'])} (paired bootstrap over utterances)\n"
        f"matched pairs: {matched['segments']} segments, {matched['mean']:+.3f} errors a segment, Z "
        f"{matched['z']:+.2f}, p {_p(matched['p'])}: {verdict} at the 5 % level\n"
    )


def _p(value: float) -> str:
    return "< 0.0005" if value < 0.0005 else f"{value:.3f}"


def _read(directory: str | Path) -> tuple[dict[str, Any], dict[str, str]]:
    path = Path(directory) / "score.json"
    if not path.is_file():
        raise UserError(f"{directory}: holds no finished score (score.json); run kdasr score --dir {directory} first")
    return read_json(path), read_operations(Path(directory) / "per_utt")
