"""sclite's reports, byte for byte, and the real sclite where it is installed.

`summary` is `-o sum` (.sys) and `-o rsum` (.raw), `alignments` is `-o pra` (.pra); their concatenation is ESPnet's
result.txt (`-o all stdout`). Widths are counted in bytes, as sclite counts them. The layout is that of SCTK 2.4.10,
which Debian carries. Other reports (.dtl, .sgml) belong here, each a function of `Aligned`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kdasr.errors import UserError
from kdasr.score.align import Counts, count, normal, pair, total

TITLE = "hyp.trn"  # sclite's name for the system: the hypothesis file as it was given
PAGE = 80  # columns on which tables are centred
LINE = 1000  # columns after which .pra goes on in a second block (sclite's -l)
LONGEST_GAP = 40  # asterisks that sclite has for a gap; for longer words it prints what lies in memory
HEADER = [" SPKR", " # Snt", "# Wrd", "Corr", " Sub", " Del", " Ins", " Err", "S.Err"]
NO_REFERENCE = (
    "\n"
    "* No Reference words for this/these speaker(s).  Word counts supplied\n"
    "  rather than percents.\n"
    "# No Reference words for this/these speaker(s).  NCE not computable.\n"
    "+ Speaker(s) with no reference data is ignored\n"
)
PLACES = ("/usr/lib/sctk/bin/sclite", "/usr/local/bin/sclite")


@dataclass(frozen=True)
class Aligned:
    """One utterance: its `speaker-utterance` id, words, and string of operations (C, S, D, I)."""

    id: str
    ref: tuple[str, ...]
    hyp: tuple[str, ...]
    operations: str


def speaker_of(trn_id: str, case_sensitive: bool = False) -> bytes:
    """The speaker under `-i rm`: what stands before the first hyphen, in lower case unless asked not to."""
    name = trn_id.encode().partition(b"-")[0]
    return name if case_sensitive else name.lower()


def by_speaker(utterances: Sequence[Aligned], case_sensitive: bool = False) -> dict[bytes, Counts]:
    """Counts of each speaker, in order of appearance."""
    groups: dict[bytes, list[Counts]] = {}
    for one in utterances:
        groups.setdefault(speaker_of(one.id, case_sensitive), []).append(count(one.operations))
    return {speaker: total(counts) for speaker, counts in groups.items()}


def rounded(value: float, digits: int) -> float:
    """As F_ROUND: half away from zero, after the multiplication in floating point."""
    return int(value * 10.0**digits + (0.5 if value > 0 else -0.5)) / 10.0**digits


def percent(part: int, whole: int) -> float:
    """As pct: in this order of operations, so that halves round as they do there."""
    return part / whole * 100.0 if whole else 0.0


def summary(speakers: dict[bytes, Counts], raw: bool) -> bytes:
    """The table of `-o sum` (percentages), or with `raw` of `-o rsum` (counts)."""
    digits = 0 if raw else 1
    rows: list[tuple[bytes, list[str]]] = []
    table: list[list[float]] = []  # a speaker's figures before rounding: Corr ... S.Err
    for name, counts in speakers.items():
        errors = [counts.cor, counts.sub, counts.del_, counts.ins, counts.errors]
        starred = not raw and counts.words == 0  # percentages of nothing: sclite prints counts with a star
        figures: list[float] = list(errors)
        if not raw and not starred:
            figures = [percent(value, counts.words) for value in errors]
        figures.append(counts.wrong_sentences if raw else percent(counts.wrong_sentences, counts.sentences))
        table.append(figures)
        cells = [f"{value:5.0f}*" for value in errors] if starred else _cells(figures[:5], digits)
        rows.append((b" " + name + b" ", [*_whole(counts), *cells, *_cells(figures[5:], digits)]))

    everything = total(speakers.values())
    figures = [everything.cor, everything.sub, everything.del_, everything.ins, everything.errors]
    wrong: float = everything.wrong_sentences
    if not raw:
        figures = [percent(value, everything.words) for value in figures]
        wrong = percent(everything.wrong_sentences, everything.sentences)
    rows.append((b" Sum" if raw else b" Sum/Avg", [*_whole(everything), *_cells([*figures, wrong], digits)]))
    rows += _statistics(list(speakers.values()), table, raw)

    text = b"\n\n\n" + _center(b"SYSTEM SUMMARY PERCENTAGES by SPEAKER", PAGE) + b"\n\n" + _draw(rows, len(speakers))
    if not raw and any(counts.words == 0 for counts in speakers.values()):
        text += NO_REFERENCE.encode()
    return text


def _whole(counts: Counts) -> list[str]:
    return [f"{counts.sentences:5d}", f"{counts.words:5d}"]


def _cells(values: Sequence[float], digits: int, mark: str = " ") -> list[str]:
    return [f"{rounded(value, digits):5.{digits}f}{mark}" for value in values]


def _statistics(speakers: list[Counts], table: list[list[float]], raw: bool) -> list[tuple[bytes, list[str]]]:
    """The rows Mean, S.D. and Median over speakers."""
    empty = [k for k, counts in enumerate(speakers) if counts.words == 0] if not raw else []
    columns = [[float(counts.sentences) for counts in speakers], [float(counts.words) for counts in speakers]]
    for place in range(6):
        column = [figures[place] for figures in table]
        if place < 5:  # sclite leaves speakers without words out, except of the sentence errors
            for k in empty:
                # It deletes by the speaker's first position although the column has moved up meanwhile:
                # after the first such speaker it drops the wrong ones. Ours must drop the same.
                column = [*column[:k], *column[k + 1 :], -1000.0]
            column = column[: len(column) - len(empty)]
        columns.append(column)
    described = [_describe(column) for column in columns]
    mark = "+" if empty else " "
    rows = []
    for place, name in enumerate((b" Mean ", b" S.D. ", b"Median")):
        values = [one[place] for one in described]
        rows.append((name, [*_cells(values[:2], 1), *_cells(values[2:7], 1, mark), *_cells(values[7:], 1)]))
    return rows


def _describe(values: list[float]) -> tuple[float, float, float]:
    """Mean, standard deviation (n - 1) and median; summed in order, since the last bit may decide a rounding."""
    if not values:
        return 0.0, 0.0, 0.0
    mean = 0.0
    for value in values:
        mean += value
    mean /= len(values)
    squares = 0.0
    for value in values:
        squares += (value - mean) * (value - mean)
    deviation = (squares / (len(values) - 1)) ** 0.5 if squares != 0.0 and len(values) > 1 else 0.0
    ordered, middle = sorted(values), len(values) // 2
    median = ordered[middle] if len(values) % 2 else (ordered[middle] + ordered[middle - 1]) / 2
    return mean, deviation, median


def _draw(rows: list[tuple[bytes, list[str]]], speakers: int) -> bytes:
    """The box: a title, the header, `speakers` rows, the sum, and three rows of statistics."""
    body = [[name, *(cell.encode() for cell in cells)] for name, cells in rows]
    header = [cell.encode() for cell in HEADER]
    widths = [max(len(line[place]) for line in [header, *body]) for place in range(len(HEADER))]
    inside = sum(widths) + len(widths) - 1
    indent = b" " * max(0, (PAGE - inside - 2) // 2)

    def line(cells: list[bytes], left: bool) -> bytes:
        # _center, not bytes.center: Python puts the odd blank on the other side.
        first = cells[0].ljust(widths[0]) if left else _center(cells[0], widths[0])
        rest = [_center(cell, width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return indent + b"|" + b"|".join([first, b" ".join(rest[:2]), b" ".join(rest[2:])]) + b"|\n"

    groups = [widths[0], sum(widths[1:3]) + 1, sum(widths[3:]) + 5]
    rule = indent + b"|" + b"+".join(b"-" * width for width in groups) + b"|\n"
    double = indent + b"|" + b"=" * inside + b"|\n"
    text = [indent + b"," + b"-" * inside + b".\n"]
    text.append(indent + b"|" + _center(TITLE.encode(), inside) + b"|\n")
    text += [indent + b"|" + b"-" * inside + b"|\n", line(header, True)]
    for place, cells in enumerate(body):
        if place < speakers:
            text.append(rule)
        elif place < speakers + 2:
            text.append(double)
        text.append(line(cells, place <= speakers))
    text.append(indent + b"`" + b"-" * inside + b"'\n")
    return b"".join(text)


def _center(text: bytes, width: int) -> bytes:
    left = (width - len(text)) // 2
    return b" " * left + text + b" " * (width - len(text) - left)


def alignments(utterances: Sequence[Aligned], case_sensitive: bool = False) -> bytes:
    """The alignments of `-o pra`: errors in upper case, gaps as asterisks, speaker by speaker."""
    groups: dict[bytes, list[Aligned]] = {}
    for one in utterances:
        groups.setdefault(speaker_of(one.id, case_sensitive), []).append(one)
    text = [b"\n\n\t\tDUMP OF SYSTEM ALIGNMENT STRUCTURE\n\nSystem name:   " + TITLE.encode() + b"\n\nSpeakers: \n"]
    text += [b"   %2d:  %s\n" % (place, name) for place, name in enumerate(groups)]
    text.append(b"\n")
    for place, (name, members) in enumerate(groups.items()):
        text.append(b"Speaker sentences%4d:  %s   #utts: %d\n" % (place, name, len(members)))
        text += [_alignment(one, case_sensitive) + b"\n" for one in members]
    return b"".join(text) + b"\n"


def _alignment(one: Aligned, case_sensitive: bool) -> bytes:
    counts = count(one.operations)
    name = one.id.encode()
    text = [b"id: (%s)\n" % (name if case_sensitive else name.lower())]
    text.append(b"Scores: (#C #S #D #I) %d %d %d %d\n" % (counts.cor, counts.sub, counts.del_, counts.ins))
    if case_sensitive:
        text.append(b"Attributes: Case_sensitve \n")  # sic
    columns = [_column(*step, case_sensitive) for step in pair(one.operations, one.ref, one.hyp)]
    start = 0
    while start < len(columns):
        # sclite takes words until the line is full, then gives the last of them back unless it was the very last.
        used, stop = (9 if start else 6), start
        while used < LINE and stop < len(columns):
            used += len(columns[stop][0])
            stop += 1
        stop = max(stop - (stop < len(columns)), start + 1)
        lead = b">> " if start else b""
        if start:
            text.append(b"\n")
        for label, cells in zip((b"REF:  ", b"HYP:  ", b"Eval: "), zip(*columns[start:stop], strict=True), strict=True):
            text.append(lead + label + b"".join(cells) + b"\n")
        start = stop
    return b"".join(text)


@lru_cache(maxsize=1 << 16)
def _column(operation: str, ref: str, hyp: str, case_sensitive: bool) -> tuple[bytes, bytes, bytes]:
    words = [normal(word, case_sensitive) for word in (ref, hyp)]
    if operation != "C" and not case_sensitive:
        words = [word.upper() for word in words]
    width = max(map(len, words))
    words = [word or b"*" * width for word in words]
    marks = b"" if operation == "C" else operation.encode()
    return words[0].ljust(width + 1), words[1].ljust(width + 1), marks.ljust(width + 1)


def find() -> str | None:
    """The real sclite: $SCLITE, the PATH, `sctk path` (Debian's wrapper), the usual places, Kaldi's tools."""
    given = os.environ.get("SCLITE")
    if given:
        found = shutil.which(given)
        if not found:
            raise UserError(f"$SCLITE is {given!r}, which is no program; name sclite's file, or unset it")
        return found
    places = [shutil.which("sclite")]
    if shutil.which("sctk"):
        answer = subprocess.run(["sctk", "path"], capture_output=True, text=True, check=False)
        places.append(str(Path(answer.stdout.strip()) / "sclite"))
    places += PLACES
    if os.environ.get("KALDI_ROOT"):
        places.append(os.environ["KALDI_ROOT"] + "/tools/sctk/bin/sclite")
    return next((place for place in places if place and os.access(place, os.X_OK) and Path(place).is_file()), None)


def run_real(program: str, directory: str | Path, case_sensitive: bool = False, reports: str = "sum rsum pra") -> bytes:
    """What the real sclite prints for ref.trn and hyp.trn in `directory`; UserError if it fails."""
    command = [program, "-r", "ref.trn", "trn", "-h", "hyp.trn", "trn", "-i", "rm"]
    command += [*(["-s"] if case_sensitive else []), "-o", *reports.split(), "stdout"]
    done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
    if done.returncode != 0 or b"Error" in done.stderr:
        message = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(
            f"{directory}: {program} failed with status {done.returncode} ({' '.join(message[-3:])}); "
            "look at ref.trn and hyp.trn there, or leave --check out"
        )
    return done.stdout
