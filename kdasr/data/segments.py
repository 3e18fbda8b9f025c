"""Long recordings -> utterances: cut at pauses, by a table `segments`; no audio is copied.

What is between two pauses of `min_pause` seconds or more is an utterance, with up to `margin` seconds of silence at
both ends. One that is longer than `max_seconds` is cut again, in its second half as far as it may reach: in the middle
of the longest pause there or, where nobody pauses, at the quietest place. So all that is speech is in an utterance, and
each moment in one at most.

An utterance is called REC-0000120-0001534: what it was cut from, and where, in hundredths of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter1d

from kdasr.data.blocks import seconds_of
from kdasr.data.folder import folder_tables
from kdasr.data.kaldi_dir import SPEAKER_TABLES, Tables, put_sets, read_dir
from kdasr.data.places import Place
from kdasr.data.utterances import AS_IT_IS, SPEEDS, Reading, Utterance, audio_in, with_channel
from kdasr.data.voice import FRAME_SECONDS, Voice, listen
from kdasr.errors import UserError
from kdasr.files import columns, read_table
from kdasr.settings import check_least
from kdasr.workers import run_in_order

SPEECH = 0.3  # probability from which a frame counts as speech; low, as a lost word is worse than a cough that stays
SHORTEST = 3  # frames of speech: less is a click
SMALL_PAUSE = 3  # frames without speech that a cut is put into, where an utterance is too long
LOCAL = 5  # frames that the level is averaged over, to find the quietest place
LEAST = 2.0  # seconds: the smallest max_seconds
KEPT = (*SPEAKER_TABLES, "reco2file_and_channel", "reco2dur")  # tables that stay as they are


@dataclass(frozen=True)
class Cutting:
    """How recordings are cut; all in seconds.

    Raises:
        UserError: a value out of range.
    """

    max_seconds: float = 20.0  # the longest utterance
    min_pause: float = 0.5  # silence that ends an utterance
    margin: float = 0.25  # silence kept at both ends of one
    whole_up_to: float = 0.0  # what is no longer stays as it is

    def __post_init__(self) -> None:
        check_least("max_seconds", self.max_seconds, LEAST)
        check_least("min_pause", self.min_pause, 0)
        check_least("margin", self.margin, 0)
        check_least("whole_up_to", self.whole_up_to, 0)


def write_segments(source: Path, out: Path, how: Cutting, reading: Reading = AS_IT_IS, nj: int = 1) -> None:
    """Write a data directory of what the recordings of another one, or of a folder of audio, are cut into.

    Args:
        source: a data directory, whose utt2spk and segments may be missing, or a folder of audio files.
        out: the data directory.
        how: how they are cut.
        reading: which channel is taken of recordings of several.
        nj: processes.

    Raises:
        UserError: no audio, or none that can be read; no speech in any recording; `out` is `source`.
    """
    if out.resolve() == source.resolve():
        raise UserError(f"{out}: would be replaced by what it is cut into; name another --out")
    tables, notes = tables_of(source)
    if tables.pop("text", None) is not None:
        notes.append("transcripts left out: they do not say which words are in which part")
    fresh, said = cut_tables(tables, source, how, reading, nj)
    put_sets(out.parent, {out.name: (fresh, [*notes, *said])})


def tables_of(source: Path) -> tuple[Tables, list[str]]:
    """The tables of a data directory or a folder of audio, and notes on what was left out; UserError for neither."""
    if not (source / "wav.scp").exists() and not (source / "utt2spk").exists():
        return folder_tables(source)
    if (source / "utt2spk").exists():
        tables = read_dir(source)
        if "wav.scp" not in tables:
            raise UserError(f"{source}/wav.scp: no such file; audio is cut, and features are made afterwards")
        return tables, []
    names = ("wav.scp", "segments")
    tables = {name: read_table(source / name) for name in names if (source / name).exists()}
    utterances = tables.get("segments", tables["wav.scp"])
    return tables | {"utt2spk": {name: name for name in utterances}}, []  # each a speaker of its own


def cut_tables(
    tables: Tables, source: Path, how: Cutting, reading: Reading = AS_IT_IS, nj: int = 1
) -> tuple[Tables, list[str]]:
    """The tables of what utterances are cut into, and notes: how many, and which hold no speech.

    Args:
        tables: wav.scp, utt2spk and perhaps segments.
        source: where they are from, for messages.
        how: how they are cut.
        reading: which channel is taken of recordings of several.
        nj: processes.

    Raises:
        UserError: as `write_segments`.
    """
    if SPEEDS in tables:
        raise UserError(f"{source}/{SPEEDS}: copies at other speeds are made of what was cut; cut the originals")
    rows = audio_in(tables, source, reading=reading)
    for name in rows:
        if name not in tables["utt2spk"]:
            raise UserError(f"{source}/utt2spk: {name} is missing; add its speaker")
    lengths = {name: length_of(row) for name, row in rows.items()} if how.whole_up_to else {}
    long = [row for name, row in rows.items() if not lengths or lengths[name] > how.whole_up_to]
    if not long:
        return tables, [f"none of {len(rows)} recordings is cut"]
    places = list(dict.fromkeys(row.audio for row in long))
    heard = dict(zip(places, run_in_order(hear, places, nj, "listening"), strict=True))
    segments, speakers, silent, cut = {}, {}, [], {row.name for row in long}
    for name, row in rows.items():
        old = tables["segments"][name] if "segments" in tables else f"{name} 0 -1"
        first = round(100 * row.span[0]) if row.span else 0
        pieces = {name: old} if name not in cut else {}
        for start, end in cuts_of(heard[row.audio], row.span, how) if name in cut else ():
            piece = f"{name}-{start - first:07d}-{end - first:07d}"
            pieces[piece] = f"{columns(old)[0]} {start / 100:.2f} {end / 100:.2f}"
        if not pieces:
            silent.append(name)
        segments |= {piece: with_channel(line, row.audio, tables["wav.scp"]) for piece, line in pieces.items()}
        speakers |= dict.fromkeys(pieces, tables["utt2spk"][name])
    if not segments:
        raise UserError(f"{source}: no speech is heard in any of {len(rows)} recordings, as {silent[0]}; listen to it")
    fresh = {name: dict(table) for name, table in tables.items() if name in KEPT}
    used = {columns(line)[0] for line in segments.values()}
    fresh |= {"segments": segments, "utt2spk": speakers}
    fresh["wav.scp"] = {name: entry for name, entry in tables["wav.scp"].items() if name in used}
    made = len(segments) - (len(rows) - len(cut))
    notes = [f"{len(cut)} of {len(rows)} recordings cut into {made} utterances"]
    return fresh, [*notes, *([f"WARNING: no speech is heard in {', '.join(silent)}, left out"] if silent else [])]


def length_of(row: Utterance) -> float:
    """Seconds of an utterance; raises as `seconds_of`."""
    start, end = row.span or (0.0, -1.0)
    return (seconds_of(row.audio, row.audio.path or row.source) if end == -1 else end) - start


def hear(place: Place) -> Voice:
    """`listen`, for a worker process."""
    return listen(place, place.path)


def cuts_of(voice: Voice, span: tuple[float, float] | None, how: Cutting) -> list[tuple[int, int]]:
    """What a recording, or a span of it in seconds, is cut into: starts and ends in hundredths of a second."""
    start, end = span or (0.0, -1.0)
    end = voice.seconds if end == -1 else min(end, voice.seconds)
    first, last = round(start / FRAME_SECONDS), round(end / FRAME_SECONDS)
    found = cut_frames(voice.speech[first:last] >= SPEECH, voice.level[first:last], how)
    hundredths = [tuple(round(100 * FRAME_SECONDS * (first + frame)) for frame in pair) for pair in found]
    low, high = round(100 * start), int(100 * end)  # the last frame may be longer than the audio
    return [(max(a, low), min(b, high)) for a, b in hundredths if max(a, low) < min(b, high)]


def cut_frames(speech: np.ndarray, level: np.ndarray, how: Cutting) -> list[tuple[int, int]]:
    """What a recording is cut into: first and one behind the last frame of each utterance.

    Args:
        speech: bool (frames,), whether somebody speaks.
        level: float (frames,), dB.
        how: how it is cut.
    """
    pause, margin = (int(seconds / FRAME_SECONDS + 0.999) for seconds in (how.min_pause, how.margin))
    most = int((how.max_seconds - 0.01) / FRAME_SECONDS)  # ends are rounded to hundredths
    joined: list[tuple[int, int]] = []
    for start, end in runs(speech):
        if joined and start - joined[-1][1] < max(pause, 1):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    spoken = [(start, end) for start, end in joined if speech[start:end].sum() >= SHORTEST]
    found: list[tuple[int, int]] = []
    for number, (start, end) in enumerate(spoken):
        # of a pause that is shorter than two margins each side gets half
        before = (spoken[number - 1][1] + start) // 2 if number else 0
        after = (end + spoken[number + 1][0]) // 2 if number + 1 < len(spoken) else len(speech)
        found += shortened(max(start - margin, before), min(end + margin, after), speech, level, most)
    return found


def shortened(start: int, end: int, speech: np.ndarray, level: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """An utterance in parts of at most `most` frames."""
    while end - start > most:
        low, high = start + most // 2, min(start + most, end - most // 8)  # and so that no scrap is left
        place = low + quietest(speech[low:high], level[low:high])
        yield start, place
        start = place
    yield start, end


def quietest(speech: np.ndarray, level: np.ndarray) -> int:
    """The frame to cut at: in the middle of the longest pause or, without any, where it is quietest."""
    pauses = [(end - start, (start + end) // 2) for start, end in runs(~speech) if end - start >= SMALL_PAUSE]
    if pauses:
        return max(pauses, key=lambda pause: pause[0])[1]
    return int(np.argmin(uniform_filter1d(level.astype(np.float64), LOCAL, mode="nearest")))


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Where flags, bool (n,), are set: start and end of each run."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
