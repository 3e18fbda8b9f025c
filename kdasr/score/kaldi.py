"""Scores in the forms that Kaldi's users know: compute-wer's lines, and wer_details' per_utt and per_spk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import read_lines
from kdasr.score import trn
from kdasr.score.align import Counts, count, pair, total

AGAIN = "score the set again (stage score)"
NUMBER = re.compile("[0-9]{1,9}")
COLUMNS = "#SENT", "#WORD", "Corr", "Sub", "Ins", "Del", "Err", "S.Err"


def wer_lines(counts: Counts, name: str) -> str:
    """compute-wer's lines, `%WER 7.94 [ 448 / 5643, 53 ins, 36 del, 359 sub ]` and on; `name` is wer or cer."""
    return (
        f"%{name.upper()} {counts.wer:.2f} [ {counts.errors} / {counts.words}, "
        f"{counts.ins} ins, {counts.del_} del, {counts.sub} sub ]\n"
        f"%SER {counts.ser:.2f} [ {counts.wrong_sentences} / {counts.sentences} ]\n"
        f"Scored {counts.sentences} sentences, 0 not present in hyp.\n"
    )


def per_utterance(name: str, ref: tuple[str, ...], hyp: tuple[str, ...], operations: str) -> str:
    """An utterance's ref, hyp, op and #csid lines, words centred in their columns."""
    counts = count(operations)
    columns = [_centred(*step) for step in pair(operations, ref, hyp)]
    rows = zip(*columns, strict=True) if columns else ((), (), ())
    labels = "ref ", "hyp ", "op  "
    text = "".join(f"{name} {label} {'  '.join(row)}\n" for label, row in zip(labels, rows, strict=True))
    return text + f"{name} #csid {counts.cor} {counts.sub} {counts.ins} {counts.del_}\n"


def read_utterances(path: str | Path) -> Iterator[tuple[str, str, dict[str, list[str]]]]:
    """The utterances of a `per_utt`: (file and line, utterance, cells of the lines ref, hyp, op and #csid).

    Raises:
        UserError: it is cut short, or no `per_utt` at all.
    """
    rows: dict[str, list[str]] = {}
    where = str(path)
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path}:{number}"
        name, *cells = trn.split(line) or [""]
        if not cells or cells[0] not in ("ref", "hyp", "op", "#csid"):
            raise UserError(f"{where}: expected 'UTTERANCE ref|hyp|op|#csid ...', found {trn.shown(line)}; {AGAIN}")
        rows[cells[0]] = cells[1:]
        if cells[0] == "#csid":
            yield where, name, rows
            rows = {}
    if rows:
        raise UserError(f"{where}: the file ends within an utterance; {AGAIN}")


def read_counts(where: str, name: str, rows: Mapping[str, Sequence[str]]) -> tuple[int, int, int, int]:
    """An utterance's words that are right, substituted, inserted and deleted; UserError if its line says otherwise."""
    cells = rows["#csid"]
    if len(cells) != 4 or not all(NUMBER.fullmatch(cell) for cell in cells):
        raise UserError(f"{where}: {name}: expected four counts after '#csid', found {' '.join(cells)!r}; {AGAIN}")
    cor, sub, ins, del_ = map(int, cells)
    return cor, sub, ins, del_


def operations_of(where: str, name: str, rows: Mapping[str, Sequence[str]]) -> str:
    """An utterance's operations (C, S, D, I); UserError if they are others, or not as many of each as it says."""
    cells = rows.get("op", [])
    if not set(cells) <= set("CSDI"):
        raise UserError(f"{where}: {name}: expected C, S, D and I on its op line; {AGAIN}")
    counts = count("".join(cells))
    if (counts.cor, counts.sub, counts.ins, counts.del_) != read_counts(where, name, rows):
        raise UserError(f"{where}: {name}: its counts are not those of its op line; {AGAIN}")
    return "".join(cells)


def read_operations(path: str | Path) -> dict[str, str]:
    """Operations (C, S, D, I) of each utterance from a `per_utt`; UserError if it is not one."""
    found: dict[str, str] = {}
    for where, name, rows in read_utterances(path):
        found[name] = operations_of(where, name, rows)
    if not found:
        raise UserError(f"{path}: holds no utterance; score the set again")
    return found


def per_speaker(speakers: Mapping[str, Counts]) -> str:
    """A table of counts (raw) and percentages (sys) of each speaker, and of their sum.

    As in Kaldi's, a speaker whose references have no word has no percentages.
    """
    width = max(15, *map(len, speakers), len("SPEAKER"))
    rows = [("SPEAKER", "id", COLUMNS)]
    for name, counts in [*sorted(speakers.items()), ("SUM", total(speakers.values()))]:
        raw = [counts.cor, counts.sub, counts.ins, counts.del_, counts.errors]
        size = str(counts.sentences), str(counts.words)
        rows.append((name, "raw", (*size, *map(str, raw), str(counts.wrong_sentences))))
        if counts.words:
            rates = (f"{100.0 * value / counts.words:.2f}" for value in raw)
            rows.append((name, "sys", (*size, *rates, f"{counts.ser:.2f}")))
    lines = ([f"{name:<{width}} {kind:<4}", *(f"{cell:>11}" for cell in cells)] for name, kind, cells in rows)
    return "".join("".join(line) + "\n" for line in lines)


@lru_cache(maxsize=1 << 16)
def _centred(operation: str, ref: str, hyp: str) -> list[str]:
    """A column of Kaldi's: reference, hypothesis and operation, the odd blank to the left."""
    column = ref or "***", hyp or "***", operation
    width = max(map(len, column))
    return [(" " * ((width - len(cell) + 1) // 2) + cell).ljust(width) for cell in column]
