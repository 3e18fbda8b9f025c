"""Matrices in Kaldi's archives: written with a checksum, read without running anything. T frames, F bins.

kaldiio packs and unpacks them. Two of its abilities are not used: it would start commands and unpickle objects,
both of which could run anything. For each archive x.ark kdasr also writes x.sha256, as sha256sum
writes it (`sha256sum -c x.sha256` in that directory checks it by hand).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np

from kdasr.data.places import ENDS_LATE, Place, Ranges, opened, parse
from kdasr.errors import UserError
from kdasr.files import atomic_write, open_now, read_lines, read_table

SHARD = re.compile(r"feats\.[0-9]+\.scp")  # the list of an archive of `kdasr feats`
HEAD = 64  # bytes that identify the kind of an entry
AUDIO = (b"RIFF", b"fLaC", b"AUDI", b"NIST")
# bytes of a value
PLAIN = {b"FM ": 4, b"DM ": 8}
VECTORS = {b"FV ": 4, b"DV ": 8}
COMPRESSED = {b"CM ": 1, b"CM2": 2, b"CM3": 1}
COLUMN_HEADER = 8  # bytes more for each column of CM


class Ark:
    """An archive that is being written."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self.stream, self.path, self.sha256 = stream, path, hashlib.sha256()
        self.places: dict[str, str] = {}  # key -> its entry in an scp

    def write(self, data: bytes) -> None:
        """Write bytes, and count them into the checksum."""
        self.sha256.update(data)
        self.stream.write(data)

    def add(self, key: str, matrix: np.ndarray, compression: int | None = None) -> None:
        """Append a matrix; `compression` is kaldiio's number of a method."""
        import kaldiio.matio  # here and below: it is slow to load, and most of what imports this file reads lists alone

        self.write(f"{key} ".encode())
        self.places[key] = f"{self.path}:{self.stream.tell()}"
        options = {} if compression is None else {"compression_method": compression}
        kaldiio.matio.write_array(self, matrix, **options)


@contextlib.contextmanager
def write_ark(path: Path, final: Path | None = None) -> Iterator[Ark]:
    """Write x.ark and then x.sha256, each whole or not at all.

    Args:
        path: of the archive.
        final: the path that it will have when all is written, if that is another; the entries name it.
    """
    with atomic_write(path, "wb") as stream:
        ark = Ark(stream, (final or path).absolute())
        yield ark
    with atomic_write(path.with_suffix(".sha256")) as stream:
        stream.write(f"{ark.sha256.hexdigest()}  {path.name}\n")


def check_heads(places: Mapping[str, Place], remedy: str) -> None:
    """Look at the first bytes of every matrix, for a reader that is not ours and would take whatever stands there.

    Args:
        places: of matrices, by utterance.
        remedy: how to make them again.

    Raises:
        UserError: an entry that is no matrix: audio, or an object that could run something when it is read.
    """
    by_path: dict[str, list[tuple[str, Place]]] = {}
    for name, place in places.items():
        if not place.command:
            by_path.setdefault(place.path, []).append((name, place))
    for path, entries in by_path.items():
        with opened(Place(path), entries[0][0]) as stream:
            end = stream.seek(0, 2)
            for name, place in entries:
                stream.seek(place.offset or 0)
                where = f"{name}: {path}:{place.offset}" if place.offset is not None else f"{name}: {path}"
                _check_head(stream.read(HEAD), end - (place.offset or 0), where, remedy)


def check_archives(places: Mapping[str, Place], remedy: str) -> None:
    """Read every archive of these places once, and compare it with its checksum.

    What lies at a place of an archive that kdasr wrote has to be of that utterance; of features also of one that was
    renamed with a prefix or suffix, by the archive's own list x.scp. An archive from elsewhere that has no checksum
    is passed over.

    Args:
        places: of matrices, by utterance.
        remedy: how to make an archive again.

    Raises:
        UserError: one that was changed, or cannot be read; or a place that is another utterance's.
    """
    by_path: dict[str, list[tuple[str, int]]] = {}
    for name, place in places.items():
        if place.offset is not None:
            by_path.setdefault(place.path, []).append((name, place.offset))
    for path, entries in by_path.items():
        known = Path(path).with_suffix(".sha256")
        if not known.is_file():
            continue
        written = " ".join(read_lines(known)).split(None, 1)
        if len(written) != 2 or written[1].strip() != Path(path).name:
            raise UserError(f"{known}: is not the checksum of {path}; {remedy}")
        listed = _own_list(Path(path).with_suffix(".scp"))
        try:
            with open_now(path) as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
                for name, offset in entries:
                    wrong = _other(name, offset, listed) if listed else not _begins(stream, name, offset)
                    if wrong and found == written[0]:
                        raise UserError(
                            f"{name}: its matrix is looked for at {path}:{offset}, which is another's; {remedy}"
                        )
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
        if found != written[0]:
            raise UserError(f"{path}: was changed after it was written (its sha256 is another); {remedy}")


def _other(name: str, offset: int, listed: Mapping[int, str]) -> bool:
    """Whether what begins at an offset is of another utterance than `name`, or one that was renamed to it."""
    return offset not in listed or listed[offset] not in name


def _begins(stream: IO[bytes], name: str, offset: int) -> bool:
    """Whether the key before an offset of an archive is this one."""
    key = f"{name} ".encode()
    stream.seek(max(0, offset - len(key)))
    return offset >= len(key) and stream.read(len(key)) == key


def _own_list(path: Path) -> dict[int, str]:
    """Offset -> utterance, of an archive of `kdasr feats`; nothing for others."""
    if not path.is_file() or not SHARD.fullmatch(path.name):
        return {}
    places = ((name, entry.rpartition(":")[2]) for name, entry in read_table(path, empty=True).items())
    return {int(offset): name for name, offset in places if re.fullmatch("[0-9]{1,18}", offset)}


def read_matrix(
    name: str, place: str | Place, remedy: str = "make the features again (kdasr feats)", finite: bool = True
) -> np.ndarray:
    """The matrix (T, F) of an utterance by its entry in feats.scp; it may be read-only, and without frames.

    Args:
        name: of the utterance, for messages.
        place: its entry.
        remedy: how to make the matrix again.
        finite: whether values that are not numbers are refused.

    Raises:
        UserError: it cannot be read, is audio or no matrix, or holds values that are not numbers; the utterance is
            named.
    """
    at = place if isinstance(place, Place) else parse(place, name)
    with opened(at, name) as stream:
        where = f"{name}: {at.path}:{at.offset}" if at.offset is not None else f"{name}: {at.path or at.command}"
        x = _unpacked(stream, where, remedy)
    if x.ndim != 2:
        raise UserError(f"{where} has the shape {x.shape}, not (frames, bins); {remedy}")
    x = _cut(x, at.ranges, where)
    if finite and not np.isfinite(x).all():
        raise UserError(f"{where} holds values that are not numbers; {remedy}")
    return x


def _unpacked(stream: BinaryIO, where: str, remedy: str) -> np.ndarray:
    """Whatever array stands there."""
    import kaldiio.matio

    begin = stream.tell()
    end = stream.seek(0, 2)
    stream.seek(begin)
    _check_head(stream.read(HEAD), end - begin, where, remedy)
    stream.seek(begin)
    try:
        return kaldiio.matio.read_kaldi(stream)
    except (EOFError, ValueError, TypeError, IndexError, AssertionError, RuntimeError, struct.error) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
        raise UserError(f"{where} cannot be read ({said}); {remedy}") from None


def _check_head(head: bytes, room: int, where: str, remedy: str) -> None:
    """UserError unless these are the first bytes of a matrix that fits into the `room` bytes that are left."""
    if head.startswith(b"PKL"):
        raise UserError(f"{where} is a pickled object, which could run a program when it is read; {remedy}")
    if head.startswith(AUDIO):
        raise UserError(f"{where} is audio where features are taken; make them (kdasr feats)")
    told = _size(head) if head.startswith(b"\0B") else (0 if head.lstrip(b" \n").startswith(b"[") else None)
    if told is None or not 0 <= told <= room:
        what = "it is no Kaldi matrix" if told is None else f"it is cut short, as its header promises {told:,} bytes"
        raise UserError(f"{where} cannot be read ({what}); {remedy}")


def _size(head: bytes) -> int | None:
    """Bytes that a binary matrix or vector takes at least, by its header; None if it is none."""
    kind = head[2:5]
    try:
        if kind in PLAIN:
            sizes = [struct.unpack_from("<i", head, place + 1)[0] for place in (5, 10) if head[place] == 4]
            return PLAIN[kind] * sizes[0] * sizes[1] if len(sizes) == 2 and min(sizes) >= 0 else None
        if kind in VECTORS:
            length = struct.unpack_from("<i", head, 6)[0]
            return VECTORS[kind] * length if length >= 0 else None
        if kind in COMPRESSED:
            rows, columns = struct.unpack_from("<ii", head, 2 + len(kind.strip()) + 1 + 8)  # smallest value and range
            more = COLUMN_HEADER * columns if kind == b"CM " else 0
            return COMPRESSED[kind] * rows * columns + more if min(rows, columns) >= 0 else None
    except (struct.error, IndexError):
        return None
    return None


def _cut(x: np.ndarray, ranges: Ranges, where: str) -> np.ndarray:
    """The rows and columns that an entry asks for."""
    index: list[Any] = []
    for wanted, there in zip(ranges, x.shape, strict=False):
        if wanted is None:
            index.append(slice(None))
            continue
        first, last = wanted
        if first >= there or last >= there + ENDS_LATE:
            raise UserError(f"{where} has {there}, and [{first}:{last}] of them are asked for; correct the list")
        index.append(slice(first, last + 1))
    return x[tuple(index)] if index else x
