"""An alignment as it is written: which token of a transcript is spoken when.

`alignment` has a line `UTT FRAME:TOKEN FRAME:TOKEN ...` for each utterance, where FRAME (10 ms, from 0) is the one in
the middle of the token's span; align.json has by what model, and what it cost.
"""

from __future__ import annotations

import re
from pathlib import Path

from kdasr.checkpoints import compare
from kdasr.errors import UserError
from kdasr.files import read_json, read_table

ALIGNMENT, RECORD = "alignment", "align.json"

Spikes = list[tuple[int, str]]  # (input frame, token), in order


def written(spikes: Spikes) -> str:
    """Spikes as a line of `alignment` has them."""
    return " ".join(f"{frame}:{token}" for frame, token in spikes)


def read_alignment(directory: str | Path) -> tuple[dict[str, Spikes], list[str]]:
    """The spikes of each utterance, sorted by name as LC_ALL=C does; and the utterances that are too short for theirs.

    Raises:
        UserError: there is none, it is empty, or a line is not of its form (the utterance is named).
    """
    path = Path(directory) / ALIGNMENT
    for file in (path, Path(directory) / RECORD):
        if not file.is_file():
            raise UserError(f"{file}: no such file; make it first: kdasr frames align")
    found: dict[str, Spikes] = {}
    for name, line in sorted(read_table(path, empty=True).items(), key=lambda row: row[0].encode()):
        spikes = []
        for word in line.split(" ") if line else []:
            frame, _, token = word.partition(":")
            if not token or not re.fullmatch("[0-9]{1,9}", frame) or (spikes and int(frame) < spikes[-1][0]):
                raise UserError(f"{path}: {name} has {word!r}, expected FRAME:TOKEN in order; make it again")
            spikes.append((int(frame), token))
        found[name] = spikes
    if not found:
        raise UserError(f"{path}: is empty; make it again: kdasr frames align")
    record = read_json(Path(directory) / RECORD)
    compare(directory, record.get("sha256"), "make it again: kdasr frames align")
    skipped = record.get("skipped")
    if not isinstance(skipped, list) or not all(isinstance(name, str) for name in skipped):
        raise UserError(f"{Path(directory) / RECORD}: is no record of an alignment; make it again: kdasr frames align")
    return found, skipped
