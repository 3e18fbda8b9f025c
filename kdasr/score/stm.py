"""Segments in time (NIST's stm) against words in time (ctm), as sclite joins them.

A recording is a file and a channel; recordings follow each other in the same order on both sides. A segment takes
the words whose middle lies before its end, from where the segment before it stopped: words in a gap go to the
segment after it, and a recording's last segment takes all that are left. Segments that say
IGNORE_TIME_SEGMENT_IN_SCORING are dropped with their words. Utterances are named `SPEAKER-000` and on; the reports
find the speaker in that by id form `stm`.

sclite accepts some files that do not fit; these are refused here: recordings that one side lacks, overlapping or
unsorted segments, unsorted words, alternatives in a ctm. Confidences are ignored: sclite's tables would have a
column NCE for them, which the reports here lack; all else is as without them.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from kdasr.errors import UserError
from kdasr.files import atomic_write, read_lines
from kdasr.score.sclite import TITLE
from kdasr.score.trn import (
    BLANKS,
    LONGEST_ID,
    NULL,
    Line,
    numbered,
    odd_id,
    odd_word,
    parse,
    same_id,
    same_utterances,
    shown,
)

NUMBER = re.compile(r"\d+\.?\d*|\.\d+", re.ASCII)
LATEST = 1e9  # seconds
IGNORED = b"ignore_time_segment_in_scoring", b"ignoretimesegmentinscoring"


@dataclass(frozen=True)
class Segment:
    """A line of an stm file."""

    where: str  # its file and line
    recording: tuple[str, str]  # file and channel
    speaker: str
    start: float  # seconds
    end: float
    labels: str  # `<O,M>`, or ""
    text: str

    @property
    def ignored(self) -> bool:
        """Whether it is not to be scored."""
        return any(mark in self.text.encode().lower() for mark in IGNORED)


@dataclass(frozen=True)
class Spoken:
    """A line of a ctm file: a word that was recognised."""

    where: str
    recording: tuple[str, str]
    start: float
    duration: float
    word: str


Timed = TypeVar("Timed", Segment, Spoken)


def read(ref_path: str | Path, hyp_path: str | Path, case_sensitive: bool = False) -> tuple[list[Line], list[Line]]:
    """The two sides of each segment that is to be scored, in the order of the stm.

    Args:
        ref_path: an stm file.
        hyp_path: a ctm file of the same recordings in the same order.
        case_sensitive: whether names of recordings and speakers may differ in case alone; otherwise sclite
            lowers them.

    Raises:
        UserError: see the module; anything malformed, with file and line.
    """
    segments, words = read_stm(ref_path, case_sensitive), read_ctm(hyp_path, case_sensitive)
    _same_recordings(segments, words, ref_path, hyp_path)
    numbers: dict[str, int] = {}
    ref, hyp = [], []
    for (file, channel), members in segments.items():
        for segment, found in _share(members, words[file, channel]):
            if segment.ignored:
                continue
            number = numbers[segment.speaker] = numbers.get(segment.speaker, -1) + 1
            name = f"{segment.speaker}-{number:03d}"
            labels = (f"Labels: {segment.labels}",) if segment.labels else ()
            notes = (*labels, f"File: {file}", f"Channel: {channel}")
            ref.append(Line(name, parse(segment.text, segment.where), notes))
            hyp.append(Line(name, tuple(one.word for one in found)))
    if not ref:
        raise UserError(f"{ref_path}: holds no segment to score, all are marked to be ignored; see what wrote it")
    return ref, hyp


def _same_recordings(
    segments: dict[tuple[str, str], list[Segment]],
    words: dict[tuple[str, str], list[Spoken]],
    ref_path: str | Path,
    hyp_path: str | Path,
) -> None:
    ref, hyp = ({" ".join(recording): recording for recording in side} for side in (segments, words))
    try:
        same_utterances(ref, hyp, ref_path, hyp_path, "recordings")
    except UserError as error:
        raise UserError(f"{error}; if all of a recording was silence, say so: 'FILE CHANNEL 0 0 {NULL}'") from None
    for left, right in zip(segments, words, strict=True):
        if left != right:
            raise UserError(
                f"{words[right][0].where}: {' '.join(right)} stands where {ref_path} has {' '.join(left)}; "
                "sort both files by recording and channel in one way"
            )


def _share(segments: Sequence[Segment], words: Sequence[Spoken]) -> Iterator[tuple[Segment, Sequence[Spoken]]]:
    """A recording's segments, each with its words."""
    start = 0
    for segment in segments[:-1]:
        stop, limit = start, struct.unpack("f", struct.pack("f", segment.end))[0]  # sclite's is a single float
        while stop < len(words) and words[stop].start + words[stop].duration / 2.0 < limit:
            stop += 1
        yield segment, words[start:stop]
        start = stop
    yield segments[-1], words[start:]


def read_stm(path: str | Path, case_sensitive: bool = False) -> dict[tuple[str, str], list[Segment]]:
    """Read `FILE CHANNEL SPEAKER START END [<LABELS>] [WORD...]` lines: each recording's segments, checked."""
    segments: list[Segment] = []
    skipped = False
    for where, text in numbered(path):
        skipped = text.startswith(";;") or not text.strip(BLANKS)
        if skipped:
            continue
        if text.startswith("**"):
            raise UserError(f"{where}: sclite skips a line that begins with '**'; begin comments with ';;'")
        fields = re.split("[ \t]+", text.strip(" \t"), maxsplit=5)
        if len(fields) < 5:
            raise UserError(
                f"{where}: expected 'FILE CHANNEL SPEAKER START END WORD...', found {shown(text)}; correct it"
            )
        words, labels = fields[5] if len(fields) > 5 else "", ""
        if words.startswith("<"):
            labels, _, words = words.replace("\t", " ").partition(" ")
        file, channel, speaker, labels = (_name(field, where, case_sensitive) for field in (*fields[:3], labels))
        start, end = (_number(field, where) for field in fields[3:5])
        if end < start:
            raise UserError(
                f"{where}: the segment ends at {end:g} s, before it begins at {start:g} s; correct the line"
            )
        segments.append(Segment(where, (file, channel), speaker, start, end, labels, words))
    if not segments:
        raise UserError(f"{path}: holds no segment; run the stage that writes it")
    if skipped and not Path(path).read_bytes().endswith(b"\n"):
        raise UserError(f"{where}: the last line has no end, and sclite would crash; add the newline")
    recordings = _by_recording(segments)
    for before, one in (two for members in recordings.values() for two in pairwise(members)):
        if one.start < before.end:
            raise UserError(
                f"{one.where}: the segment begins at {one.start:g} s, before that of {before.where} ends at "
                f"{before.end:g} s; overlapped speech is not scored here: sort the segments, or cut them"
            )
    return recordings


def read_ctm(path: str | Path, case_sensitive: bool = False) -> dict[tuple[str, str], list[Spoken]]:
    """Read `FILE CHANNEL START DURATION WORD [CONFIDENCE]` lines: each recording's words, checked."""
    words: list[Spoken] = []
    for where, text in numbered(path):
        if text.startswith(";"):
            continue
        fields = re.split("[ \t]+", text.strip(" \t"))
        if len(fields) < 5:
            raise UserError(
                f"{where}: expected 'FILE CHANNEL START DURATION WORD', found {shown(text)}; correct the line"
            )
        file, channel = (_name(field, where, case_sensitive) for field in fields[:2])
        start, duration = (_number(field, where) for field in fields[2:4])
        word = fields[4]
        if why := odd_word(word):
            raise UserError(f"{where}: {why}; take it out of the text")
        if len(word.encode()) > LONGEST_ID:
            raise UserError(f"{where}: the word is longer than {LONGEST_ID} bytes, and sclite would cut it; correct it")
        if word.lower().startswith("<alt"):
            raise UserError(f"{where}: alternatives of a hypothesis ({word}) are not scored here; keep one of them")
        words.append(Spoken(where, (file, channel), start, duration, word))
    if not words:
        raise UserError(f"{path}: holds no word; run the stage that writes it")
    recordings = _by_recording(words)
    for before, one in (two for members in recordings.values() for two in pairwise(members)):
        if one.start < before.start:
            raise UserError(f"{one.where}: {one.word!r} begins before the word of {before.where}; sort them by time")
    return recordings


def _by_recording(lines: Sequence[Timed]) -> dict[tuple[str, str], list[Timed]]:
    recordings: dict[tuple[str, str], list[Timed]] = {}
    before = None
    for line in lines:
        members = recordings.setdefault(line.recording, [])
        if members and members[-1] is not before:
            raise UserError(
                f"{line.where}: {' '.join(line.recording)} is here again after another recording; "
                "sort the file by recording, channel and time"
            )
        members.append(line)
        before = line
    return recordings


def _name(field: str, where: str, case_sensitive: bool) -> str:
    if why := odd_id(field):
        raise UserError(f"{where}: {why}; rename it")
    return same_id(field, case_sensitive)


def _number(field: str, where: str) -> float:
    if not NUMBER.fullmatch(field) or float(field) > LATEST:
        raise UserError(f"{where}: expected a number of seconds, found {shown(field)}; correct the line")
    return float(field)


def real_reports(
    program: str,
    ref_path: str | Path,
    hyp_path: str | Path,
    case_sensitive: bool = False,
    options: Sequence[str] = (),
    reports: str = "sum rsum pra",
    chars: bool = False,
) -> bytes:
    """What the real sclite prints for the two files; UserError if it fails.

    It is given copies, as `read` takes them: without confidences, byte-order marks and DOS line ends.

    Args:
        program: as from `sclite.find`.
        ref_path: an stm file.
        hyp_path: a ctm file.
        case_sensitive: as for `read`.
        options: further ones of sclite's: -D for optional words, -F for fragments.
        reports: sclite's -o.
        chars: count characters (-e utf-8 -c).
    """
    ended = Path(ref_path).read_bytes().endswith(b"\n")
    with tempfile.TemporaryDirectory() as directory:
        with atomic_write(Path(directory, "ref.stm")) as stream:
            stream.write("\n".join(read_lines(ref_path)) + "\n" * ended)
        with atomic_write(Path(directory, "hyp.ctm")) as stream:
            for line in read_lines(hyp_path):
                stream.write(line if line.startswith(";") else " ".join(re.split("[ \t]+", line.strip(" \t"))[:5]))
                stream.write("\n")
        command = [program, "-r", "ref.stm", "stm", "-h", "hyp.ctm", "ctm", TITLE]
        command += [*(["-s"] if case_sensitive else []), *(["-e", "utf-8", "-c"] if chars else []), *options]
        command += ["-o", *reports.split(), "stdout"]
        done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
    if done.returncode != 0:
        message = (done.stderr + done.stdout).decode(errors="replace").strip().splitlines()
        raise UserError(
            f"{program} failed with status {done.returncode} on {ref_path} and {hyp_path} "
            f"({' '.join(message[-3:])}); compare these files, or leave --check out"
        )
    return done.stdout
