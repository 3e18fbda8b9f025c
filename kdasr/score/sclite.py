"""sclite's reports, byte for byte, and the real sclite where it is installed.

`summary` is `-o sum` (.sys) and `-o rsum` (.raw), `alignments` is `-o pra` (.pra); their concatenation is ESPnet's
result.txt (`-o all stdout`). kdasr.score.detail has .dtl, .sgml and .prf. The layout is that of SCTK 2.4.10, which
Debian carries; widths are counted in bytes, as there. Utterances are in the order of the hypothesis file, which
decides the order of the speakers, too.

`chars` is for sclite's -c, of utterances aligned by characters (kdasr.score.characters).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from kdasr.errors import UserError
from kdasr.score.align import Aligned, Counts, tally, total
from kdasr.score.steps import Steps, collect

TITLE = "hyp.trn"  # sclite's name for the system: the hypothesis file as it was given
PAGE = 80  # columns on which tables are centred
LINE = 1000  # columns after which .pra continues in a second block (sclite's -l)
LONGEST_GAP = 40  # asterisks that sclite has for a gap; for longer words it prints what lies in memory
LONGEST_WORD = 999  # bytes; beyond them sclite overruns a buffer for .sgml, and may write a .pra without end
ID_FORMS = ("rm", "wsj", "spu_id")  # sclite's -i
HEADER = [" SPKR", " # Snt", "# Wrd", "Corr", " Sub", " Del", " Ins", " Err", "S.Err"]
NO_REFERENCE = (
    "\n"
    "* No Reference words for this/these speaker(s).  Word counts supplied\n"
    "  rather than percents.\n"
    "# No Reference words for this/these speaker(s).  NCE not computable.\n"
    "+ Speaker(s) with no reference data is ignored\n"
)
PRA = b"\n\n\t\tDUMP OF SYSTEM ALIGNMENT STRUCTURE\n\nSystem name:   " + TITLE.encode() + b"\n\n"
SENTENCES = b"Speaker sentences%4d:  %s   #utts: %d\n"
SENSITIVE = b"Attributes: Case_sensitve \n"  # sic
HEAD = b"id: (%s)\n%sScores: (#C #S #D #I) %d %d %d %d\n%s"
BLOCK = b"REF:  %s\nHYP:  %s\nEval: %s\n"
MORE = b"\n>> REF:  %s\n>> HYP:  %s\n>> Eval: %s\n"
PLACES = ("/usr/lib/sctk/bin/sclite", "/usr/local/bin/sclite")


def speaker_of(trn_id: str, case_sensitive: bool = False, id_form: str = "rm") -> bytes:
    """The speaker's name in an id, in lower case unless asked not to.

    Forms: `wsj` takes the first three bytes; `rm` and `spu_id` alike take the part before the first hyphen, or
    without a hyphen before the first underscore; `stm` (kdasr.score.stm) the part before the last hyphen. Ids
    have to pass `unusual_id` first.
    """
    name = trn_id.encode()
    if id_form == "stm":
        name = name.rpartition(b"-")[0]
    elif id_form == "wsj":
        name = name[:3]
    else:
        name = name.partition(b"-" if b"-" in name else b"_")[0]
    return name if case_sensitive else name.lower()


def unusual_id(trn_id: str, id_form: str = "rm") -> str:
    """Why sclite would find no speaker in this id (it then uses the name of another speaker), or ""."""
    if id_form == "wsj":
        name = trn_id.encode()[:3]
        if len(name) < 3:
            return f"id form wsj takes the first three bytes for the speaker, and ({trn_id}) has fewer"
        if name.decode(errors="replace").encode() != name:
            return f"id form wsj takes the first three bytes for the speaker, which cuts a letter of ({trn_id}) in two"
    elif "-" not in trn_id and "_" not in trn_id:
        return f"id form {id_form} takes what is before '-' or '_' for the speaker, and ({trn_id}) has neither"
    return ""


def group(utterances: Sequence[Aligned], case_sensitive: bool, id_form: str) -> dict[bytes, list[int]]:
    """The places of each speaker's utterances, speakers in order of appearance."""
    groups: dict[bytes, list[int]] = {}
    for place, one in enumerate(utterances):
        groups.setdefault(speaker_of(one.id, case_sensitive, id_form), []).append(place)
    return groups


def by_speaker(utterances: Sequence[Aligned], case_sensitive: bool = False, id_form: str = "rm") -> dict[bytes, Counts]:
    """Counts of each speaker, in order of appearance."""
    groups = group(utterances, case_sensitive, id_form)
    return {name: tally([utterances[place].operations for place in members]) for name, members in groups.items()}


def rounded(value: float, digits: int) -> float:
    """As F_ROUND: half away from zero, after the multiplication in floating point."""
    return int(value * 10.0**digits + (0.5 if value > 0 else -0.5)) / 10.0**digits


def percent(part: int, whole: int) -> float:
    """As pct: in this order of operations, so that halves round as they do there."""
    return part / whole * 100.0 if whole else 0.0


def summary(speakers: dict[bytes, Counts], raw: bool, chars: bool = False) -> bytes:
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

    text = b"\n\n\n" + _center(b"SYSTEM SUMMARY PERCENTAGES by SPEAKER", PAGE) + b"\n\n"
    text += _draw(rows, len(speakers), chars)
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


def _draw(rows: list[tuple[bytes, list[str]]], speakers: int, chars: bool) -> bytes:
    """The box: a title, the header, `speakers` rows, the sum, and three rows of statistics."""
    body = [[name, *(cell.encode() for cell in cells)] for name, cells in rows]
    header = [cell.encode() for cell in HEADER]
    if chars:
        header[2] = b"# Chr"
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


def alignments(
    utterances: Sequence[Aligned], case_sensitive: bool = False, id_form: str = "rm", steps: Steps | None = None
) -> bytes:
    """The alignments of `-o pra`: errors in upper case, gaps as asterisks, speaker by speaker.

    `steps`, here and in other reports, are `collect(utterances, case_sensitive)` where these are at hand.
    """
    groups = group(utterances, case_sensitive, id_form)
    text = [PRA, *list_speakers(groups), b"\n"]
    attributes = SENSITIVE if case_sensitive else b""
    drawn = drawings(utterances, steps or collect(utterances, case_sensitive), case_sensitive, attributes)
    for place, (name, members) in enumerate(groups.items()):
        text.append(SENTENCES % (place, name, len(members)))
        text += [drawn[member] for member in members]
    return b"".join(text) + b"\n"


def list_speakers(groups: Iterable[bytes]) -> list[bytes]:
    """The numbered list of speakers at the head of .pra and .prf."""
    return [b"Speakers: \n", *(b"   %2d:  %s\n" % (place, name) for place, name in enumerate(groups))]


def drawings(utterances: Sequence[Aligned], steps: Steps, case_sensitive: bool, attributes: bytes) -> list[bytes]:
    """Each utterance's lines in .pra and .prf, with the blank one after them; `attributes` is a line or nothing."""
    columns = [_column(*one, case_sensitive) for one in steps.distinct]
    rows = [steps.spell([column[row] for column in columns]) for row in range(3)]
    widths = np.array([len(column[0]) for column in columns])
    result = []
    for place, (one, counts, *lines) in enumerate(zip(utterances, steps.counts.tolist(), *rows, strict=True)):
        notes = "".join([f"{note}\n" for note in one.notes]).encode() if one.notes else b""
        text = HEAD % (shown_id(one.id, case_sensitive), notes, *counts, attributes)
        if len(lines[0]) >= LINE - 6:
            stops = _stops(widths[steps.which[steps.ends[place] : steps.ends[place + 1]]].tolist())
            for start, stop in pairwise([0, *stops]):
                text += (MORE if start else BLOCK) % tuple(line[start:stop] for line in lines)
        elif one.operations:
            text += BLOCK % tuple(lines)
        result.append(text + b"\n")
    return result


def _stops(widths: Sequence[int]) -> list[int]:
    """Where an utterance's lines have to end, in bytes, if its columns are so wide."""
    stops, first = [0], 0
    while first < len(widths):
        # sclite takes words until the line is full, then gives the last of them back unless it was the very last.
        used, next_ = (9 if first else 6), first
        while used < LINE and next_ < len(widths):
            used += widths[next_]
            next_ += 1
        next_ = max(next_ - (next_ < len(widths)), first + 1)
        stops.append(stops[-1] + sum(widths[first:next_]))
        first = next_
    return stops[1:]


def shown_id(trn_id: str, case_sensitive: bool) -> bytes:
    """An id as the reports print it."""
    return trn_id.encode() if case_sensitive else trn_id.encode().lower()


def _column(operation: str, ref: bytes, hyp: bytes, case_sensitive: bool) -> tuple[bytes, bytes, bytes]:
    """A step's cells in the lines REF, HYP and Eval."""
    width = max(len(ref), len(hyp)) + 1
    if operation == "C":
        return ref.ljust(width), hyp.ljust(width), b" " * width
    if not case_sensitive:
        ref, hyp = ref.upper(), hyp.upper()
    gap = b"*" * (width - 1)
    return (ref or gap).ljust(width), (hyp or gap).ljust(width), operation.encode().ljust(width)


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


def run_real(
    program: str,
    directory: str | Path,
    case_sensitive: bool = False,
    reports: str = "sum rsum pra",
    id_form: str = "rm",
    chars: bool = False,
    out: str | Path | None = None,
    options: Sequence[str] = (),
) -> bytes:
    """Run the real sclite on ref.trn and hyp.trn in `directory`.

    Args:
        program: as from `find`.
        directory: of the files.
        case_sensitive, id_form, chars: as for the reports here.
        reports: sclite's -o.
        out: an existing directory for hyp.trn.sys and so on, as an absolute path.
        options: further ones of sclite's: -D for optional words, -F for fragments.

    Returns:
        The reports in sclite's order; with `out`, its output while it writes them.

    Raises:
        UserError: sclite fails, or speaks of an error.
    """
    command = [program, "-r", "ref.trn", "trn", "-h", "hyp.trn", "trn", "-i", id_form]
    command += [*(["-s"] if case_sensitive else []), *(["-e", "utf-8", "-c"] if chars else []), *options]
    command += ["-o", *reports.split(), *(["-O", str(out)] if out else ["stdout"])]
    done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
    if done.returncode != 0 or b"Error" in done.stderr:
        message = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(
            f"{directory}: {program} failed with status {done.returncode} ({' '.join(message[-3:])}); "
            "compare ref.trn and hyp.trn there, or leave --check out"
        )
    return done.stdout
