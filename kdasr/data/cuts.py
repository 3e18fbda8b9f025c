"""The audio of an utterance: its recording is read once for neighbouring segments, cut, resampled, and played."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from kdasr.data.audio import read_audio
from kdasr.data.places import Place
from kdasr.data.utterances import Utterance
from kdasr.errors import UserError

KEPT = 1 << 26  # samples of recordings that are kept for their other segments: 70 minutes at 16 kHz, 128 MB

Read = Callable[[Place, str], tuple[np.ndarray, int]]  # a recording and its name: samples, int16 (n,), and Hz


class Recordings:
    """Recordings by their places; those that were read last are kept, as many as fit.

    Args:
        kept: samples in all, at most; the last recording is kept whatever its length.
        read: a recording.
    """

    def __init__(self, kept: int = KEPT, read: Read = read_audio) -> None:
        self.room, self.read = kept, read
        self.known: dict[Place, tuple[np.ndarray, int]] = {}  # the one that was asked for last stands last

    def __call__(self, place: Place, name: str) -> tuple[np.ndarray, int]:
        """Samples, int16 (n,), and the rate in Hz; raises as `read_audio`."""
        read = self.known.pop(place, None) or self.read(place, name)
        while self.known and sum(len(samples) for samples, _ in self.known.values()) + len(read[0]) > self.room:
            del self.known[next(iter(self.known))]
        self.known[place] = read
        return read


def read_cut(row: Utterance, read: Read, rate: int, other_rate: str) -> np.ndarray:
    """The samples of one utterance, int16 (n,), at `rate`.

    Args:
        row: the utterance.
        read: gives a recording's samples and rate.
        rate: Hz.
        other_rate: what is said of a recording of another rate that is not to be resampled; {found} and {rate} in it
            are filled in.

    Raises:
        UserError: unreadable audio, another rate, or a segment that ends or begins behind its recording.
    """
    try:
        samples, found = read(row.audio, row.audio.path or row.source)  # (n,) int16
    except (UserError, OSError, RuntimeError, ValueError) as error:
        raise UserError(f"utterance {row.source}: {error}") from None
    path = row.audio.path or row.audio.command
    if found != rate and not row.resample:
        raise UserError(f"utterance {row.source}: {path} {other_rate.format(found=found, rate=rate)}")
    if row.span:
        start, end = (round(second * found) for second in row.span)
        if start >= len(samples) or end > len(samples) + found // 2:  # Kaldi, too, lets a segment end a little late
            raise UserError(
                f"utterance {row.source}: ends at {max(row.span)} s, {path} lasts {len(samples) / found:.2f} s; "
                "correct its segment"
            )
        samples = samples[start:] if row.span[1] == -1 else samples[start:end]
    speed = row.speed * Fraction(found, rate)  # one filter for both: a higher rate is audio that plays too slowly
    if speed != 1:
        # here: it loads scipy.signal, which takes a second or more, and few sets need it
        from kdasr.data.speed import change_speed

        samples = change_speed(samples, speed)
    return samples
