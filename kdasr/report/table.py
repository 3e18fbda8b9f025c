"""RESULTS.md: the systems of an `exp` directory as Markdown tables, ESPnet's among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kdasr.report.collect import System, is_pruned, measure_of, sets, tags
from kdasr.report.compare import (
    MODES,
    NONE,
    Against,
    Table,
    comparison,
    comparison_note,
    main_key,
    mode_table,
    ratio,
    seed_table,
    summary_note,
    summary_table,
)
from kdasr.report.markdown import block, cell, code, inert, paragraph, visible
from kdasr.report.pace import pace_of
from kdasr.score.measures import Measure
from kdasr.score.sclite import percent, rounded

LONGEST = 150  # lines of the file, about; what finds no room stands on the page and in the CSV beside it


def render(
    every: list[System],
    found: list[Against],
    title: str,
    notes: Sequence[str],
    environment: Sequence[str],
    commands: Sequence[str],
) -> str:
    """The Markdown file: the summary, as many details as LONGEST has room for, conditions and commands.

    Args:
        every: what `collect.systems` found.
        found: `compare.against_references` of them.
        title: heading.
        notes: paragraphs under it.
        environment: lines of the environment block.
        commands: what regenerates the file.
    """
    parts = [f"# {inert(title)}", *map(paragraph, notes)]
    summary = summary_table(every, found)
    if len(summary) > 1:
        parts += ["## Summary", markdown(summary), summary_note(measure_of(every))]
    ending = ["## Environment", "\n".join(f"- {line}" for line in environment), "## Commands", block(commands)]
    signed, left = legend(every), []
    for name, *forms in details(every, found):
        form = next((form for form in forms if _lines(*parts, *form, signed, LEFT_OUT, *ending) <= LONGEST), None)
        parts += form or []
        left += [] if form else [name]
    if left:
        parts.append(LEFT_OUT + "; ".join(left) + ".")
    where = parts.index("## Systems") + 2 if "## Systems" in parts else len(parts)
    parts.insert(where, signed)
    return "\n\n".join([*parts, *ending]) + "\n"


LEFT_OUT = "Too long for this file, and so on the page (`report.html`) and in the CSV alone: "


def details(every: list[System], found: list[Against]) -> list[tuple[str, *tuple[list[str], ...]]]:
    """(what it is, its parts in full, its parts of the main set and search alone if there are such) of each section."""
    sections: list[tuple[str, *tuple[list[str], ...]]] = [("systems", ["## Systems", markdown(main_table(every))])]
    seeds = seed_table(every)
    if len(seeds) > 1:
        sections.append(("seeds", ["## Seeds", markdown(seeds)]))
    for title, table, what in (
        ("Against the student on references", comparison(found), comparison_note(measure_of(every))),
        ("Beam, perplexity, mode", mode_table(every), MODES),
    ):
        if len(table) > 1:
            main = [row for row in table[1:] if (row[2], row[1]) == main_key(every)]
            forms = [[f"## {title}", markdown(rows), what] for rows in (table, [table[0], *main]) if len(rows) > 1]
            sections.append((title[0].lower() + title[1:], *forms))
    scores: list[str] = []
    for one in every:
        for kind, table in score_tables(one, measure_of(every)).items():
            if len(table) > 1:
                scores += [f"## {inert(one.name)}: {kind}", markdown(table)]
    whose = "of ESPnet" if measure_of(every).of_errors else "of scores"
    return [*sections, (f"each system's table {whose}", scores)] if scores else sections


def _lines(*parts: str) -> int:
    """How many lines parts take that stand apart."""
    return sum(part.count("\n") + 2 for part in parts) - 1


def main_table(every: list[System]) -> Table:
    """A row a model: size (and weights that are not zero, if any were pruned), scores, speed, training time."""
    measure, pace = measure_of(every), pace_of(every)
    keys = [(tag, name) for name in sets(every) for tag in tags(every)]
    pruned = any(map(is_pruned, every))
    head = ["system", "seed", "parameters", *(["non-zero"] if pruned else []), "of teacher", "MB"]
    for tag, name in keys:
        head += [f"{name} {tag} {measure.name}", *([f"{name} {tag} CER"] if measure.of_errors else [])]
    speeds = [(tag, False) for tag in tags(every)]
    on_gpus = {tag for one in every for (tag, _), scored in one.scored.items() if scored.on_gpu}
    speeds += [(tag, True) for tag in tags(every) if tag in on_gpus]
    table = [head + [f"{pace.title} {tag}" + (" GPU" if on_gpu else "") for tag, on_gpu in speeds] + ["training"]]
    for one in every:
        row = [one.label, _text(one.info.get("seed")), _text(one.info.get("parameters"), ",")]
        row += [_text(one.info.get("non_zero"), ",")] if pruned else []
        row.append(ratio(one, every))
        row.append(NONE if one.bytes is None else f"{one.bytes / 1e6:.1f}")
        for key in keys:
            scored = one.scored.get(key)
            row.append(_rate(scored.score if scored else {}, measure.key))
            row += [_plain_rate(scored.cer if scored else {}, "cer")] if measure.of_errors else []
        costs = [pace.cost(one, tag, on_gpu) for tag, on_gpu in speeds]
        row += [NONE if cost is None else pace.figure(cost, 3) for cost in costs]
        table.append([*row, duration(one.info.get("train_seconds"))])
    return table


def legend(every: list[System]) -> str:
    """What the columns mean, and the scores' signatures."""
    gpu = any(scored.on_gpu for one in every for scored in one.scored.values())
    measure, pace = measure_of(every), pace_of(every)
    texts = [
        f"{measure.legend}; in brackets the 95 % interval of a bootstrap over utterances. "
        f"{pace.legend}{f' ({pace.on_gpu})' if gpu else ''}. MB: 10^6 bytes of the averaged checkpoint on disk. "
        "Of teacher: parameters"
        f"{' that are not zero' if any(map(is_pruned, every)) else ''} / the teacher's."
    ]
    scores = [score for one in every for scored in one.scored.values() for score in scored.scores]
    texts += [f"Signature: {code(text)}" for text in sorted({s["signature"] for s in scores if s.get("signature")})]
    return "\n\n".join(texts)


def score_tables(system: System, measure: Measure) -> dict[str, Table]:
    """All that scores say of one system, by kind of score."""
    if measure.of_errors:
        return {kind.upper(): espnet_table(system, kind) for kind in ("wer", "cer")}
    return {measure.name: translation_table(system)}


def translation_table(system: System) -> Table:
    """What sacrebleu says of one system: precisions of n-grams in percent, brevity penalty, ratio of lengths."""
    table = [["dataset", "sentences", "BLEU", "1", "2", "3", "4", "penalty", "ratio", "chrF2", "TER"]]
    for tag, name in sorted(system.scored):
        score = system.scored[tag, name].bleu
        if score:
            counts = score["counts"]
            row = [f"decode_{tag}/{name}", str(counts["sentences"]), f"{score['bleu']:.2f}"]
            row += [f"{one:.1f}" for one in score["precisions"]]
            row += [f"{score['brevity_penalty']:.3f}", f"{counts['sys_len'] / max(1, counts['ref_len']):.3f}"]
            table.append([*row, f"{score['chrf']:.2f}", f"{score['ter']:.2f}"])
    return table


def espnet_table(system: System, kind: str) -> Table:
    """ESPnet's table of one system; kind is wer or cer. Figures are those of sclite's Sum/Avg line."""
    table = [["dataset", "Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err", "S.Err"]]
    for tag, name in sorted(system.scored):
        scored = system.scored[tag, name]
        counts = (scored.wer if kind == "wer" else scored.cer).get("counts")
        if not counts:
            continue
        values = [percent(counts[key], counts["words"]) for key in ("cor", "sub", "del", "ins", "errors")]
        values.append(percent(counts["wrong_sentences"], counts["sentences"]))
        row = [f"decode_{tag}/{name}", str(counts["sentences"]), str(counts["words"])]
        table.append(row + [f"{rounded(value, 1):.1f}" for value in values])
    return table


def markdown(table: Table) -> str:
    """A table in Markdown, figures to the right."""
    rows = [list(map(cell, row)) for row in table]
    rule = ["---"] + ["---:" if figures_in(table, column) else "---" for column in range(1, len(table[0]))]
    return "\n".join("|" + "|".join(row) + "|" for row in [rows[0], rule, *rows[1:]])


def plain(table: Table) -> str:
    """A table as aligned text."""
    rows = [list(map(visible, row)) for row in table]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return NONE
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def figures_in(table: Table, column: int) -> bool:
    """Whether all cells of a column begin as numbers do."""
    return len(table) > 1 and all(row[column][:1] in "0123456789+-" for row in table[1:])


def _text(value: Any, form: str = "") -> str:
    return NONE if value is None else format(value, form)


def _rate(score: dict[str, Any], key: str) -> str:
    if score.get(key) is None or not score.get("interval95"):
        return _plain_rate(score, key)
    return f"{score[key]:.2f} [{score['interval95'][0]:.2f}, {score['interval95'][1]:.2f}]"


def _plain_rate(score: dict[str, Any], key: str) -> str:
    return NONE if score.get(key) is None else f"{score[key]:.2f}"
