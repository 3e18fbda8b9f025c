"""The page: one HTML file that needs no network, with pictures, tables, and a browser of utterances."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdasr import __version__
from kdasr.report import alignments, audio, browser, curves, hypotheses, plots, translations
from kdasr.report.alignments import Alignment
from kdasr.report.collect import System, groups, label_of, measure_of, tags
from kdasr.report.compare import (
    MODES,
    NONE,
    Against,
    Key,
    Table,
    base_of,
    comparison,
    comparison_note,
    main_key,
    mode_table,
    seed_rates,
    weights,
)
from kdasr.report.headline import best_student, headline, mean
from kdasr.report.overview import overview
from kdasr.report.pace import pace_of
from kdasr.report.svg import colour, glyph, themed
from kdasr.report.table import figures_in, score_tables
from kdasr.score.intervals import over_seeds
from kdasr.score.matched import matched_pairs

HERE = Path(__file__).parent
MATCHED = (
    " Matched pairs: p of NIST's test over stretches of speech in which one of the two errs (Gillick and Cox 1989), "
    "for each seed that both have."
)


@dataclass(frozen=True)
class About:
    """What surrounds the figures, and where more than figures is to be found."""

    title: str
    notes: Sequence[str]
    environment: Sequence[str]
    commands: Sequence[str]
    exp: str | None = None  # directory of models
    audio: Sequence[str] = field(default=())  # data directories
    audio_mb: float = 2.0


def read_texts(every: list[System]) -> browser.Texts:
    """The alignments, or translations, of all systems whose texts are there."""
    return {
        (one.name, key): lines
        for one in every
        for key, scored in one.scored.items()
        if (lines := (alignments if scored.measure.of_errors else translations).read(scored))
    }


def render(every: list[System], found: list[Against], texts: browser.Texts, about: About) -> bytes:
    """The page.

    Args:
        every: what `collect.systems` found.
        found: `compare.against_references` of them.
        texts: `read_texts` of them.
        about: the rest.

    Raises:
        UserError: a file that a stage has left is damaged, or the audio cannot be read.
    """
    import jinja2

    main, measure, pace = main_key(every), measure_of(every), pace_of(every)
    nbest = _nbest(
        about.exp, measure.of_errors
    )  # before any picture is drawn in vain, as it reads files that may be damaged
    data, told = browser.gather(every, texts)
    keys = sorted({key for one in every for key in one.scored}, key=lambda key: (key[1], key[0] != "greedy", key[0]))
    data["keys"] = [{"tag": tag, "set": name} for tag, name in keys]
    data["first"] = _first(every, texts, main, data)
    clips = _clips(every, data, main, about)
    data["audio"] = clips.uris
    columns, rows = overview(every, found)
    names = [label_of(members) for members in groups(every).values()]
    sizes, speeds = _sizes(every, keys), _speeds(every, keys)
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    page = environment.get_template("report.html.j2").render(
        about=about,
        version=__version__,
        style=style,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        headline=headline(every, found),
        keys=keys,
        main=main,
        columns=columns,
        rows=rows,
        names=names,
        glyphs=[glyph(number) for number in range(len(names))],
        colours=[themed(colour(number)) for number in range(len(names))],
        sizes=sizes,
        speeds=speeds,
        against=_with_matched_pairs(every, found, texts),
        comparison_note=comparison_note(measure) + (MATCHED if texts and measure.of_errors else ""),
        measure=measure,
        pace=pace,
        modes=mode_table(every),
        modes_note=MODES,
        curves=_curves(every),
        nbest=nbest,
        scores=_scores(every),
        data=data,
        told=[*told, *([clips.told] if clips.told else [])],
        numeric=figures_in,
    )
    return page.encode("utf-8", "replace")  # a lone surrogate in a label cannot be written


def _first(every: list[System], texts: browser.Texts, main: Key | None, data: dict[str, Any]) -> dict[str, Any]:
    """What the browser begins with: the main set and search, teacher against the best student."""
    if main is None:
        return {}
    names = [one["name"] for one in data["sets"]]
    there = [one for one in every if main in one.scored and one.scored[main].utterances]
    best = [one for one in best_student(every, main) if one in there]
    best = [one for one in best if (one.name, main) in texts] or best
    teachers = [one for one in there if one.is_teacher]
    pair = (teachers or there)[:1] + (best or there[1:] or there)[:1]
    if len(pair) < 2 or main[1] not in names:
        return {}
    return {"set": names.index(main[1]), "tag": main[0], "a": every.index(pair[0]), "b": every.index(pair[1])}


def _clips(every: list[System], data: dict[str, Any], main: Key | None, about: About) -> audio.Clips:
    """Audio of the utterances that changed most between the two systems that the browser begins with."""
    if not about.audio or not data["first"] or main is None:
        return audio.Clips()
    pair = [every[data["first"][side]] for side in "ab"]
    wanted: list[str] = []
    for one in sorted(data["sets"], key=lambda one: one["name"] != main[1]):
        counts = [system.scored.get((main[0], one["name"])) for system in pair]
        errors = [
            {key: scored.measure.cost(row) for key, row in scored.utterances.items()} for scored in counts if scored
        ]
        wanted += alignments.most_changed(errors, one["ids"])
    return audio.clips(wanted, audio.sources(about.audio), about.audio_mb * 1e6)


def _sizes(every: list[System], keys: Sequence[Key]) -> list[tuple[int, str]]:
    """(number of the key, picture of size against score)."""
    measure, pictures = measure_of(every), []
    for place, key in enumerate(keys):
        points = []
        for number, members in enumerate(groups(every).values()):
            size, rate = weights(members[0]), mean(members, key)
            if size and rate is not None:
                sd = over_seeds([one for _, one in seed_rates(members, key)]).sd
                told = f"{label_of(members)}: {size:,} parameters, {measure.name} {measure.figure(rate)}"
                points.append(plots.Point(number, size, rate, told, sd))
        if points:
            up = measure.axis(f"{key[1]}, {key[0]}")
            high = measure.higher_is_better
            pictures.append((place, plots.costs(points, "parameters", up, f"size{place}-", high)))
    return pictures


def _speeds(every: list[System], keys: Sequence[Key]) -> list[tuple[list[int], str]]:
    """(numbers of the keys of a set, picture of CPU time, or a GPU's, against score on it)."""
    measure, pace, pictures = measure_of(every), pace_of(every), []
    for name in sorted({name for _, name in keys}):
        for on_gpu in (False, True):
            points = []
            for number, members in enumerate(groups(every).values()):
                for tag in tags(members):
                    factors = [pace.cost(one, tag, on_gpu, name) for one in members]
                    factors = [one for one in factors if one]
                    rate = mean(members, (tag, name))
                    if factors and rate is not None:
                        factor = sum(factors) / len(factors)
                        told = f"{label_of(members)}, {tag}: {pace.title} {pace.figure(factor, 4)}, "
                        told += f"{measure.name} {measure.figure(rate)}"
                        x = pace.many * factor
                        points.append(plots.Point(number, x, rate, told, None, tag == "greedy", tag))
            if points:
                across = f"seconds {'of a GPU' if on_gpu else 'of CPU'} {pace.per_axis}"
                prefix = f"speed{len(pictures)}-"
                places = [place for place, key in enumerate(keys) if key[1] == name]
                up, high = measure.axis(name), measure.higher_is_better
                pictures.append((places, plots.costs(points, across, up, prefix, high)))
    return pictures


def _curves(every: list[System]) -> list[tuple[str, str, str]]:
    """(title, what it is, picture)."""
    kinds = list(groups(every))
    read = [(one, curves.read(one.path)) for one in every if one.path is not None]
    pictures = []
    for place, (key, (title, what)) in enumerate(curves.SHOWN.items()):
        lines = [
            plots.Line(kinds.index(one.kind), curve.points[key], f"{one.label}, seed {one.seed}")
            for one, curve in read
            if curve.points.get(key)
        ]
        if lines:
            pictures.append((title, what, plots.curves(lines, "updates", title, f"curve{place}-")))
    return pictures


def _with_matched_pairs(every: list[System], found: list[Against], texts: browser.Texts) -> Table:
    """The comparison with the student on references, with the matched-pairs test where texts are there."""
    table = comparison(found)
    aligned = {
        key: {name: line for name, line in lines.items() if isinstance(line, Alignment)} for key, lines in texts.items()
    }
    if not any(aligned.values()):
        return table
    kinds = groups([one for one in every if not one.is_teacher])
    table[0].append("matched pairs, p by seed")
    for row, one in zip(table[1:], found, strict=True):
        key = one.tag, one.set
        mine = {system.info.get("seed"): aligned.get((system.name, key)) for system in kinds[one.kind]}
        values = []
        for system in base_of(every, kinds[one.kind]):
            theirs, other = aligned.get((system.name, key)), mine.get(system.info.get("seed"))
            if theirs and other and {k: v.ref for k, v in theirs.items()} == {k: v.ref for k, v in other.items()}:
                result = matched_pairs([v.operations for v in theirs.values()], [other[k].operations for k in theirs])
                values.append(f"{system.seed}: {result.p:.4f}")
        row.append(", ".join(values) or NONE)
    return table


def _nbest(exp: str | None, words: bool = True) -> dict[str, Any]:
    """Tables of archives and of targets, and the picture of what lists hold; words: with word error rates."""
    archives, targets = (hypotheses.archives(exp), hypotheses.targets(exp)) if exp else ([], [])
    of_archives = [["archive", "teacher", "beam", "utterances", "hypotheses", "merged duplicates", "empty",
                    "WER of the best", "oracle WER", "remark"]]  # fmt: skip
    lines = []
    for place, one in enumerate(archives):
        letter = chr(ord("A") + place % 26)
        row = [f"{letter}: {one.name}", one.model, str(one.beam)]
        row += [NONE if one.summary.get(key) is None else f"{one.summary[key]:,}"
                for key in ("utterances", "hypotheses", "duplicates", "empty")]  # fmt: skip
        wers = one.words["wer"] if one.words else []
        row += [f"{wers[0]:.2f}", f"{wers[-1]:.2f} of {len(wers)}"] if wers else [NONE, NONE]
        of_archives.append([*row, one.why])
        if len(wers) > 1:
            told = f"{letter}: {one.model}, {one.name}"
            lines.append(plots.Line(place, list(enumerate(wers, 1)), told, letter))
    of_targets = [["targets", "teacher", "selection", "utterances", "hypotheses read", "targets", "left out",
                   "of low weight", "mean best weight", "WER of the teacher's best", "of the targets"]]  # fmt: skip
    warnings = []
    for one in targets:
        summary, settings = one.summary, one.settings
        measured = summary.get("measured") or {}
        dropped = ", ".join(f"{count} {reason}" for reason, count in sorted((summary.get("dropped") or {}).items()))
        of_targets.append(
            [one.name, one.model, f"{settings.get('select', NONE)}, {settings.get('k', NONE)} best"]
            + [
                NONE if summary.get(key) is None else f"{summary[key]:,}"
                for key in ("utterances", "hypotheses_read", "targets")
            ]
            + [dropped or "none", str(summary.get("of_low_weight", NONE)), str(summary.get("mean_best_weight", NONE))]
            + [NONE if measured.get(key) is None else f"{measured[key]:.2f}" for key in ("wer_1best", "wer_targets")]
        )
        if summary.get("warning"):
            warnings.append(f"{one.name}: {summary['warning']}")
    nearest = "hypotheses looked at (k)", "WER of the nearest (%)", "oracle-", True
    picture = plots.curves(lines, *nearest) if lines and words else ""
    if not words:
        of_archives, of_targets = _without_words(of_archives), _without_words(of_targets)
    return {"archives": of_archives, "targets": of_targets, "picture": picture, "warnings": warnings}


def _without_words(table: Table) -> Table:
    """A table of hypotheses without the columns of word error rates, which say little of translations."""
    kept = [place for place, title in enumerate(table[0]) if "WER" not in title and title != "of the targets"]
    return [[row[place] for place in kept] for row in table]


def _scores(every: list[System]) -> dict[str, Table]:
    """The scores' tables of all systems in one, with the signature beside each score."""
    measure, tables = measure_of(every), {}
    for one in every:
        for kind, (head, *rows) in score_tables(one, measure).items():
            more = ["jiwer"] if measure.of_errors else []
            table = tables.setdefault(kind, [["system", *head, *more, "signature"]])
            scores = [getattr(one.scored[key], kind.lower()) for key in sorted(one.scored)]
            for row, score in zip(rows, (score for score in scores if score.get("counts")), strict=True):
                jiwer = score.get("jiwer")
                more = [NONE if jiwer is None else f"{jiwer:.1f}"] if measure.of_errors else []
                table.append([one.name, *row, *more, score.get("signature", NONE)])
    return tables
