"""`kdasr report`: the systems of an `exp` directory as one Markdown file: how small, how fast, how good."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from kdasr.files import atomic_write
from kdasr.report.collect import Scored, System, on_references, sets, sets_of_modes, systems, tags, teacher_of
from kdasr.score.intervals import Paired, over_seeds, paired, seeds_apart
from kdasr.score.sclite import percent, rounded

EXAMPLES = """examples:
  # every model of exp, with its decoded and scored sets
  kdasr report --exp exp --out RESULTS.md
  # with a caution under the title, and the command that makes it all
  kdasr report --exp exp --out RESULTS.md --note 'embedded corpus: says nothing about WSJ' --command './run.sh'
"""
NONE = "-"
COMPARISON = (
    "Differences in points of WER, negative where the system is better. The interval is a paired bootstrap over "
    "utterances (10,000 resamples, errors averaged over seeds); with two seeds or more on each side the difference "
    "must also exceed the spread over seeds (Welch's 95 % interval) to count as beyond noise. With one seed it is "
    "said of these very networks, not of the method. Gap closed: (student on references - system) / (student on "
    "references - teacher), its interval over seeds (with one seed, the bootstrap's); Mun'im et al. 2018 report 0.48."
)
MODES = (
    "Does it need a beam (Kim and Rush 2016, Table 1)? PPL: perplexity a token of the attention decoder on the "
    "references. p(t = ŷ): the probability in percent that it gives to its own best hypothesis of that search, mean "
    "over utterances. With several seeds: mean ± standard deviation."
)
PACKAGES = "torch", "espnet", "numpy"

Table = list[list[str]]  # the first row is the header


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr report`."""
    parser.add_argument("--exp", required=True, help="directory of model directories, each with a kdasr.json")
    parser.add_argument("--out", required=True, help="Markdown file to write")
    parser.add_argument("--title", default="RESULTS", help="heading of the file (default RESULTS)")
    parser.add_argument("--note", action="append", default=[], help="text under the title; may be given several times")
    parser.add_argument("--command", action="append", default=[], help="command line that regenerates the results")


def run(args: argparse.Namespace) -> None:
    """Write the file and print its main table."""
    every = systems(args.exp)
    again = shlex.join(["kdasr", "report", "--exp", args.exp, "--out", args.out])
    # A recipe's command makes everything; without one, each score's own is named.
    text = render(every, args.title, args.note, environment(), [*(args.command or recorded_commands(every)), again])
    with atomic_write(args.out) as stream:
        stream.write(text)
    print(plain(main_table(every)))
    print(f"{args.out}: written", file=sys.stderr)


def render(
    every: list[System], title: str, notes: Sequence[str], environment: Sequence[str], commands: Sequence[str]
) -> str:
    """The Markdown file.

    Args:
        every: what `collect.systems` found.
        title: heading.
        notes: paragraphs under it.
        environment: lines of the environment block.
        commands: what regenerates the file.
    """
    parts = [f"# {title}", *notes, "## Systems", markdown(main_table(every)), legend(every)]
    seeds, against = seed_table(every), comparison(every)
    if len(seeds) > 1:
        parts += ["## Seeds", markdown(seeds)]
    if len(against) > 1:
        parts += ["## Against the student on references", markdown(against), COMPARISON]
    modes = mode_table(every)
    if len(modes) > 1:
        parts += ["## Beam, perplexity, mode", markdown(modes), MODES]
    for one in every:
        for kind in ("wer", "cer"):
            table = espnet_table(one, kind)
            if len(table) > 1:
                parts += [f"## {one.name}: {kind.upper()}", markdown(table)]
    parts += ["## Environment", "\n".join(f"- {line}" for line in environment)]
    parts += ["## Commands", "```\n" + "\n".join(commands) + "\n```"]
    return "\n\n".join(parts) + "\n"


def main_table(every: list[System]) -> Table:
    """A row a model: size (and weights that are not zero, if any were pruned), error rates, speed, training time."""
    keys = [(tag, name) for name in sets(every) for tag in tags(every)]
    pruned = any("non_zero" in one.info for one in every)
    head = ["system", "seed", "parameters", *(["non-zero"] if pruned else []), "of teacher", "MB"]
    for tag, name in keys:
        head += [f"{name} {tag} WER", f"{name} {tag} CER"]
    table = [head + [f"RTF {tag}" for tag in tags(every)] + ["training"]]
    for one in every:
        row = [one.label, _text(one.info.get("seed")), _text(one.info.get("parameters"), ",")]
        row += [_text(one.info.get("non_zero"), ",")] if pruned else []
        row.append(_ratio(one, every))
        row.append(NONE if one.bytes is None else f"{one.bytes / 1e6:.1f}")
        for key in keys:
            scored = one.scored.get(key)
            row += [_rate(scored.wer if scored else {}, "wer"), _plain_rate(scored.cer if scored else {}, "cer")]
        row += [_real_time_factor(one, tag) for tag in tags(every)]
        table.append([*row, duration(one.info.get("train_seconds"))])
    return table


def legend(every: list[System]) -> str:
    """What the columns mean, and the scores' signatures."""
    texts = [
        "WER and CER in percent, sclite's alignment; in brackets the 95 % interval of a bootstrap over utterances. "
        "RTF: CPU seconds of decoding / seconds of audio. MB: 10^6 bytes of the averaged checkpoint on disk. "
        "Of teacher: parameters / the teacher's."
    ]
    scores = [score for one in every for scored in one.scored.values() for score in (scored.wer, scored.cer)]
    texts += [f"Signature: `{text}`" for text in sorted({s["signature"] for s in scores if s.get("signature")})]
    return "\n\n".join(texts)


def seed_table(every: list[System]) -> Table:
    """A row for each label that has several seeds and each set and tag: mean, deviation, every seed's WER."""
    table = [["system", "set", "tag", "WER mean ± sd", "95 % interval of the mean", "seeds"]]
    for label, members in _labels(every).items():
        if len({one.info.get("seed") for one in members}) < 2:
            continue
        for name in sets(members):
            for tag in tags(members):
                rates = _seed_rates(members, (tag, name))
                if not rates:
                    continue
                spread = over_seeds([rate for _, rate in rates])
                mean = f"{spread.mean:.2f}" + (NONE if spread.sd is None else f" ± {spread.sd:.2f}")
                between = NONE if spread.low is None else f"{spread.low:.2f} to {spread.high:.2f}"
                each = ", ".join(f"{seed}: {rate:.2f}" for seed, rate in rates)
                table.append([label, name, tag, mean if spread.sd is not None else f"{spread.mean:.2f}", between, each])
    return table


def comparison(every: list[System]) -> Table:
    """A row for each other student, set and tag: its WER less that of the student on references."""
    table = [["system", "set", "tag", "difference", "95 % interval", "p", "over seeds", "beyond noise", "gap closed"]]
    groups = _labels([one for one in every if not one.is_teacher])
    base = next((members for members in groups.values() if on_references(members[0])), None)
    if base is None:
        return table
    for label, members in groups.items():
        if members is base:
            continue
        for name in sets(members):
            for tag in tags(members):
                rates = [[rate for _, rate in _seed_rates(side, (tag, name))] for side in (base, members)]
                if not all(rates):
                    continue
                result = _compared(base, members, (tag, name))
                if result is None:
                    table.append([label, name, tag, NONE, NONE, NONE, NONE, "other utterances or signature", NONE])
                    continue
                apart = seeds_apart(*rates)
                noise = not result.beyond_noise or (apart is not None and apart[0] <= 0 <= apart[1])
                row = [label, name, tag, f"{result.difference:+.2f}", f"{result.low:+.2f} to {result.high:+.2f}"]
                row += [f"{result.p:.4f}", NONE if apart is None else f"{apart[0]:+.2f} to {apart[1]:+.2f}"]
                verdict = "no" if noise else "yes" if apart is not None else "yes (one seed)"
                teacher = _wer(teacher_of(members[0], every), (tag, name))
                whole = over_seeds(rates[0]).mean
                table.append([*row, verdict, _gap(result, apart, whole, teacher)])
    return table


def mode_table(every: list[System]) -> Table:
    """A row for each label, set and beam search: what the beam gains, perplexity, and the mode's probability.

    Empty but for its header if no model says its perplexity or its mode's probability.
    """
    table = [["system", "set", "tag", "greedy WER", "WER", "greedy - WER", "PPL", "p(t = ŷ)"]]
    told = 0
    for label, members in _labels(every).items():
        for name in sets_of_modes(members):
            beams = [
                tag for tag in tags(members) if tag != "greedy" and any((tag, name) in one.scored for one in members)
            ]
            for tag in beams or ["greedy"]:
                columns = _mode_columns(members, name, tag)
                if any(columns):
                    told += any(columns[3:])
                    table.append([label, name, tag, *map(_mean, columns)])
    return table if told else table[:1]


def _mode_columns(members: list[System], name: str, tag: str) -> list[list[float]]:
    """Greedy WER, WER, their difference, perplexity and the mode's probability (percent) of those that have them."""
    wers = [[_wer(one, (kind, name)) for one in members] for kind in ("greedy", tag)]
    gains = [None if None in pair else pair[0] - pair[1] for pair in zip(*wers, strict=True)]
    ppls = [one.ppl.get(name, {}).get("ppl") for one in members]
    found = [one.scored.get((tag, name)) for one in members]
    modes = [scored.decode.get("mode_probability") if scored else None for scored in found]
    if tag == "greedy":
        wers[1], gains = [], []  # there is no beam to compare with
    columns = [*wers, gains, ppls, [None if mode is None else 100 * mode for mode in modes]]
    return [[value for value in column if value is not None] for column in columns]


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


def environment() -> list[str]:
    """Date, versions, revision, processor: what a figure depends on besides the configuration."""
    lines = [f"date: `{time.strftime('%Y-%m-%d %H:%M:%S %Z')}`", f"python: `{platform.python_version()}`"]
    for package in PACKAGES:
        try:
            lines.append(f"{package}: `{importlib.metadata.version(package)}`")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{package}: not installed")
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            lines.append(f"git: `{done.stdout.strip()}`")
    except OSError:
        pass  # no git: the models' own revisions still stand in kdasr.json
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    lines.append(f"CPU: `{_processor()}`, {os.cpu_count()} cores, OMP_NUM_THREADS {threads}")
    return lines


def markdown(table: Table) -> str:
    """A table in Markdown, figures to the right."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in table]
    rule = ["---"] + ["---:" if _figures(table, column) else "---" for column in range(1, len(table[0]))]
    return "\n".join("|" + "|".join(row) + "|" for row in [rows[0], rule, *rows[1:]])


def plain(table: Table) -> str:
    """A table as aligned text."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def duration(seconds: float | None) -> str:
    """Seconds as people say them."""
    if seconds is None:
        return NONE
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _figures(table: Table, column: int) -> bool:
    return len(table) > 1 and all(row[column][:1] in "0123456789+-" for row in table[1:])


def _text(value: Any, form: str = "") -> str:
    return NONE if value is None else format(value, form)


def _ratio(system: System, every: list[System]) -> str:
    teacher = teacher_of(system, every)
    sizes = system.info.get("parameters"), teacher.info.get("parameters") if teacher else None
    if not all(sizes):
        return NONE
    return "1" if teacher is system else f"1/{sizes[1] / sizes[0]:.1f}"


def _gap(result: Paired, apart: tuple[float, float] | None, base: float, teacher: float | None) -> str:
    """The share of what separates the student on references from its teacher that a student makes up for.

    Its interval is that over seeds, or of the bootstrap where there are none.
    """
    if teacher is None or base <= teacher:
        return NONE
    low, high = apart or (result.low, result.high)
    share, *ends = (-change / (base - teacher) for change in (result.difference, high, low))
    return f"{share:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]"


def _wer(system: System | None, key: tuple[str, str]) -> float | None:
    scored = system.scored.get(key) if system else None
    return scored.wer.get("wer") if scored else None


def _mean(values: list[float]) -> str:
    """Mean and standard deviation of what the seeds have."""
    if not values:
        return NONE
    spread = over_seeds(values)
    return f"{spread.mean:.2f}" + ("" if spread.sd is None else f" ± {spread.sd:.2f}")


def _rate(score: dict[str, Any], key: str) -> str:
    if score.get(key) is None or not score.get("interval95"):
        return _plain_rate(score, key)
    return f"{score[key]:.2f} [{score['interval95'][0]:.2f}, {score['interval95'][1]:.2f}]"


def _plain_rate(score: dict[str, Any], key: str) -> str:
    return NONE if score.get(key) is None else f"{score[key]:.2f}"


def _real_time_factor(system: System, tag: str) -> str:
    """Over all sets that were decoded with the tag."""
    runs = [scored.decode for (found, _), scored in system.scored.items() if found == tag]
    runs = [one for one in runs if one.get("cpu_seconds") is not None and one.get("audio_seconds")]
    if not runs:
        return NONE
    return f"{sum(one['cpu_seconds'] for one in runs) / sum(one['audio_seconds'] for one in runs):.3f}"


def _labels(every: list[System]) -> dict[str, list[System]]:
    groups: dict[str, list[System]] = {}
    for one in every:
        groups.setdefault(one.label, []).append(one)
    return groups


def _seed_rates(members: list[System], key: tuple[str, str]) -> list[tuple[str, float]]:
    """(seed, WER) of those that have one."""
    scored = [(one, one.scored.get(key)) for one in members]
    return [(_text(one.info.get("seed")), s.wer["wer"]) for one, s in scored if s and s.wer.get("wer") is not None]


def _compared(first: list[System], second: list[System], key: tuple[str, str]) -> Paired | None:
    """Paired bootstrap of two labels on one set; None unless both scored the same utterances by the same rules."""
    sides = [[s for one in members if (s := one.scored.get(key)) and s.utterances] for members in (first, second)]
    if not all(sides):
        return None
    scores: list[Scored] = sides[0] + sides[1]
    words = {name: count for name, (_, count) in scores[0].utterances.items()}
    for one in scores:
        same = {name: count for name, (_, count) in one.utterances.items()} == words
        if not same or one.wer.get("signature") != scores[0].wer.get("signature"):
            return None
    errors = [[sum(one.utterances[name][0] for one in side) / len(side) for name in words] for side in sides]
    return paired(errors[0], errors[1], list(words.values()))


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            return next(line.partition(":")[2].strip() for line in stream if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def recorded_commands(every: list[System]) -> list[str]:
    """What models, decodes and scores recorded as their commands; each once, in order."""
    found = [one.info.get("command") for one in every]
    for one in every:
        for scored in one.scored.values():
            found += [scored.decode.get("command"), scored.wer.get("command"), scored.cer.get("command")]
    return list(dict.fromkeys(command for command in found if command))
