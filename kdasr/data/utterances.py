"""Which utterances a data directory holds, once `segments`, channels and speed factors are applied."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from kdasr.data.places import Place, decoded, parse, parse_table
from kdasr.errors import UserError
from kdasr.files import columns, read_table, write_table
from kdasr.settings import check_least

LONGEST = 1e9  # seconds: no recording has a place behind that
SPEEDS = "utt2speed"  # table of a data directory: how many times as fast as it was recorded an utterance is played


@dataclass(frozen=True)
class Reading:
    """How audio is read where a data directory leaves it open.

    Raises:
        UserError: `channel` is below 1.
    """

    resample: bool = False  # convert audio of another rate, which is refused otherwise
    channel: int | None = None  # from 1, of recordings of several channels of which the lists name none

    def __post_init__(self) -> None:
        if self.channel is not None:
            check_least("channel", self.channel, 1)

    def changed(self) -> dict[str, Any]:
        """What of it differs from the default, for a record: one of older versions has neither."""
        return ({"resample": True} if self.resample else {}) | ({"channel": self.channel} if self.channel else {})


AS_IT_IS = Reading()


@dataclass(frozen=True)
class Utterance:
    """One row of the feature directory and where its audio comes from."""

    name: str
    speaker: str
    audio: Place  # the recording
    span: tuple[float, float] | None  # seconds from `segments`; an end of -1 is the recording's
    speed: Fraction
    source: str  # the name in the data directory
    resample: bool = False  # convert audio of another rate, which is refused otherwise


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


def original_of(name: str) -> str:
    """The utterance that one is a copy of at another speed, by the prefix of its id (sp0.9-); any other is its own."""
    return re.sub(r"^sp\d+(\.\d+)?-", "", name)


def plan(data: Path, speeds: dict[str, Fraction], reading: Reading = AS_IT_IS) -> list[Utterance]:
    """The utterances to make, sorted as LC_ALL=C does.

    Raises:
        UserError: no utterances; text, utt2spk and audio do not name the same ones; a command in wav.scp.
    """
    there = audio_of(data, reading)
    speakers = read_table(data / "utt2spk")
    _same(data, "utt2spk", speakers, there)
    if (data / "text").exists():
        _same(data, "text", read_table(data / "text"), there)
    played = next((row for row in there.values() if row.speed != 1), None)
    if played and set(speeds.values()) != {1}:
        raise UserError(f"{data / SPEEDS}: {played.name} is played at another speed already; leave --speed out")
    rows = [
        replace(row, name=prefix + name, speaker=prefix + speakers[name], speed=speed * row.speed)
        for prefix, speed in speeds.items()
        for name, row in there.items()
    ]
    rows.sort(key=lambda row: row.name.encode())
    for row, following in itertools.pairwise(rows):
        if row.name == following.name:
            raise UserError(
                f"{data}: {row.name} is an utterance and the name of a speed-perturbed one; give other --speed factors"
            )
    return rows


def audio_of(data: Path, reading: Reading = AS_IT_IS) -> dict[str, Utterance]:
    """The utterances of a data directory by name, in the order of `segments` or wav.scp; their speakers are left empty.

    Raises:
        UserError: no utterances, a command in wav.scp, a malformed line, or speeds of other utterances.
    """
    tables = {
        name: read_table(data / name) for name in ("wav.scp", "segments") if name == "wav.scp" or (data / name).exists()
    }
    return audio_in(tables, data, read_speeds(data / SPEEDS) if (data / SPEEDS).exists() else {}, reading)


def audio_in(
    tables: Mapping[str, Mapping[str, str]],
    data: Path,
    speeds: Mapping[str, Fraction] | None = None,
    reading: Reading = AS_IT_IS,
) -> dict[str, Utterance]:
    """The utterances of tables, as `audio_of`.

    Args:
        tables: wav.scp and, where there are any, segments.
        data: the directory that they are of, for messages.
        speeds: of utterances that are not played as they were recorded.
        reading: how audio is read where the tables leave it open.
    """
    recordings = parse_table(tables["wav.scp"], data / "wav.scp")
    if not recordings:
        raise UserError(f"{data / 'wav.scp'}: is empty; run the data stage again")
    rows: dict[str, Utterance] = {}
    for name, row in tables.get("segments", {}).items():
        words, channel = split_channel(row)
        recording, span = parse_segment(data / "segments", name, words, recordings)
        audio = recordings[recording]
        if channel is not None and audio.channel is None:
            audio = audio._replace(channel=channel)
        elif channel not in (None, 1):  # what the list decodes is one channel
            raise UserError(
                f"{data / 'segments'}: {name} is of channel {channel - 1}, but wav.scp takes one channel of "
                f"{recording}; leave one of the two out"
            )
        rows[name] = Utterance(name, "", audio, span, Fraction(1), name)
    if "segments" not in tables:
        rows = {name: Utterance(name, "", audio, None, Fraction(1), name) for name, audio in recordings.items()}
    if not rows:
        raise UserError(f"{data / 'segments'}: is empty; remove it to use whole recordings")
    if speeds:
        _same(data, SPEEDS, speeds, rows)
    return {
        name: replace(
            row,
            speed=(speeds or {}).get(name, row.speed),
            audio=row.audio if row.audio.channel else row.audio._replace(channel=reading.channel),
            resample=reading.resample,
        )
        for name, row in rows.items()
    }


def write_audio(data: Path, out: Path, rows: Sequence[Utterance]) -> None:
    """Write where the audio of these utterances of `data` is into `out`, which has their features: wav.scp and, where
    there are any, `segments` and the speeds of copies. Models that take audio read it there (`audio_of`).
    """
    entries = read_table(data / "wav.scp")
    if (data / "segments").exists():
        lines = read_table(data / "segments")
        cuts = {row.name: with_channel(lines[row.source], row.audio, entries) for row in rows}
        write_table(out / "segments", cuts)
        used = {columns(line)[0] for line in cuts.values()}
        write_table(out / "wav.scp", {name: entry for name, entry in entries.items() if name in used})
    else:
        write_table(out / "wav.scp", {row.name: _entry(entries[row.source], row.audio) for row in rows})
    if any(row.speed != 1 for row in rows):
        write_table(out / SPEEDS, {row.name: f"{float(row.speed)}" for row in rows})


def _entry(entry: str, audio: Place) -> str:
    """An entry of wav.scp, with the channel that `Reading` added to it if a list can say that."""
    decoding = f"sox {shlex.quote(audio.path)} -t wav - remix {audio.channel} |"
    return decoding if audio != parse(entry, entry) and decoded(decoding) == audio else entry


def with_channel(line: str, audio: Place, entries: Mapping[str, str]) -> str:
    """A line of `segments`, with the channel, from 0, that `Reading` added to it; wav.scp may say it already."""
    recording = columns(line)[0]
    if audio.channel is None or parse(entries[recording], recording).channel is not None:
        return line
    return f"{split_channel(line)[0]} {audio.channel - 1}"


def read_speeds(path: Path) -> dict[str, Fraction]:
    """The factors of `utt2speed`; UserError for one that `kdasr feats --speed` would not take."""
    speeds = {}
    for name, word in read_table(path).items():
        try:
            (speeds[name],) = parse_speeds(word).values()
        except (UserError, ValueError):
            raise UserError(f"{path}: {name} has {word!r}; expected a factor from 0.5 to 2, as 0.9") from None
    return speeds


def split_channel(row: str) -> tuple[str, int | None]:
    """A line of `segments` without the channel that Kaldi allows at its end, and that channel: from 1, there from 0."""
    words = columns(row)
    if len(words) == 4 and words[3].isascii() and words[3].isdecimal():
        return " ".join(words[:3]), int(words[3]) + 1
    return row, None


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


def _same(data: Path, table: str, keys: Mapping[str, Any], spans: Mapping[str, Any]) -> None:
    audio = "segments" if (data / "segments").exists() else "wav.scp"
    for where, lacking in ((audio, keys.keys() - spans.keys()), (table, spans.keys() - keys.keys())):
        if lacking:
            other = table if where == audio else audio
            raise UserError(
                f"{data / where}: {min(lacking)} is missing ({len(lacking)} utterances of {data / other} are); "
                "add them, or remove them from both (utils/fix_data_dir.py)"
            )
