"""NIST SPHERE audio, as WSJ's discs hold it: one channel of 16 bit, plain, mu-law or compressed with Shorten.

A file is a header of text (`NIST_1A`, usually 1024 bytes, fields `name -type value`) and the samples after it.
Plain and mu-law samples are read here; `pcm,embedded-shorten-*` goes to FFmpeg (PyAV), which decodes it exactly.
Never use sphfile for these: it returns garbage for Shorten and wrong mu-law, without an error.

Writing is ours too (the synthetic demo corpus is laid out as the discs are). Shorten, version 2 (T. Robinson,
"SHORTEN: Simple lossless and near-lossless waveform compression", CUED/F-INFENG/TR.156, 1994): blocks of 256
samples, each predicted by a polynomial of order 0..3, the residuals Rice-coded with the block's own parameter.

Axes: n samples, b blocks, s symbols of the bit stream.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdasr.errors import UserError
from kdasr.files import atomic_write

MAGIC = b"NIST_1A"
FIELD = re.compile(r"\s*;.*|\s*\w+\s+-[irs]\d*([ \t][^\x00-\x08\x0e-\x1f]*)?")  # of a header; or a comment
CODINGS = {"pcm": "pcm", "ulaw": "ulaw", "shorten": "pcm,embedded-shorten-v2.00"}

_BLOCK = 256  # samples in a block of Shorten, its default
_QUIT, _BLOCKSIZE = 4, 5  # function codes; DIFF0..DIFF3 are 0..3
_FUNCTION_BITS, _ENERGY_BITS, _LONG_BITS = 2, 3, 2  # Rice parameters of the stream's own numbers
_S16_LITTLE_ENDIAN = 5  # Shorten's file type


@dataclass(frozen=True)
class SphereHeader:
    """What a SPHERE header says about the samples that follow it."""

    size: int  # bytes of the header
    sample_count: int  # samples of one channel
    rate: int  # Hz
    channels: int
    sample_bytes: int
    byte_format: str  # '01' little-endian, '10' big-endian, '1' bytes
    coding: str  # 'pcm', 'ulaw', 'pcm,embedded-shorten-v2.00', ...
    checksum: int | None  # of the samples of all channels, modulo 65536


def read_sphere(path: str | os.PathLike[str], channel: int | None = None) -> tuple[np.ndarray, int]:
    """Read a channel of a SPHERE file.

    Args:
        path: the file.
        channel: which, from 1; None: the file has to have one.

    Returns:
        Samples, int16 (n,), and the rate in Hz. Mu-law is expanded to 16 bit.

    Raises:
        UserError: absent, no SPHERE file, a coding that is not read, no such channel, damaged, another number of
            samples than the header promises (both numbers are named), or another checksum.
    """
    data = _read_bytes(Path(path))
    header = parse_header(data, path)
    if channel is None and header.channels != 1:
        raise UserError(
            f"{path}: {header.channels} channels, expected 1; name one in wav.scp, as sph2pipe -f wav -c 1 {path} |"
        )
    if channel is not None and channel > header.channels:
        raise UserError(
            f"{path}: has {header.channels} channel(s), and number {channel} is asked for; correct the list"
        )
    if header.coding == "pcm":
        samples = _plain_samples(data, header, path)  # (n, channels)
        sums = {int(samples.sum(dtype=np.int64))}
    elif header.coding == "ulaw":
        codes = np.frombuffer(data, np.uint8, offset=header.size)[: header.sample_count * header.channels]
        codes = codes[: len(codes) // header.channels * header.channels]
        samples = _ULAW_VALUES[codes].reshape(-1, header.channels)  # (n, channels)
        # The standard does not say of what: of bytes with a sign or without, or of the values that they stand for.
        sums = {int(values.sum(dtype=np.int64)) for values in (codes, codes.view(np.int8), samples)}
    elif header.coding.startswith("pcm,embedded-shorten"):
        samples = _shorten_samples(data, path, header.channels)  # (n, channels)
        sums = {int(samples.sum(dtype=np.int64))}
    else:
        raise UserError(
            f"{path}: sample_coding {header.coding!r} is not read here (pcm, ulaw and pcm,embedded-shorten are);"
            " convert the file to pcm with sph2pipe first"
        )
    if len(samples) != header.sample_count:
        raise UserError(
            f"{path}: the header promises {header.sample_count} samples, found {len(samples)};"
            " the file is truncated or damaged, copy it again"
        )
    if header.checksum is not None and header.checksum not in {value & 0xFFFF for value in sums}:
        raise UserError(
            f"{path}: its samples do not add up to the header's sample_checksum {header.checksum};"
            " the file is damaged, copy it again"
        )
    return np.ascontiguousarray(samples[:, (channel or 1) - 1]), header.rate


def write_sphere(
    path: str | os.PathLike[str], samples: np.ndarray, rate: int, coding: str = "pcm", utterance_id: str = ""
) -> None:
    """Write a SPHERE file of one channel, whole or not at all.

    Args:
        path: the file; its directory is made.
        samples: int16 (n,).
        rate: Hz.
        coding: 'pcm' (little-endian), 'ulaw' (8 bit, lossy) or 'shorten' (lossless, about half the size).
        utterance_id: the header's field of that name, left out if empty.
    """
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(f"expected int16 (n,), found {samples.dtype} {samples.shape}")
    checksum = int(samples.sum(dtype=np.int64))
    if coding == "pcm":
        body = samples.astype("<i2").tobytes()
    elif coding == "ulaw":
        body = _ulaw_codes(samples).tobytes()
        checksum = sum(body)  # of what can be read again
    elif coding == "shorten":
        body = encode_shorten(samples)
    else:
        raise ValueError(f"coding {coding!r}: expected one of {', '.join(CODINGS)}")
    with atomic_write(path, "wb") as stream:
        stream.write(_format_header(samples, rate, coding, utterance_id, checksum) + body)


def parse_header(data: bytes, path: str | os.PathLike[str]) -> SphereHeader:
    """Parse the header at the start of a SPHERE file's bytes; `path` is for the error messages."""
    lines = data[:16].split(b"\n")
    if lines[0].strip() != MAGIC:
        raise UserError(f"{path}: not a SPHERE file (it does not begin with NIST_1A); give the disc's own file")
    if len(lines) < 3 or not re.fullmatch(rb"\s*[0-9]{1,9}\s*", lines[1]):
        raise UserError(f"{path}: the SPHERE header has no length in its second line; copy the file again")
    size = int(lines[1])
    text, end, _ = data[:size].decode("latin-1").partition("end_head")
    if not end or len(data) < size:
        raise UserError(f"{path}: the SPHERE header of {size} bytes is cut off; copy the file again")
    odd = next((line for line in text.split("\n")[2:] if line.strip() and not FIELD.fullmatch(line.rstrip("\r"))), None)
    if odd is not None:
        raise UserError(f"{path}: the SPHERE header has {odd[:60]!r}, expected 'NAME -TYPE VALUE'; copy the file again")
    # `name -i 123` or `name -s3 pcm`; the length after -s is not trusted (some discs have it wrong)
    fields = {m[1]: m[2].strip() for m in re.finditer(r"^(\w+)\s+-[irs]\d*[ \t]+(.*)$", text, re.MULTILINE)}

    def number(name: str, default: str = "") -> int:
        value = fields.get(name, default)
        if not (value.isascii() and value.isdigit() and len(value) < 12):
            raise UserError(f"{path}: the SPHERE header's {name} is {value!r}, expected a number; copy the file again")
        return int(value)

    if not number("channel_count", "1") or not number("sample_rate"):
        raise UserError(f"{path}: the SPHERE header has 0 channels, or 0 samples a second; copy the file again")
    coding = fields.get("sample_coding", "pcm").lower()
    coding = re.sub(r"^(mu-?law|u-law)", "ulaw", coding)
    return SphereHeader(
        size=size,
        sample_count=number("sample_count"),
        rate=number("sample_rate"),
        channels=number("channel_count", "1"),
        sample_bytes=number("sample_n_bytes", "1" if coding.startswith("ulaw") else "2"),
        byte_format=fields.get("sample_byte_format", "01"),
        coding=coding,
        checksum=number("sample_checksum") if "sample_checksum" in fields else None,
    )


def encode_shorten(samples: np.ndarray) -> bytes:
    """Compress int16 (n,) losslessly into a Shorten stream, version 2, without a SPHERE header."""
    n = len(samples)
    blocks = -(-n // _BLOCK)  # b
    x = np.zeros(3 + blocks * _BLOCK, np.int32)  # (3 + n padded,), the history before the first sample is zeros
    x[3 : 3 + n] = samples
    residuals = [x]
    for _ in range(3):  # each order's residual is the difference of the one below
        residuals.append(np.diff(residuals[-1], prepend=0))
    residual = np.stack([r[3:].reshape(blocks, _BLOCK) for r in residuals])  # (4, b, 256)
    order = np.abs(residual).sum(axis=2).argmin(axis=0)  # (b,)
    chosen = residual[order, np.arange(blocks)]  # (b, 256)
    folded = (chosen << 1) ^ (chosen >> 31)  # (b, 256), 0 -1 1 -2 2 ... -> 0 1 2 3 4 ...
    # a geometric variable of mean m costs least with the parameter nearest to log2(m ln 2)
    best = np.log2(np.maximum(folded.mean(axis=1) * np.log(2.0), 1e-9))  # (b,)
    energy = np.clip(np.ceil(best).astype(np.int64) - 1, 0, 18)  # (b,), the Rice parameter is energy + 1

    symbols = np.empty((blocks, 2 + _BLOCK), np.int64)  # (b, 258)
    parameters = np.empty_like(symbols)
    symbols[:, 0], parameters[:, 0] = order, _FUNCTION_BITS
    symbols[:, 1], parameters[:, 1] = energy, _ENERGY_BITS
    symbols[:, 2:], parameters[:, 2:] = folded, energy[:, None] + 1

    # file type, channels, block size, highest LPC order, blocks of the running mean, bytes to skip
    start = [pair for value in (_S16_LITTLE_ENDIAN, 1, _BLOCK, 0, 0, 0) for pair in _number(value)]
    whole = n // _BLOCK
    rest = n - whole * _BLOCK
    last: list[tuple[int, int]] = [(_QUIT, _FUNCTION_BITS)]
    if rest:  # the last block is shorter, and says so
        end = zip(symbols[whole, : 2 + rest].tolist(), parameters[whole, : 2 + rest].tolist(), strict=True)
        last = [(_BLOCKSIZE, _FUNCTION_BITS), *_number(rest), *end, *last]
    u = np.concatenate([[p[0] for p in start], symbols[:whole].ravel(), [p[0] for p in last]])  # (s,)
    k = np.concatenate([[p[1] for p in start], parameters[:whole].ravel(), [p[1] for p in last]])  # (s,)
    # the decoders read ahead: without spare bytes after QUIT sph2pipe damages the last samples
    return b"ajkg\x02" + _pack_rice(u.astype(np.int64), k.astype(np.int64)) + bytes(8)


def _number(value: int) -> list[tuple[int, int]]:
    """One of Shorten's own numbers as two symbols: its Rice parameter, then itself."""
    bits = max(value.bit_length() - 1, 0)
    return [(bits, _LONG_BITS), (value, bits)]


def _pack_rice(u: np.ndarray, k: np.ndarray) -> bytes:
    """Rice codes of u (s,) with parameters k (s,): u >> k zeros, a one, the low k bits; packed from the top bit."""
    stop = np.cumsum((u >> k) + 1 + k)  # (s,), the bit after each code
    value = (1 << k) | (u & ((1 << k) - 1))  # (s,), at most 20 bits; the zeros before it need no writing
    word = (stop - 1) >> 5  # (s,), the 32-bit word in which the code ends
    shifted = value << (31 - ((stop - 1) & 31))  # (s,), below 2**52
    words = int(word[-1]) + 1
    # no two codes share a bit, so adding is OR-ing; sums stay below 2**33, exact in float64
    total = np.bincount(word, (shifted & 0xFFFFFFFF).astype(np.float64), minlength=words)  # (words,)
    carried = shifted >> 32  # (s,), what reaches into the word before
    over = np.flatnonzero(carried)
    total += np.bincount(word[over] - 1, carried[over].astype(np.float64), minlength=words)
    return total.astype(">u4").tobytes()


def _format_header(samples: np.ndarray, rate: int, coding: str, utterance_id: str, checksum: int) -> bytes:
    """The 1024 bytes before the samples, with the fields in the discs' order."""
    fields: list[tuple[str, int | str]] = [("utterance_id", utterance_id)] if utterance_id else []
    low, high = (int(samples.min()), int(samples.max())) if len(samples) else (0, 0)
    fields += [
        ("channel_count", 1),
        ("sample_count", len(samples)),
        ("sample_rate", rate),
        ("sample_min", low),
        ("sample_max", high),
        ("sample_n_bytes", 1 if coding == "ulaw" else 2),
        ("sample_byte_format", "1" if coding == "ulaw" else "01"),
        ("sample_sig_bits", 8 if coding == "ulaw" else 16),
        ("sample_coding", CODINGS[coding]),
        ("sample_checksum", checksum & 0xFFFF),
    ]
    text = "".join(
        f"{name} -i {value}\n" if isinstance(value, int) else f"{name} -s{len(value)} {value}\n"
        for name, value in fields
    )
    return f"NIST_1A\n   1024\n{text}end_head\n".encode("ascii").ljust(1024)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check that the disc is mounted or copied whole") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy it again") from None


def _plain_samples(data: bytes, header: SphereHeader, path: str | os.PathLike[str]) -> np.ndarray:
    """Uncompressed samples, int16 (n, channels), fewer than the header says if the file is cut off."""
    types = {"01": "<i2", "10": ">i2"}
    if header.sample_bytes != 2 or header.byte_format not in types:
        raise UserError(
            f"{path}: sample_n_bytes {header.sample_bytes}, sample_byte_format {header.byte_format!r}: expected 16 bit"
            " (2 bytes, '01' or '10'); convert the file first"
        )
    count = min(header.sample_count, (len(data) - header.size) // 2 // header.channels)
    values = np.frombuffer(data, types[header.byte_format], count * header.channels, header.size)
    return values.astype(np.int16).reshape(-1, header.channels)


def _shorten_samples(data: bytes, path: str | os.PathLike[str], channels: int) -> np.ndarray:
    """Samples of a SPHERE file in Shorten, int16 (n, channels), by FFmpeg."""
    import av  # here: FFmpeg takes half a second to load, and only files in Shorten need it

    parts: list[Any] = []
    try:
        with av.open(io.BytesIO(data), format="nistsphere") as container:
            for frame in container.decode(audio=0):
                found = frame.to_ndarray()  # planes (channels, n), or one row of them in turn
                parts.append(found.T if len(found) == channels else found.reshape(-1, channels))
        samples = np.concatenate(parts) if parts else np.zeros((0, channels), np.int16)
        return samples.astype(np.int16).reshape(-1, channels)
    except (av.error.FFmpegError, IndexError, ValueError, OSError, ArithmeticError) as error:
        raise UserError(
            f"{path}: damaged after {sum(map(len, parts))} samples ({error}); copy the file again"
        ) from None


def _ulaw_table() -> np.ndarray:
    """The 16-bit value of each mu-law byte, int16 (256,) (ITU-T G.711)."""
    code = ~np.arange(256) & 0xFF  # (256,), stored inverted
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


_ULAW_VALUES = _ulaw_table()


def _ulaw_codes(samples: np.ndarray) -> np.ndarray:
    """Mu-law bytes, uint8 (n,), of int16 (n,) (ITU-T G.711: sign, 3 bits of exponent, 4 of mantissa, inverted)."""
    wide = samples.astype(np.int32)  # (n,)
    magnitude = np.minimum(np.abs(wide), 32635) + 0x84  # (n,), 132..32767
    exponent = np.frexp(magnitude.astype(np.float64))[1] - 8  # (n,), 0..7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F  # (n,)
    return (~(np.where(wide < 0, 0x80, 0) | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)
