"""Long recordings a block at a time: an hour of audio takes the memory of some seconds of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soundfile

from kdasr.data import sphere
from kdasr.data.audio import FLOATS, FULL_SCALE, HIGHEST, LOSSY, ON_16_BIT_SCALE, column_of, length_fault, read_audio
from kdasr.data.places import Place, opened
from kdasr.errors import UserError


def read_blocks(place: Place, name: str, seconds: int) -> Iterator[tuple[np.ndarray, int]]:
    """A recording in blocks of `seconds`, the last one perhaps shorter: samples, int16 (n,), and the rate in Hz.

    They are what `read_audio` gives, cut. What libsndfile cannot read by itself (SPHERE, AN4's raw files, audio in
    archives) is read whole.

    Args:
        place: where the recording is.
        name: of it, for messages.
        seconds: of a block.

    Raises:
        UserError: as `read_audio`; that FLAC has samples of another checksum is not looked for.
    """
    if not streams(place):
        yield from _slices(*read_audio(place, name), seconds)
        return
    found = 0
    try:
        with soundfile.SoundFile(place.path) as file:
            column, rate = column_of(place.channel, file.channels, place.path), file.samplerate
            floats = file.subtype in FLOATS
            scale = _scale(file) if floats else FULL_SCALE
            kind = "float64" if floats or file.subtype in LOSSY else "int16"
            for block in file.blocks(rate * seconds, dtype=kind, always_2d=True):  # (n, channels)
                found += len(block)
                one = block[:, column]  # (n,)
                if kind == "float64":
                    one = np.clip(np.rint(one * scale), -32768, 32767)
                yield one.astype(np.int16), rate
            if found and (lacks := length_fault(file, found)):
                raise UserError(f"{place.path}: {lacks}; the file is truncated or damaged, copy it again")
    except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError, MemoryError):
        read_audio(place, name)  # says what is wrong
        raise
    if not found:  # a header without a length, or really nothing
        yield from _slices(*read_audio(place, name), seconds)


def seconds_of(place: Place, name: str) -> float:
    """How long a recording is, by its header if that says so; raises as `read_audio`."""
    if streams(place):
        try:
            with soundfile.SoundFile(place.path) as file:
                if file.frames:
                    return file.frames / file.samplerate
        except (soundfile.LibsndfileError, RuntimeError, OSError, ValueError):
            pass  # read_audio says what is wrong
    samples, rate = read_audio(place._replace(channel=place.channel or 1), name)
    return len(samples) / rate


def streams(place: Place) -> bool:
    """Whether libsndfile can read a recording piece by piece: a file, none of the kinds that are read by other means.

    Raises:
        UserError: there is no such file.
    """
    if place.command or place.offset is not None or place.ranges or place.path.lower().endswith(".raw"):
        return False
    with opened(place, place.path) as stream:
        return stream.read(len(sphere.MAGIC)) != sphere.MAGIC


def _scale(file: soundfile.SoundFile) -> float:
    """What floats are multiplied by to be of 16 bit, as `read_audio` guesses it; the file is at its beginning again.

    Raises:
        ValueError: `read_audio` refuses such floats.
    """
    peak = max((float(np.abs(block).max()) for block in file.blocks(1 << 16, dtype="float64")), default=0.0)
    file.seek(0)
    if not peak <= HIGHEST:
        raise ValueError("floats on an unknown scale")
    return 1.0 if peak > ON_16_BIT_SCALE else FULL_SCALE


def _slices(samples: np.ndarray, rate: int, seconds: int) -> Iterator[tuple[np.ndarray, int]]:
    """Samples (n,) that were read whole, in blocks."""
    for start in range(0, len(samples), rate * seconds):
        yield samples[start : start + rate * seconds], rate
