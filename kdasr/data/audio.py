"""Audio as int16 samples: SPHERE, WAV, FLAC and others, AN4's raw files, audio in archives; told apart by content."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from kdasr.data import sphere
from kdasr.data.places import Place, opened
from kdasr.errors import UserError

RAW_RATE = 16000  # Hz; a file without a header is AN4's, which has this rate
# bytes of a sample of libsndfile's subtypes that a WAV may hold and that have a fixed size
WIDTHS = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "FLOAT": 4, "DOUBLE": 8}
FLAC_MD5 = slice(26, 42)  # bytes of a FLAC file: the MD5 of its samples, in the first block
LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")  # decoded to floats that may exceed 1
FLOATS = ("FLOAT", "DOUBLE")  # libsndfile's names of samples that are not whole numbers
FULL_SCALE = 32768.0  # of 16 bit: the value of 1.0 in a file of floats
# Floats above this are no clipped speech but already on the 16-bit scale, as some programs write them.
ON_16_BIT_SCALE = 16.0
LARGEST = 1 << 34  # bytes of a file of audio that is read: it has to fit into memory
HIGHEST = 65536.0  # floats above this are on an unknown scale
# What a file that is no raw one begins with, whatever its name: WAV, FLAC, AIFF, AU, Ogg, CAF.
HEADERS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"FORM", b".snd", b"OggS", b"caff")
# libsndfile quietly corrects the header of a file that is cut off, and says so in its log only: the chunk of the
# samples, its length, and what is there. A WAV's RIFF line says nothing: what lacks may be a tag behind the samples.
CUT_WAV = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
CUT = re.compile(r"^ *(?:SSND|BODY|riff|Riff size|Data Size|Data length) *:? (\d+) \(?should be (\d+)", re.MULTILINE)
_STREAMED = 0x7FFFF000  # bytes: a WAV header written before its length was known says this or more


def read_audio(place: str | os.PathLike[str] | Place, name: str = "", mix: bool = False) -> tuple[np.ndarray, int]:
    """Read a recording of one channel, or a channel of one of several, or the mean of all.

    Args:
        place: SPHERE (.wv1, .wv2, .sph, any name: the first bytes decide), WAV, FLAC or what else libsndfile
            reads, or 16-bit samples without a header, if the name ends in .raw; also audio in an archive.
        name: of the utterance or recording, for messages.
        mix: take the mean of several channels, where the place names none; that it was taken is told on stderr.

    Returns:
        Samples, int16 (n,), and the rate in Hz. Floats in [-1, 1] are scaled by 32768, rounded and clipped, as a
        program that saves them in 16 bit does.

    Raises:
        UserError: absent, truncated (expected and found count are named), not audio, or several channels.
    """
    at = place if isinstance(place, Place) else Place(os.fspath(place))
    if at.ranges:
        raise UserError(f"{name or at.path}: a range of rows is for features, not for audio; cut it with `segments`")
    if not at.command and at.offset is None:
        return _read_file(Path(at.path), at.channel, mix)
    where = f"{f'{name}: ' if name else ''}{f'{at.path}:{at.offset}' if at.path else at.command}"
    with opened(at, name or where) as stream:
        data = _archived(stream, where) if at.offset is not None else stream.read()
    if data.startswith(sphere.MAGIC):
        raise UserError(f"{where}: is SPHERE, which is read from files alone; give the file's path")
    return _read_soundfile(io.BytesIO(data), where, at.channel, mix)


def _read_file(path: Path, channel: int | None, mix: bool) -> tuple[np.ndarray, int]:
    """A whole file."""
    with opened(Place(str(path)), str(path)) as stream:
        magic = stream.read(len(sphere.MAGIC))
        if stream.seek(0, 2) > LARGEST:
            raise UserError(f"{path}: has more than {LARGEST >> 30} GiB, which no recording here has; cut it")
    if magic == sphere.MAGIC:
        return sphere.read_sphere(path, channel)
    if path.suffix.lower() == ".raw" and not magic.startswith(HEADERS):
        if channel not in (None, 1):
            raise UserError(f"{path}: has one channel, and number {channel} is asked for; correct the list")
        return _read_raw(path), RAW_RATE
    # by its bytes, as soundfile would go by the name
    named_raw = path.suffix.lower() == ".raw"
    return _read_soundfile(io.BytesIO(path.read_bytes()) if named_raw else path, str(path), channel, mix)


def _read_soundfile(
    source: Path | BinaryIO, path: str, channel: int | None, mix: bool = False
) -> tuple[np.ndarray, int]:
    """WAV, FLAC and others by libsndfile: int16 (n,), Hz."""
    try:
        with soundfile.SoundFile(source) as file:
            rate, channels = file.samplerate, file.channels
            mean = mix and channel is None and channels > 1
            column = 0 if mean else column_of(channel, channels, path)
            floats, lossy = file.subtype in FLOATS, file.subtype in LOSSY
            samples = file.read(dtype="float64" if floats or lossy else "int16", always_2d=True)  # (n, channels)
            lacks = length_fault(file, len(samples))
            flac = file.format == "FLAC" and file.subtype == "PCM_16"
    except ValueError as error:  # soundfile's of a coding of which only libsndfile's own programs can tell the length
        raise UserError(
            f"{path}: is of a coding that is not read here ({error}); convert it to a WAV of 16 bit"
        ) from None
    except (soundfile.LibsndfileError, RuntimeError, OSError, MemoryError) as error:
        raise UserError(f"{path}: is not audio that can be read, or damaged ({error}); copy it again") from None
    if not len(samples) and (streamed := _without_length(source)):
        return _read_soundfile(io.BytesIO(streamed), path, channel, mix)
    if lacks:
        raise UserError(f"{path}: {lacks}; the file is truncated or damaged, copy it again")
    if flac and not _has_its_md5(source, samples):
        raise UserError(f"{path}: its samples are not those of its header's MD5; the file is damaged, copy it again")
    if mean:
        say_once("mixed", f"{path}: {channels} channels, of which the mean is taken, and so of all such files")
        return _rounded(samples.mean(1) / (1.0 if floats or lossy else FULL_SCALE), path, guess=floats), rate
    one = samples[:, column]  # (n,)
    if not floats and not lossy:
        return np.ascontiguousarray(one), rate
    return _rounded(one, path, guess=floats), rate


def column_of(channel: int | None, channels: int, path: str) -> int:
    """The column of samples (n, channels) that a channel, from 1, is; UserError if it is not there, or left open."""
    if channel is None and channels != 1:
        raise UserError(f"{path}: {channels} channels, expected 1; name one in wav.scp: sox {path} -t wav - remix 1 |")
    if channel is not None and channel > channels:
        raise UserError(f"{path}: has {channels} channel(s), and number {channel} is asked for; correct the list")
    return (channel or 1) - 1


def length_fault(file: soundfile.SoundFile, found: int) -> str:
    """In what an open file of which `found` samples were read falls short of its header; empty where it does not."""
    expected, unit, wav = file.frames, "samples", file.format in ("WAV", "WAVEX")
    width = WIDTHS.get(file.subtype, 0)
    cut = (CUT_WAV if wav else CUT).search(file.extra_info)
    if cut and int(cut[2]) < int(cut[1]) < _STREAMED:
        if wav and width:
            expected = int(cut[1]) // width // file.channels
        else:
            expected, found, unit = int(cut[1]), int(cut[2]), "bytes"
    return f"the header promises {expected} {unit}, found {found}" if found != expected else ""


def _has_its_md5(source: Path | BinaryIO, samples: np.ndarray) -> bool:
    """Whether FLAC's samples, int16 (n, channels), are those that were encoded; true where the header has no MD5."""
    if isinstance(source, Path):
        with source.open("rb") as stream:
            head = stream.read(FLAC_MD5.stop)
    else:
        head = source.getvalue()[: FLAC_MD5.stop]  # type: ignore[attr-defined]
    md5 = head[FLAC_MD5]
    if not head.startswith(b"fLaC\0") and not head.startswith(b"fLaC\x80"):
        return True  # there are bytes before the stream's own header
    return not any(md5) or hashlib.md5(samples.astype("<i2").tobytes(), usedforsecurity=False).digest() == md5


def _rounded(samples: np.ndarray, path: str, guess: bool) -> np.ndarray:
    """Floats (n,) as int16 (n,), as if they had been saved in 16 bit; `guess` their scale, or it is 1."""
    if not np.isfinite(samples).all():
        raise UserError(f"{path}: holds samples that are not numbers; the file is damaged, write it again")
    peak = float(np.abs(samples).max(initial=0.0))
    if guess and peak > HIGHEST:
        raise UserError(
            f"{path}: holds floats up to {peak:.3g}, where 1 or 32768 is full scale; write it again in 16 bit"
        )
    if guess and peak > ON_16_BIT_SCALE:
        say_once(
            "scale",
            f"{path}: floats up to {peak:.0f}, taken to be on the scale of 16 bit already (-32768 to 32767), and so in "
            "all such files",
        )
    else:
        samples = samples * FULL_SCALE
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def say_once(key: str, words: str) -> None:
    """Tell something on stderr, once a process."""
    if key not in _said:
        _said.add(key)
        print(words, file=sys.stderr)


_said: set[str] = set()  # what was told so far


def _without_length(source: Path | BinaryIO) -> bytes:
    """A WAV whose header was written before its length was known and says 0, with the length filled in; or nothing."""
    data = source.read_bytes() if isinstance(source, Path) else source.getvalue()  # type: ignore[attr-defined]
    place = data.find(b"data\0\0\0\0", 12)
    if not data.startswith(b"RIFF") or place < 0 or len(data) <= place + 8 or _are_chunks(data[place + 8 :]):
        return b""
    return data[: place + 4] + (len(data) - place - 8).to_bytes(4, "little") + data[place + 8 :]


def _are_chunks(data: bytes) -> bool:
    """Whether these are whole chunks of a WAV, tags that follow samples, and so no samples."""
    place = 0
    while place + 8 <= len(data) and re.fullmatch(rb"[ -~]{4}", data[place : place + 4]):
        place += 8 + int.from_bytes(data[place + 4 : place + 8], "little")
        place += place % 2  # a chunk begins at an even byte
    return len(data) <= place <= len(data) + 1


def _archived(stream: BinaryIO, where: str) -> bytes:
    """The bytes of one recording in an archive, as kaldiio and ESPnet write them: AUDIO and a length, or a WAV."""
    head = stream.read(6)
    if head.startswith(b"AUDIO") and len(head) == 6:
        length = int.from_bytes(stream.read(head[5]), "little")
    elif head.startswith(b"RIFF"):
        length = int.from_bytes(head[4:] + stream.read(2), "little") + 8
        stream.seek(-8, 1)
    else:
        raise UserError(
            f"{where}: is no audio in an archive (a WAV, or kaldiio's AUDIO); correct the offset, or the list"
        )
    data = stream.read(min(length, 1 << 40))
    if len(data) != length:
        raise UserError(f"{where}: {length} bytes of audio are promised, found {len(data)}; the archive is cut short")
    return data


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
