"""Which utterances a data directory holds, once `segments` and speed factors are applied."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from kdasr.data.places import Place, parse_table
from kdasr.errors import UserError
from kdasr.files import columns, read_table

LONGEST = 1e9  # seconds: no recording has a place behind that


@dataclass(frozen=True)
class Utterance:
    """One row of the feature directory and where its audio comes from."""

    name: str
    speaker: str
    audio: Place  # the recording
    span: tuple[float, float] | None  # seconds from `segments`; an end of -1 is the recording's
    speed: Fraction
    source: str  # the name in the data directory


def parse_speeds(text: str) -> dict[str, Fraction]:
    """`0.9,1.0,1.1` as {prefix of ids: factor}; 1.0 has no prefix."""
    speeds: dict[str, Fraction] = {}
    for word in text.split(","):
        try:
            factor = Fraction(word.strip())
        except (ValueError, ZeroDivisionError):
            factor = Fraction(0)
        if not Fraction(1, 2) <= factor <= 2 or factor.denominator > 1000 or factor in speeds.values():
            raise UserError(
                f"--speed {text}: expected different factors from 0.5 to 2 with at most three decimals, as 0.9,1.0,1.1"
            )
        speeds["" if factor == 1 else f"sp{word.strip()}-"] = factor
    return speeds


def plan(data: Path, speeds: dict[str, Fraction]) -> list[Utterance]:
    """The utterances to make, sorted as LC_ALL=C does.

    Raises:
        UserError: no utterances; text, utt2spk and audio do not name the same ones; a command in wav.scp.
    """
    recordings = parse_table(read_table(data / "wav.scp"), data / "wav.scp")
    if not recordings:
        raise UserError(f"{data / 'wav.scp'}: is empty; run the data stage again")
    spans: dict[str, tuple[str, tuple[float, float] | None]] = {name: (name, None) for name in recordings}
    if (data / "segments").exists():
        spans = {
            name: parse_segment(data / "segments", name, row, recordings)
            for name, row in read_table(data / "segments").items()
        }
        if not spans:
            raise UserError(f"{data / 'segments'}: is empty; remove it to use whole recordings")
    speakers = read_table(data / "utt2spk")
    _same(data, "utt2spk", speakers, spans)
    if (data / "text").exists():
        _same(data, "text", read_table(data / "text"), spans)
    rows = [
        Utterance(prefix + name, prefix + speakers[name], recordings[recording], span, speed, name)
        for prefix, speed in speeds.items()
        for name, (recording, span) in spans.items()
    ]
    rows.sort(key=lambda row: row.name.encode())
    for row, following in itertools.pairwise(rows):
        if row.name == following.name:
            raise UserError(
                f"{data}: {row.name} is an utterance and the name of a speed-perturbed one; give other --speed factors"
            )
    return rows


def parse_segment(path: Path, name: str, row: str, recordings: Collection[str]) -> tuple[str, tuple[float, float]]:
    """A line of `segments`: (recording, (start, end)), in seconds."""
    words = columns(row)
    try:
        recording, start, end = words[0], *map(float, words[1:])
    except (IndexError, ValueError):
        raise UserError(f"{path}: {name} has {row!r}; expected 'RECORDING START END' in seconds") from None
    if recording not in recordings:
        raise UserError(
            f"{path}: {name} is cut from {recording}, which wav.scp lacks; add its audio or remove the line"
        )
    if not (0 <= start < LONGEST and (start < end < LONGEST or end == -1)):
        raise UserError(
            f"{path}: {name} goes from {start} to {end} s; expected 0 <= start < end (or end -1); correct the line"
        )
    return recording, (start, end)


def _same(data: Path, table: str, keys: dict[str, str], spans: dict[str, Any]) -> None:
    audio = "segments" if (data / "segments").exists() else "wav.scp"
    for where, lacking in ((audio, keys.keys() - spans.keys()), (table, spans.keys() - keys.keys())):
        if lacking:
            other = table if where == audio else audio
            raise UserError(
                f"{data / where}: {min(lacking)} is missing ({len(lacking)} utterances of {data / other} are); "
                "add them, or remove them from both (utils/fix_data_dir.py)"
            )
