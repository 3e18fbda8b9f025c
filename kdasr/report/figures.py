"""What systems measured, in one file: a report can be made of it without the models, and by several machines in turn.

A JSON object a line. The first says which utterances each set has and how many reference words each of them; the
others are systems, with the errors of each utterance in that order. What made a model (its kdasr.json) stands there
without the hashes of its inputs.

Trained on another processor, whose sums round otherwise, the same configuration and seed give another model. It, and
those that it taught if it is a teacher, are runs of their own: NAME@MARK, where the mark is that model's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdasr.errors import UserError
from kdasr.files import atomic_write, read_lines
from kdasr.report import shape
from kdasr.report.collect import DECODED, MODEL, PERPLEXITY, SCORE, Scored, System
from kdasr.report.shape import COUNT, TEXT, Each, Maybe, Must

LEFT_OUT = ("settings", "command")  # of kdasr.json and scores: of no use without the files that they name
REMEDY = "take the file back from git, or remove it and make it anew"
SETS = {"sets": Must(Each(Each(COUNT)))}  # the shape of the first line
OF_SET = {"tag": Must(TEXT), "set": Must(TEXT), "decode": Must(DECODED), "wer": Must(SCORE), "cer": Must(SCORE)}
SYSTEM = {  # and of the others
    "name": Must(TEXT),
    "info": Must(MODEL),
    "bytes": COUNT,
    "ppl": Must(Each(PERPLEXITY)),
    "scored": Must([OF_SET | {"errors": Must([Maybe(COUNT)])}]),
}


def merged(every: Sequence[System], path: str | Path) -> list[System]:
    """Systems, and those of the file that are other runs; where there are systems, there need not be a file yet.

    A run is told by its name. Where a system that nobody taught has the name of one of the file's and is another model,
    the file's, and those that it taught, keep a place under a name of their own.
    """
    if every and not Path(path).exists():
        return list(every)
    known = read(path)
    mine, theirs = ({one.name: _mark(one) for one in some if _root(one) == one.name} for some in (every, known))
    others = {name: mark for name, mark in theirs.items() if mine.get(name) and mark and mark != mine[name]}
    # NAME@MARK: what the file calls a system of these where another machine's came between
    taken = {one.name for one in every} | {f"{one.name}@{mine.get(_root(one))}" for one in every}
    kept = (_renamed(one, others) for one in known)
    return [*every, *(one for one in kept if one.name not in taken)]


def write(every: Sequence[System], path: str | Path) -> None:
    """Write systems, sorted by name, whole or not at all."""
    words: dict[str, dict[str, int]] = {}
    for one in every:
        for scored in one.scored.values():
            words.setdefault(scored.set, {}).update({key: count for key, (_, count) in scored.utterances.items()})
    sets = {name: dict(sorted(counts.items())) for name, counts in sorted(words.items())}
    with atomic_write(path) as stream:
        for value in ({"sets": sets}, *(_packed(one, sets) for one in sorted(every, key=lambda one: one.name))):
            line = json.dumps(value, ensure_ascii=False) + "\n"
            stream.write(line.encode("utf-8", "replace").decode())  # a lone surrogate in a label cannot be written


def read(path: str | Path) -> list[System]:
    """Systems of a file.

    Raises:
        UserError: it is absent, or a line is not what `write` writes; the line is named.
    """
    found, sets = [], {}
    for number, line in enumerate(read_lines(path), 1):
        try:
            value = json.loads(line)
            shape.check(value, SYSTEM if number > 1 else SETS, f"{path}:{number}: is no line of figures", REMEDY)
            if number == 1:
                sets = value["sets"]
            else:
                found.append(_unpacked(value, sets))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise UserError(f"{path}:{number}: is no line of figures; {REMEDY}") from None
    return found


def _root(system: System) -> str:
    """The teacher that taught it, or itself."""
    return system.name if system.is_teacher else system.info.get("teacher") or system.name


def _mark(system: System) -> str:
    """The first digits of its weights' hash, which its decodings recorded; nothing if it was not decoded."""
    return next((mark[:6] for one in system.scored.values() if (mark := one.decode.get("model"))), "")


def _renamed(one: System, marks: dict[str, str]) -> System:
    """A system that is, or names, a model with a mark: both are called after it."""
    root = _root(one)
    if root not in marks:
        return one
    info = one.info if root == one.name else one.info | {"teacher": f"{root}@{marks[root]}"}
    return replace(one, name=f"{one.name}@{marks[root]}", info=info)


def _packed(one: System, sets: dict[str, dict[str, int]]) -> dict[str, Any]:
    scored = []
    for item in one.scored.values():
        errors = [item.utterances[key][0] if key in item.utterances else None for key in sets[item.set]]
        told = {
            "tag": item.tag,
            "set": item.set,
            "decode": item.decode,
            "errors": errors if any(item.utterances) else [],
        }
        scored.append(told | {kind: _less(getattr(item, kind)) for kind in ("wer", "cer")})
    return {"name": one.name, "info": _less(one.info), "bytes": one.bytes, "ppl": one.ppl, "scored": scored}


def _unpacked(value: dict[str, Any], sets: dict[str, dict[str, int]]) -> System:
    scored = {}
    for item in value["scored"]:
        pairs = zip(sets[item["set"]].items(), item["errors"], strict=bool(item["errors"]))
        utterances = {key: (errors, words) for (key, words), errors in pairs if errors is not None}
        one = Scored(item["tag"], item["set"], item["decode"], item["wer"], item["cer"], utterances)
        scored[one.tag, one.set] = one
    return System(value["name"], value["info"], value.get("bytes"), scored, value["ppl"])


def _less(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in LEFT_OUT}
