"""How right a selection of hypotheses is, by what was really said: a report that no selection looks at.

On audio that counts as untranscribed, but was transcribed, filters that need no transcript can be measured so: what
they keep should have fewer word errors than what they leave out, and little of what is right should be lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kdasr.files import columns
from kdasr.score.count import count_errors
from kdasr.targets.select import Target


class Heard(NamedTuple):
    """What became of an utterance."""

    key: str
    text: str  # what it trains on, of several hypotheses the heaviest; where it is left out the best that was heard
    reason: str = ""  # why it was left out; "": it was kept


def heard(key: str, best: str, targets: Sequence[Target], reason: str) -> Heard:
    """An utterance's part.

    Args:
        key: its id.
        best: the text of its best hypothesis.
        targets: what was chosen, nothing perhaps.
        reason: why its best hypothesis was left out, if it was.
    """
    if targets:
        return Heard(key, max(targets, key=lambda target: target.weight).text)
    return Heard(key, best, reason)


def measure(every: Iterable[Heard], truth: Mapping[str, str]) -> dict[str, Any]:
    """Kept and left out utterances against what was said.

    Args:
        every: the utterances.
        truth: what was said; utterances that it lacks are not looked at.

    Returns:
        {"kept", "left out": {"utterances", "words", "errors", "wer", "right", "precision"}, "reasons": {reason: the
        same}, "recall"}. wer is in percent of the words; right are utterances without an error, precision (percent)
        their share, and recall (percent) the share of all right ones that was kept.
    """
    known = [one for one in every if one.key in truth]
    counts = count_errors([(truth[one.key], [one.text]) for one in known])
    groups: dict[str, list[tuple[int, int]]] = {}  # reason: errors and words of each utterance
    for one, errors in zip(known, counts, strict=True):
        groups.setdefault(one.reason, []).append((errors[0], len(columns(truth[one.key]))))
    kept = _rates(groups.pop("", []))
    lost = _rates([pair for pairs in groups.values() for pair in pairs])
    right = kept["right"] + lost["right"]
    return {
        "kept": kept,
        "left out": lost,
        "reasons": {reason: _rates(pairs) for reason, pairs in sorted(groups.items())},
        "recall": round(100 * kept["right"] / right, 2) if right else 0.0,
    }


def _rates(pairs: Sequence[tuple[int, int]]) -> dict[str, Any]:
    errors, words = (sum(pair[side] for pair in pairs) for side in (0, 1))
    right = sum(not one for one, _ in pairs)
    return {
        "utterances": len(pairs),
        "words": words,
        "errors": errors,
        "wer": round(100 * errors / words, 2) if words else 0.0,
        "right": right,
        "precision": round(100 * right / len(pairs), 2) if pairs else 0.0,
    }


def lines(measured: Mapping[str, Any]) -> list[str]:
    """A measurement as lines of a report."""

    def told(name: str, one: Mapping[str, Any]) -> str:
        return (
            f"    {name}: {one['utterances']} utterances, WER {one['wer']:.2f} %, wholly right {one['precision']:.2f} %"
        )

    kept, lost = measured["kept"], measured["left out"]
    if not kept["utterances"] + lost["utterances"]:
        return ["  no utterance of the archives is in --truth: the selection was not measured"]
    report = [f"  by what was said, {measured['recall']:.2f} % of the wholly right ones were kept:"]
    report += [told("kept", kept), told("left out", lost)]
    return report + [told(f"left out, {reason}", one) for reason, one in measured["reasons"].items()]
