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

from kdasr.errors import UserError
from kdasr.files import atomic_write
from kdasr.report import figures
from kdasr.report.collect import System, in_order, sets, systems, tags
from kdasr.report.compare import (
    COMPARISON,
    MODES,
    NONE,
    SUMMARY,
    Table,
    comparison,
    mode_table,
    ratio,
    seed_table,
    summary_table,
)
from kdasr.score.sclite import percent, rounded

EXAMPLES = """examples:
  # every model of exp, with its decoded and scored sets
  kdasr report --exp exp --out RESULTS.md
  # with a caution under the title, and the command that makes it all
  kdasr report --exp exp --out RESULTS.md --note 'embedded corpus: says nothing about WSJ' --command './run.sh'
  # with what was measured elsewhere or earlier, which is kept in a file; then from the file alone
  kdasr report --exp exp --figures figures.jsonl --out RESULTS.md
  kdasr report --figures figures.jsonl --out RESULTS.md
"""
PACKAGES = "torch", "espnet", "numpy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `kdasr report`."""
    parser.add_argument("--exp", help="directory of model directories, each with a kdasr.json")
    parser.add_argument(
        "--figures",
        metavar="FILE",
        help="file of what systems measured: those of --exp are put into it, and those that only it has are shown too",
    )
    parser.add_argument("--out", required=True, help="Markdown file to write")
    parser.add_argument("--title", default="RESULTS", help="heading of the file (default RESULTS)")
    parser.add_argument("--note", action="append", default=[], help="text under the title; may be given several times")
    parser.add_argument("--command", action="append", default=[], help="command line that regenerates the results")


def run(args: argparse.Namespace) -> None:
    """Write the file and print its first table."""
    if not args.exp and not args.figures:
        raise UserError("nothing to report; name a directory of models (--exp) or a file of figures (--figures)")
    every = systems(args.exp) if args.exp else []
    if args.figures:
        every = in_order(figures.merged(every, args.figures))
        if args.exp:
            figures.write(every, args.figures)
    sources = [
        word for name in ("exp", "figures") if getattr(args, name) for word in (f"--{name}", getattr(args, name))
    ]
    again = shlex.join(["kdasr", "report", *sources, "--out", args.out])
    # A recipe's command makes everything; without one, each score's own is named.
    text = render(every, args.title, args.note, environment(), [*(args.command or recorded_commands(every)), again])
    with atomic_write(args.out) as stream:
        stream.write(text)
    summary = summary_table(every)
    print(plain(summary if len(summary) > 1 else main_table(every)))
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
    parts = [f"# {title}", *notes]
    summary = summary_table(every)
    if len(summary) > 1:
        parts += ["## Summary", markdown(summary), SUMMARY]
    parts += ["## Systems", markdown(main_table(every)), legend(every)]
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
        row.append(ratio(one, every))
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
