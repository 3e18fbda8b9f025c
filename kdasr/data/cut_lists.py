"""Lists of where utterances' audio is, for a process that reads it later: what ESPnet's trainer is given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from kdasr.data.places import Place, parse
from kdasr.data.utterances import Utterance
from kdasr.files import read_table, write_table


def write_cuts(path: Path, rows: Mapping[str, Utterance]) -> None:
    """Write where the audio of utterances is, a line each."""
    write_table(path, {name: json.dumps(_fields(row)) for name, row in rows.items()})


def read_cuts(path: Path) -> dict[str, Utterance]:
    """What `write_cuts` wrote; UserError for a command, where none is run."""
    rows = {}
    for name, line in read_table(path).items():
        given = json.loads(line)
        command = parse(f"{given['command']} |", f"{path}: {name}").command if given["command"] else ""
        audio = Place(given["path"], given["offset"], (), given["channel"], command)
        span = tuple(given["span"]) if given["span"] else None
        rows[name] = Utterance(name, "", audio, span, Fraction(given["speed"]), given["source"], given["resample"])
    return rows


def _fields(row: Utterance) -> dict[str, Any]:
    place = {"path": row.audio.path, "offset": row.audio.offset, "channel": row.audio.channel}
    played = {"span": row.span, "speed": str(row.speed), "resample": row.resample}
    return {**place, "command": row.audio.command, **played, "source": row.source}
