"""What the headers of audio files say, read before anything is made of the files: minutes, not hours, into a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import soundfile

from kdasr.data import sphere
from kdasr.data.places import Place, parse
from kdasr.data.utterances import Reading, parse_segment, split_channel
from kdasr.errors import UserError

LATE = 0.5  # seconds by which a segment may end behind its recording, as in kdasr.data.cuts


class Header(NamedTuple):
    """What a header says."""

    rate: int  # Hz
    channels: int
    seconds: float  # 0: the header does not say it


def read_header(path: str, where: str) -> Header | None:
    """The header of a file.

    Args:
        path: of the file.
        where: list and key, for messages.

    Returns:
        None for files without one: samples alone (.raw).

    Raises:
        UserError: the file is no audio.
    """
    if path.lower().endswith(".raw"):
        return None
    with Path(path).open("rb") as stream:
        head = stream.read(len(sphere.MAGIC))
        sphere_header = head + stream.read(1 << 16) if head == sphere.MAGIC else b""
    if sphere_header:
        read = sphere.parse_header(sphere_header, path)
        return Header(read.rate, read.channels, read.sample_count / read.rate if read.rate else 0.0)
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise UserError(
            f"{where}: {path}: is not audio that can be read, or damaged ({error}); copy it again"
        ) from None
    return Header(info.samplerate, info.channels, info.frames / info.samplerate)


class HeaderCheck:
    """Checks sets one after the other; all their audio has to have the rate of the first recording.

    Args:
        reading: what is done with other rates and with several channels.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.first: tuple[str, int] | None = None  # a file, and its rate

    def check(self, tables: Mapping[str, Mapping[str, str]], directory: str | Path) -> None:
        """UserError for audio of another rate or of several channels, and for segments behind the end of the audio.

        Args:
            tables: of a data directory, with whole paths in wav.scp; entries that are no files are not looked at.
            directory: it, for messages.
        """
        list_of_audio = f"{directory}/wav.scp"
        headers = {
            key: (place, header)
            for key, entry in tables["wav.scp"].items()
            if (place := parse(entry, f"{list_of_audio}: {key}")).path and place.offset is None
            if (header := read_header(place.path, f"{list_of_audio}: {key}"))
        }
        for key, (place, header) in headers.items():
            self._check_rate(f"{list_of_audio}: {key}", place.path, header.rate)
        chosen = set()  # recordings of which the segments take a channel
        for key, row in tables.get("segments", {}).items():
            words, channel = split_channel(row)
            recording, span = parse_segment(Path(directory) / "segments", key, words, tables["wav.scp"])
            if channel is not None:
                chosen.add(recording)
            if recording in headers:
                _check_span(f"{directory}/segments: {key}", span, *headers[recording])
        for key, (place, header) in headers.items():
            if header.channels > 1 and not (place.channel or self.reading.channel or key in chosen):
                raise UserError(
                    f"{list_of_audio}: {key}: {place.path} has {header.channels} channels; name the one to take, for "
                    f"all such files with --audio_opts '--channel 1' (kdasr data own: --channel 1)"
                )

    def _check_rate(self, where: str, path: str, rate: int) -> None:
        self.first = self.first or (path, rate)
        if rate != self.first[1] and not self.reading.resample:
            raise UserError(
                f"{where}: {path} has {rate} Hz, {self.first[0]} has {self.first[1]}; convert one of them, or have it "
                "done with --audio_opts --resample (kdasr data own: --resample)"
            )


def _check_span(where: str, span: tuple[float, float], place: Place, header: Header) -> None:
    """UserError for a segment that begins or ends behind its recording."""
    start, end = span
    if header.seconds and (start >= header.seconds or end > header.seconds + LATE):
        raise UserError(
            f"{where}: goes from {start:g} to {end:g} s, and {place.path} lasts {header.seconds:.2f} s; correct it"
        )
