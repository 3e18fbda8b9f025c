#!/usr/bin/env python3
"""Kim and Rush (2016) beside what was measured here: their Tables 1 to 3, and ways beyond the paper, as Markdown.

    local/paper.py --figures figures.jsonl --set test_2016_flickr --out RESULTS.md

Their figures are of WMT14, English to German: a teacher of 4 x 1000 LSTM cells, a student of 2 x 500. A row here is the
mean over seeds, with the standard deviation where there are several.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from kdasr.errors import script_status
from kdasr.files import atomic_write
from kdasr.report import figures
from kdasr.report.collect import System
from kdasr.score.intervals import seeds_apart

TEACHER = "teacher"
GREEDY, BEAM, PPL, MODE = "greedy", "beam", "ppl", "mode"


class Theirs(NamedTuple):
    """A row of their Table 1."""

    greedy: float
    beam: float
    ppl: float
    mode: float  # percent


# recipe here -> what they call it, and their row; in the order of their table
TABLE_1 = {
    TEACHER: ("teacher, base", Theirs(17.7, 19.5, 6.7, 1.3)),
    "teacher_inter": ("teacher, base + Seq-Inter", Theirs(19.6, 19.8, 10.4, 8.2)),
    "refs": ("student, base", Theirs(14.7, 17.6, 8.2, 0.9)),
    "word": ("Word-KD", Theirs(15.4, 17.7, 8.0, 1.0)),
    "seq_k1_b5": ("Seq-KD", Theirs(18.9, 19.0, 22.7, 16.9)),
    "inter": ("base + Seq-Inter", Theirs(18.5, 18.7, 11.3, 5.7)),
    "word_inter": ("Word-KD + Seq-Inter", Theirs(18.3, 18.5, 11.8, 6.3)),
    "seq_inter": ("Seq-KD + Seq-Inter", Theirs(18.9, 19.3, 15.8, 7.6)),
    "word_seq": ("Seq-KD + Word-KD", Theirs(18.7, 18.9, 10.9, 4.1)),
    "all_three": ("Seq-KD + Seq-Inter + Word-KD", Theirs(18.8, 19.2, 14.8, 7.1)),
    "refs_fine_tune": ("control: base, trained further", None),
}


class Claim(NamedTuple):
    """Something that the paper says: one figure is above another."""

    said: str
    above: tuple[str, str]  # recipe, and which of its figures
    below: tuple[str, str]
    theirs: float  # the difference in the paper


CLAIMS = (
    Claim("Word-KD is better than the base student, greedy", ("word", GREEDY), ("refs", GREEDY), 0.7),
    Claim("Seq-KD is better than the base student, greedy", ("seq_k1_b5", GREEDY), ("refs", GREEDY), 4.2),
    Claim("... and with a beam", ("seq_k1_b5", BEAM), ("refs", BEAM), 1.4),
    Claim("Seq-KD is better than Word-KD, greedy", ("seq_k1_b5", GREEDY), ("word", GREEDY), 3.5),
    Claim("Seq-KD greedy is better than the base student with a beam", ("seq_k1_b5", GREEDY), ("refs", BEAM), 1.3),
    Claim("Seq-Inter helps the base student, greedy", ("inter", GREEDY), ("refs_fine_tune", GREEDY), 3.8),
    Claim("Seq-Inter helps the teacher, greedy", ("teacher_inter", GREEDY), (TEACHER, GREEDY), 1.9),
    Claim("Seq-Inter helps Seq-KD, beam", ("seq_inter", BEAM), ("seq_k1_b5", BEAM), 0.3),
    Claim("Word-KD helps Seq-KD, beam", ("word_seq", BEAM), ("seq_k1_b5", BEAM), -0.1),
    Claim("Seq-KD has more probability in its best translation", ("seq_k1_b5", MODE), ("refs", MODE), 16.0),
    Claim("... and a larger perplexity", ("seq_k1_b5", PPL), ("refs", PPL), 14.5),
)
# Table 2, words a second on a CPU: greedy, beam of 5
TABLE_2 = {TEACHER: (15.0, 7.9), "refs": (63.6, 22.1), "seq_k1_b5": None}
# Table 3: percent of the weights that are zero -> BLEU with a beam, and how many times smaller than the teacher
TABLE_3 = {0: (19.3, 3), 50: (19.3, 5), 80: (19.1, 13), 85: (18.8, 18), 90: (18.5, 26)}
WHOLE = "seq_inter"  # what pruned students are compared with: trained as they are, but for the pruning


class Pruned(NamedTuple):
    """A row of Table 3 that the paper has not."""

    recipe: str
    label: str
    whole: str  # the recipe that it is compared with


OTHER_PRUNED = (
    Pruned("prune80_steps", "80 %, of which 50 % were pruned first", WHOLE),
    *(
        Pruned(f"prune{percent}_teacher{retrained}", f"the teacher, {percent} %{how}", TEACHER)
        for percent in (50, 80)
        for retrained, how in (("", ", retrained by Seq-KD"), ("_word", ", retrained by Word-KD"))
    ),
)


class Beyond(NamedTuple):
    """A way that the paper has not, and the way that it is compared with, which has as many updates."""

    recipe: str
    label: str
    control: str


BEYOND = (
    Beyond("nbest", "five hypotheses by posterior", "seq_k1_b5"),
    Beyond("pseudo_k1", "references, and Seq-KD of untranslated captions", "seq_k1_b5"),
    Beyond("seq_all", "Seq-KD, of untranslated captions, too", "seq_k1_b5"),
    Beyond("ensemble", "Word-KD of three teachers", "word"),
    Beyond("seq_risk", "Seq-KD + own BLEU", "seq_inter"),
)


def main() -> None:
    """Read the figures and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, required=True, metavar="FILE", help="written by kdasr report")
    parser.add_argument("--set", required=True, metavar="SET", help="the test set")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the page")
    args = parser.parse_args()
    found = figures.read(args.figures)
    text = page(list(found.systems.values()), args.set, sum(found.sets.get(args.set, {}).values()))
    with atomic_write(args.out) as stream:
        stream.write(text)


def page(systems: Sequence[System], name: str, words: int) -> str:
    """The three tables.

    Args:
        systems: all that were measured.
        name: the test set.
        words: of its references.
    """
    groups: dict[tuple[str, str], list[System]] = {}  # network, recipe
    for one in systems:
        groups.setdefault((one.network, TEACHER if one.is_teacher else one.recipe), []).append(one)
    networks = list(dict.fromkeys(network for network, _ in groups))
    of = {network: {recipe: many for (here, recipe), many in groups.items() if here == network} for network in networks}
    for network in networks:
        of[network].setdefault(TEACHER, groups.get(("", TEACHER), []))
    parts = ["# Translation: Kim and Rush (2016) beside ours\n"]
    for network in networks:
        title = f", network {network}" if network else ""
        parts += [table_1(of[network], name, title), claims(of[network], name, title)]
        parts += [table_2(of[network], name, words, title)]
        parts += [table_3(of[network], name, title)] if any("prune" in recipe for recipe in of[network]) else []
        parts += [beyond(of[network], name, title)] if any(one.recipe in of[network] for one in BEYOND) else []
    command = f"local/paper.py --figures figures.jsonl --set {name} --out RESULTS.md"
    parts.append(f"## Command\n\n```\n{command}\n```\n")
    return "\n".join(parts)


def table_1(rows: dict[str, list[System]], name: str, title: str) -> str:
    """BLEU, perplexity, and the probability of the best translation."""
    lines = [f"## Table 1{title}: {name}\n"]
    heads = [head for one in ("greedy", "beam 5", "PPL", "p(t = ŷ) %") for head in (one, f"their {one}")]
    lines += ["|".join(["", "system", "seeds", "parameters", *heads, ""])]
    lines += ["|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for recipe, (label, theirs) in TABLE_1.items():
        if many := rows.get(recipe):
            cells = [spread(measured(many, name, which), 1) for which in (GREEDY, BEAM, PPL, MODE)]
            beside = [f"{figure:g}" for figure in theirs] if theirs else ["-"] * 4
            size = f"{many[0].info['parameters']:,}"
            both = [cell for pair in zip(cells, beside, strict=True) for cell in pair]
            lines.append("|".join(["", label, str(len(many)), size, *both, ""]))
    return "\n".join([*lines, ""])


def claims(rows: dict[str, list[System]], name: str, title: str) -> str:
    """What the paper says, and whether it is so here: by Welch's interval of the difference of means over seeds."""
    lines = [f"## Claims{title}: {name}\n"]
    lines += ["|the paper says|theirs|ours|95 % interval|here|", "|---|---:|---:|---|---|"]
    for one in CLAIMS:
        above, below = (measured(rows.get(recipe, []), name, which) for recipe, which in (one.above, one.below))
        if not above or not below:
            continue
        difference = statistics.fmean(above) - statistics.fmean(below)
        interval = seeds_apart(below, above)
        verdict = "one seed" if interval is None else "not seen"
        if interval and (interval[0] > 0 or interval[1] < 0):
            verdict = "confirmed" if interval[0] > 0 else "refuted"
        span = f"{interval[0]:+.1f} to {interval[1]:+.1f}" if interval else "-"
        lines.append(f"|{one.said}|{one.theirs:+.1f}|{difference:+.1f}|{span}|{verdict}|")
    return "\n".join([*lines, ""])


def table_2(rows: dict[str, list[System]], name: str, words: int, title: str) -> str:
    """Reference words translated in a CPU second."""
    lines = [f"## Table 2{title}: words of the reference, and signs, a CPU second, one core\n"]
    lines += ["|system|greedy|their greedy|beam 5|their beam 5|", "|---|---:|---:|---:|---:|"]
    for recipe, theirs in TABLE_2.items():
        if many := rows.get(recipe):
            tags = (GREEDY, BEAM)
            pace = [values(many, tag, name, lambda one: words / one.decode["cpu_seconds"]) for tag in tags]
            beside = [f"{figure:g}" for figure in theirs] if theirs else ["-", "-"]
            both = [cell for pair in zip([spread(one, 0) for one in pace], beside, strict=True) for cell in pair]
            lines.append("|".join(["", TABLE_1[recipe][0], *both, ""]))
    return "\n".join([*lines, ""])


def table_3(rows: dict[str, list[System]], name: str, title: str) -> str:
    """Pruned students: `pruneN` of utils/students, and the students that they began as. Then what the paper has not."""
    lines = [f"## Table 3{title}: {name}, beam 5\n"]
    lines += ["|weights that are zero|seeds|weights left|of the teacher's|BLEU|less by|theirs|their teacher / student|"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|---:|"]
    teacher = rows[TEACHER][0].info["parameters"] if rows.get(TEACHER) else 0
    for percent, (theirs, smaller) in TABLE_3.items():
        if many := rows.get(f"prune{percent}" if percent else WHOLE):
            cells = [f"{percent} %", *pruned(many, rows.get(WHOLE, []) if percent else [], teacher, name)]
            lines.append("|".join(["", *cells, f"{theirs:g}", f"{smaller}", ""]))
    for one in OTHER_PRUNED:
        if many := rows.get(one.recipe):
            cells = [one.label, *pruned(many, rows.get(one.whole, []), teacher, name)]
            lines.append("|".join(["", *cells, "-", "-", ""]))
    return "\n".join([*lines, ""])


def pruned(many: Sequence[System], whole: Sequence[System], teacher: int, name: str) -> list[str]:
    """Seeds, weights left, their share of the teacher's, BLEU with a beam, and how much less than that of the whole."""
    left = many[0].info.get("non_zero") or many[0].info["parameters"]
    share = f"1/{teacher / left:.0f}" if teacher else "-"
    before = {one.info["seed"]: one for one in whole}
    pairs = [(before[one.info["seed"]], one) for one in many if one.info["seed"] in before]
    lost = [unpruned - now for pair in pairs for unpruned, now in [measured(pair, name, BEAM)]]
    return [str(len(many)), f"{left:,}", share, spread(measured(many, name, BEAM), 1), spread(lost, 1)]


def beyond(rows: dict[str, list[System]], name: str, title: str) -> str:
    """Ways beyond the paper, each against one of the paper's with as many updates, by Welch's interval over seeds."""
    lines = [f"## Beyond the paper{title}: {name}\n"]
    lines += ["|system|seeds|greedy|beam 5|against|greedy: more by|beam 5: more by|"]
    lines += ["|---|---:|---:|---:|---|---|---|"]
    for one in BEYOND:
        many, control = rows.get(one.recipe), rows.get(one.control)
        if many and control:
            scores = [spread(measured(many, name, which), 1) for which in (GREEDY, BEAM)]
            more = [gain(measured(many, name, which), measured(control, name, which)) for which in (GREEDY, BEAM)]
            lines.append("|".join(["", one.label, str(len(many)), *scores, TABLE_1[one.control][0], *more, ""]))
    return "\n".join([*lines, ""])


def gain(above: Sequence[float], below: Sequence[float]) -> str:
    """The difference of two means over seeds, and its interval where both have several."""
    interval = seeds_apart(below, above)
    span = f" [{interval[0]:+.1f}, {interval[1]:+.1f}]" if interval else ""
    return f"{round(statistics.fmean(above) - statistics.fmean(below), 1) + 0.0:+.1f}{span}"


def values(many: Sequence[System], tag: str, name: str, of: Callable[..., float]) -> list[float]:
    """Something of each system that was decoded so."""
    return [of(one.scored[tag, name]) for one in many if (tag, name) in one.scored]


def measured(many: Sequence[System], name: str, which: str) -> list[float]:
    """A figure of each system: BLEU of a search, perplexity, or the probability of its best translation in percent."""
    if which == PPL:
        return [one.ppl[name]["ppl"] for one in many if name in one.ppl]
    if which == MODE:
        return values(many, BEAM, name, lambda one: 100 * one.decode["mode_probability"])
    return values(many, which, name, lambda one: one.rate)


def spread(numbers: Sequence[float], digits: int) -> str:
    """The mean, and the standard deviation of several."""
    if not numbers:
        return "-"
    mean = f"{round(statistics.fmean(numbers), digits) + 0.0:,.{digits}f}"  # never -0.0
    return mean if len(numbers) == 1 else f"{mean} ± {statistics.stdev(numbers):,.{digits}f}"


if __name__ == "__main__":
    sys.exit(script_status(main, Path(__file__).name))
