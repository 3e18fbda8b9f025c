"""The data that the page's browser of utterances works on: references once, each system's words where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kdasr.report.alignments import Alignment, most_changed
from kdasr.report.collect import System, groups, label_of, measure_of, sets
from kdasr.report.compare import Key
from kdasr.report.translations import Translation

ROOM = 3_500_000  # bytes of the page for texts; beyond it, the utterances that changed least are left out

Texts = Mapping[tuple[str, Key], Mapping[str, Alignment | Translation]]  # by (system, (tag, set)), then by utterance


def gather(every: list[System], texts: Texts, room: int = ROOM) -> tuple[dict[str, Any], list[str]]:
    """What the page's script reads, and what there is to say of what it lacks.

    Returns:
        {"labels": [name], "systems": [{"name", "label": its number, "seed"}],
        "sets": [{"name", "ids", "refs": [text, null where none is known], "words": [number of them]}],
        "scored": [{"system", "set": numbers, "tag", "errors": [or null], "hyps": [packed], where texts are there}]}.
        Of translations there is also "measure", the name of their score; sets have "srcs", the sources that are known;
        and errors, there always, are what each lacks of 100 points.
    """
    kinds = groups(every)
    numbers = {kind: number for number, kind in enumerate(kinds)}
    data: dict[str, Any] = {
        "labels": [label_of(members) for members in kinds.values()],
        "systems": [{"name": one.name, "label": numbers[one.kind], "seed": one.info.get("seed")} for one in every],
        "sets": [],
        "scored": [],
    }
    measure = measure_of(every)
    if not measure.of_errors:
        data["measure"] = measure.name
    told: list[str] = []
    everything = {name: _of_set(every, name, texts, told) for name in sets(every)}
    whole = sum(sum(_sizes(one).values()) for one in everything.values())
    for name, found in everything.items():
        references, words, scored, sources = found
        ids = sorted(words)  # code points stand in the order of LC_ALL=C
        if not ids:
            continue
        if whole > room:
            ids = _fitting(found, room / whole)
            told.append(
                f"{name}: the {len(ids):,} of {len(words):,} utterances on which systems are furthest apart, "
                "as the page would else be too large."
            )
        refs = [" ".join(references[one]) if one in references else None for one in ids]
        data["sets"].append({"name": name, "ids": ids, "refs": refs, "words": [words[one] for one in ids]})
        if any(sources.values()):
            data["sets"][-1]["srcs"] = [sources.get(one, "") for one in ids]
        for system, tag, errors, hyps in scored:
            entry: dict[str, Any] = {"system": system, "set": len(data["sets"]) - 1, "tag": tag}
            if hyps is None or not measure.of_errors:
                entry["errors"] = [errors.get(one) for one in ids]
            if hyps is not None:
                entry["hyps"] = [hyps.get(one) for one in ids]
            data["scored"].append(entry)
    return data, told


Listed = tuple[int, str, dict[str, float], dict[str, str] | None]
Found = tuple[dict[str, tuple[str, ...]], dict[str, int], list[Listed], dict[str, str]]


def _of_set(every: Sequence[System], name: str, texts: Texts, told: list[str]) -> Found:
    """A set's references, its words by utterance, (system, tag, errors, packed texts) of who decoded it, sources."""
    references: dict[str, tuple[str, ...]] = {}
    words: dict[str, int] = {}
    scored: list[Listed] = []
    sources: dict[str, str] = {}
    for number, system in enumerate(every):
        for tag, where in sorted(system.scored):
            one = system.scored[tag, where]
            if where != name or not one.utterances:
                continue
            found = texts.get((system.name, (tag, name)), {})
            hyps = None
            if found:
                same = {key: line for key, line in found.items() if references.setdefault(key, line.ref) == line.ref}
                hyps = {key: line.packed for key, line in same.items()}
                sources |= {key: line.src for key, line in same.items() if isinstance(line, Translation)}
                if len(same) < len(found):
                    told.append(
                        f"{system.name}, {name} {tag}: {len(found) - len(same):,} utterances were scored on other "
                        "references than those of systems before it; they are not shown for it."
                    )
            words |= {key: count for key, (_, count, *_) in one.utterances.items()}
            scored.append((number, tag, {key: one.measure.cost(row) for key, row in one.utterances.items()}, hyps))
    return references, words, scored, sources


def _sizes(found: Found) -> dict[str, int]:
    """Bytes of the page that each utterance takes, about."""
    references, words, scored, sources = found
    texts = [hyps for *_, hyps in scored if hyps is not None]
    few = 10 + 2 * (len(scored) - len(texts))
    return {
        key: few
        + sum(
            _bytes(text) + 3
            for text in (key, " ".join(references.get(key, ())), *(one.get(key, "") for one in (*texts, sources)))
        )
        for key in words
    }


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _fitting(found: Found, part: float) -> list[str]:
    """The utterances that changed most and take no more than a part of the set's size, by name."""
    sizes = _sizes(found)
    room = part * sum(sizes.values())
    kept = []
    for key in most_changed([errors for _, _, errors, _ in found[2]], found[1]):
        room -= sizes[key]
        if room < 0:
            break
        kept.append(key)
    return sorted(kept)
