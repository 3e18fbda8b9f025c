"""What systems measured, in one file: a report can be made of it without the models, and by several machines in turn.

Each line is one of three (kdasr/report/jsonl.py; lines are only added, never changed):

    {"sets": {SET: {UTTERANCE: words}}}   the utterances of sets, and how many reference words each of them has
    {"name", "model", "info", ...}        a system, with the errors of each utterance in the order of the sets above it;
                                          of translations the tokens, and in "rest" what else adds to BLEU
    {"about": {"title", "notes", ...}}    what stands around the tables: notes, commands, environment

A system is known by the hash of its weights. Measured again, it has another line, and the last one counts. Trained on
another processor, whose sums round otherwise, the same configuration and seed give another model: a run of its own,
shown as NAME@HASH beside the others of its name. What made a model (its kdasr.json) stands there without its settings
and checksums; a system that was never decoded has no hash, and is known by its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kdasr import shape
from kdasr.report import jsonl
from kdasr.report.collect import BLEU_SCORE, DECODED, MODEL, PERPLEXITY, SCORE, Scored, System, teacher_of
from kdasr.shape import COUNT, TEXT, Each, Maybe, Must

LEFT_OUT = ("settings", "command", "sha256")  # of kdasr.json and scores: of no use without the files that they name
REST = (COUNT,) * 8  # right n-grams (n 1 to 4) and n-grams of a sentence
SETS = {"sets": Must(Each(Each(COUNT)))}
ABOUT = {"about": Must({"title": Must(TEXT)} | dict.fromkeys(("notes", "commands", "environment"), Must([TEXT])))}
OF_SET = {
    **{"tag": Must(TEXT), "set": Must(TEXT), "decode": Must(DECODED), "wer": Must(SCORE), "cer": Must(SCORE)},
    **{"bleu": BLEU_SCORE, "rest": [Maybe(REST)]},
}
SYSTEM = {
    "name": Must(TEXT),
    "model": Must(TEXT),
    "info": Must(MODEL),
    "bytes": COUNT,
    "ppl": Must(Each(PERPLEXITY)),
    "scored": Must([OF_SET | {"errors": Must([Maybe(COUNT)])}]),
}
Sets = dict[str, dict[str, int]]  # by set: utterance -> reference words


@dataclass(frozen=True)
class About:
    """What stands around the tables."""

    title: str
    notes: list[str]
    commands: list[str]
    environment: list[str]


@dataclass
class File:
    """What a file holds."""

    systems: dict[str, System]  # by `_key`
    sets: Sets
    about: About | None


def read(path: str | Path) -> File:
    """What a file holds.

    Raises:
        UserError: it is absent, or a line is not what `append` writes; the line is named.
    """
    found = File({}, {}, None)
    for where, value in jsonl.read(path):
        kind = next((kind for key, kind in (("sets", SETS), ("about", ABOUT)) if key in value), SYSTEM)
        shape.check(value, kind, f"{where}: is no line of figures", jsonl.REMEDY)
        if kind is SETS:
            found.sets |= value["sets"]
        elif kind is ABOUT:
            found.about = About(**value["about"])
        else:
            try:
                system = _unpacked(value, found.sets)
            except (ValueError, KeyError):
                raise jsonl.wrong(where) from None
            if system.model:  # it may have been there before it was decoded
                found.systems.pop(f"name {system.name}", None)
            found.systems.pop(_key(system), None)  # so that the last measured stands last
            found.systems[_key(system)] = system
    return found


def merged(every: Sequence[System], path: str | Path) -> list[System]:
    """Systems, and those of the file that are other models.

    Of models of one name that which is at hand keeps it, or else the last in the file; the others are NAME@HASH.
    """
    here = {_key(one) for one in every}
    others = [one for key, one in read(path).systems.items() if key not in here]
    last = {one.name: one for one in (*others, *every)}
    return [*every, *(one if last[one.name] is one else _named(one) for one in others)]


def append(every: Sequence[System], path: str | Path, about: About) -> None:
    """Add what the file does not have, or has otherwise; `about` is added, too, unless it says nothing new."""
    there = read(path) if Path(path).exists() else File({}, {}, None)
    ordered = [_stored(_with_teacher(one, every)) for one in sorted(every, key=lambda one: one.name)]
    new = [one for one in ordered if there.systems.get(_key(one)) != one]
    lines = _sets_of(new, there.sets)
    for one in new:
        lines += _sets_of([one], there.sets)  # nothing, unless two have other references of one set
        lines.append(_packed(one, there.sets))
    if lines or there.about is None or replace(there.about, environment=about.environment) != about:
        lines.append({"about": asdict(about)})
    jsonl.append(path, lines)


def _key(system: System) -> str:
    return system.model or f"name {system.name}"


def _named(system: System) -> System:
    """A system under a name that no other has."""
    return replace(system, name=f"{system.name}@{system.model[:6]}") if system.model else system


def _stored(one: System) -> System:
    """A system as the file gives it back."""
    scored = {
        key: replace(item, wer=_less(item.wer), cer=_less(item.cer), bleu=_less(item.bleu), path=None)
        for key, item in one.scored.items()
    }
    return replace(one, info=_less(one.info), scored=scored, path=None)


def _with_teacher(one: System, every: Sequence[System]) -> System:
    """A system that says which model its teacher is, if that is at hand and was decoded."""
    teacher = teacher_of(one, list(every))
    if teacher in (None, one) or "teacher_model" in one.info or teacher.name != one.info.get("teacher"):
        return one
    return replace(one, info=one.info | {"teacher_model": teacher.model}) if teacher.model else one


def _sets_of(every: Sequence[System], known: Sets) -> list[dict[str, Any]]:
    """The line that says of utterances what is not known of them yet, if there is something; it is known then."""
    words: Sets = {}
    for one in every:
        for scored in one.scored.values():
            mine = {key: count for key, (_, count, *_) in scored.utterances.items()}
            words.setdefault(scored.set, dict(known.get(scored.set, {}))).update(mine)
    new = {name: dict(sorted(counts.items())) for name, counts in sorted(words.items()) if counts != known.get(name)}
    known |= new
    return [{"sets": new}] if new else []


def _packed(one: System, sets: Sets) -> dict[str, Any]:
    scored = []
    for item in one.scored.values():
        there = [item.utterances.get(key) for key in sets[item.set]]
        errors = [None if one is None else one[0] for one in there]
        told = {
            "tag": item.tag,
            "set": item.set,
            "decode": item.decode,
            "errors": errors if any(item.utterances) else [],
        }
        told |= {"wer": item.wer, "cer": item.cer}
        if item.bleu:
            rest = [None if one is None else one[2:] for one in there]
            told |= {"bleu": item.bleu, "rest": rest if item.utterances else []}
        scored.append(told)
    line = {"name": one.name, "model": one.model, "info": one.info, "bytes": one.bytes}
    return line | {"ppl": one.ppl, "scored": scored}


def _unpacked(value: dict[str, Any], sets: Sets) -> System:
    scored = {}
    for item in value["scored"]:
        errors = item["errors"]
        rest = item.get("rest") or [()] * len(errors)
        rows = zip(sets[item["set"]].items(), zip(errors, rest, strict=True), strict=bool(errors))
        utterances = {key: (wrong, words, *more) for (key, words), (wrong, more) in rows if wrong is not None}
        scores = item["wer"], item["cer"], utterances, None, item.get("bleu") or {}
        one = Scored(item["tag"], item["set"], item["decode"], *scores)
        scored[one.tag, one.set] = one
    return System(value["name"], value["info"], value.get("bytes"), scored, value["ppl"])


def _less(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in LEFT_OUT}
