"""Kaldi texts and trn files that are too long to lie in memory: their lines by utterance (kdasr.keyed)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kdasr.errors import UserError
from kdasr.keyed import Keyed
from kdasr.score import trn


def keyed_text(path: str | Path) -> Keyed:
    """As `trn.read_text`, for a long file: its lines, to be cut by `trn.split`; errors are the same."""

    def key_of(number: int, line: str) -> str:
        words = trn.WORD.match(line.lstrip(trn.BLANKS))
        if not words:
            raise UserError(
                f"{path}:{number}: expected 'UTTERANCE WORD...', found {line!r}; correct or remove the line"
            )
        return words[0]

    table = Keyed(path, key_of, lambda line: trn.split(line)[0]).once()
    if not len(table):
        table.close()
        raise UserError(f"{path}: is empty, expected 'UTTERANCE WORD...' lines; run the stage that writes it")
    return table


def same_keys(
    ref: Keyed, hyp: Keyed, ref_path: object, hyp_path: object, name: Callable[[str], str], what: str = "utterances"
) -> None:
    """As `trn.same_utterances`, of long files; `name` of a line is the utterance's."""
    for table, other, path, other_path in ((hyp, ref, hyp_path, ref_path), (ref, hyp, ref_path, hyp_path)):
        missing = np.flatnonzero(table.find(other.hashes) < 0)
        if len(missing):
            names = [name(line) for line in other.read(missing[:5])]
            raise UserError(trn.lacking(path, other_path, names, len(missing), len(other), what))


def keyed(path: str | Path, id_form: str = "rm", case_sensitive: bool = False) -> Keyed:
    """As `trn.read_trn`, for a long file: its lines, for `trn.spoken`; their words are not looked at yet."""
    last = 0

    def key_of(number: int, text: str) -> str | None:
        nonlocal last
        last, where = number, f"{path}:{number}"
        if text.startswith((";; LABEL ", ";; CATEGORY ")):
            raise UserError(f"{where}: sclite copies this line to its .sgml, kdasr does not; remove it")
        if text.startswith(";;") or not text.strip(trn.BLANKS):
            return None
        return trn.same_id(trn.id_of(text, where, id_form)[2], case_sensitive)

    table = Keyed(path, key_of, lambda line: f"({trn.UTTERANCE.fullmatch(line)[2]})").once()
    if len(table) and table.ended:
        return table
    table.close()
    if not len(table):
        raise UserError(f"{path}: holds no utterance, expected 'WORD... (ID)' lines; run the stage that writes it")
    raise UserError(f"{path}:{last}: the last line has no end, and sclite would leave it out; add the newline")


def name_of(line: str, case_sensitive: bool) -> str:
    """A trn line's id, as sclite compares it."""
    return trn.same_id(trn.UTTERANCE.fullmatch(line)[2], case_sensitive)
