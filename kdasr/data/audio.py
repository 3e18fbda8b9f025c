"""Audio files as int16 samples: SPHERE, WAV, FLAC, and AN4's raw files; what a file is, its content says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from kdasr.data import sphere
from kdasr.errors import UserError

RAW_RATE = 16000  # Hz; a file without a header is AN4's, which has this rate
_STREAMED = 0x7FFFF000  # bytes: a WAV header written before its length was known says this or more


def read_audio(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """Read a file of one channel.

    Args:
        path: SPHERE (.wv1, .wv2, .sph, any name: the first bytes decide), WAV, FLAC or what else libsndfile
            reads, or 16-bit samples without a header, if the name ends in .raw.

    Returns:
        Samples, int16 (n,), and the rate in Hz.

    Raises:
        UserError: absent, truncated (expected and found count are named), not audio, or several channels.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            magic = stream.read(len(sphere.MAGIC))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; prepare the data directory again if the corpus has moved") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy it again") from None
    if magic == sphere.MAGIC:
        return sphere.read_sphere(path)
    if path.suffix.lower() == ".raw":
        return _read_raw(path), RAW_RATE
    return _read_soundfile(path)


def _read_soundfile(path: Path) -> tuple[np.ndarray, int]:
    """WAV, FLAC and others by libsndfile: int16 (n,), Hz."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            expected, rate, channels, log = file.frames, file.samplerate, file.channels, file.extra_info
            if channels != 1:
                raise UserError(f"{path}: {channels} channels, expected 1; cut one channel out first")
            samples = file.read(dtype="int16")  # (n,)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise UserError(f"{path}: is not audio that can be read, or damaged ({error}); copy it again") from None
    # libsndfile quietly corrects the header of a WAV that is cut off, and says so in its log only
    cut = re.search(r"^data : (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    if cut and int(cut[2]) < int(cut[1]) < _STREAMED:
        expected = int(cut[1]) // 2
    if len(samples) != expected:
        raise UserError(
            f"{path}: the header promises {expected} samples, found {len(samples)};"
            " the file is truncated or damaged, copy it again"
        )
    return samples, rate


def _read_raw(path: Path) -> np.ndarray:
    """Samples without a header, int16 (n,), in either byte order.

    AN4 is distributed in both orders under the same names. Speech read in the wrong order is noise of full
    scale, so the smoother of the two readings is the right one.
    """
    data = path.read_bytes()
    if not data or len(data) % 2:
        raise UserError(f"{path}: {len(data)} bytes are no 16-bit samples; the file is truncated, copy it again")
    big, little = (np.frombuffer(data, order).astype(np.int32) for order in (">i2", "<i2"))  # (n,) each
    rough = [int(np.abs(np.diff(reading)).sum()) for reading in (big, little)]
    return (big if rough[0] <= rough[1] else little).astype(np.int16)
