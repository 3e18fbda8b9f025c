"""Files as the interface between stages: whole or absent, in Kaldi's table form, one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any

from kdasr.errors import UserError

# The white space of the C locale separates keys, values and words in Kaldi's tables. Python's own strip() and
# split() would also split at a no-break or ideographic space, which belong to words here.
BLANKS = " \t\r\f\v"
LONGEST = 1 << 35  # bytes of a text that is read
DEEPEST = 100  # levels of a YAML file that is read
MARK = "\ufeff"  # a byte-order mark, which editors of other systems put before the first line


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file beside `path` and rename it to `path` when the block ends well.

    After an exception (a full disk among them) nothing new is left and an older `path` stays.
    Text is UTF-8 with Unix line ends.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # /dev/full would be replaced by a file, a directory refused by the system
        raise UserError(f"{path}: is no ordinary file; name another place")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
        with open(name, mode, opener=lambda *_: handle, **text) as stream:  # so that stream.name is the name
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        if isinstance(error, UnicodeEncodeError):
            raise UserError(f"{path!a}: what is to be written holds a name that is not UTF-8; rename it") from error
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise UserError(f"{path}: cannot be written ({error.strerror}); free some room and run again") from error
        raise


@contextlib.contextmanager
def atomic_dir(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a fresh directory beside `path`, and rename it to `path` when the block ends well.

    An existing `path` is replaced only then; after an exception nothing new is left.
    """
    path = Path(path)
    if not path.name or (path.exists() and not path.is_dir()):
        raise UserError(f"{path}: cannot be replaced by a directory; name another place")
    path = path.resolve() if path.is_symlink() else path  # the target of a link is replaced, the link stays
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield fresh
        fresh.chmod(0o777 & ~_umask())
        if path.exists():
            old = fresh.with_suffix(".old")
            path.rename(old)
            fresh.rename(path)
            shutil.rmtree(old)
        else:
            fresh.rename(path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


@contextlib.contextmanager
def fresh_files(directory: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a fresh place for files that are to be put into `directory` (by `put_files`); it is gone after the block.

    The place is in the directory, or where that is not there yet, in what will hold it.
    """
    directory = Path(directory)
    near = next((place for place in (directory, *directory.absolute().parents) if place.is_dir()), Path("/"))
    try:
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", suffix=".tmp", dir=near) as fresh:
            yield Path(fresh)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            raise UserError(
                f"{directory}: cannot be written ({error.strerror}); free some room and run again"
            ) from error
        raise


def put_files(fresh: Path, directory: str | os.PathLike[str]) -> None:
    """Move the files of `fresh_files` to `directory`, where each replaces what is called so."""
    paths = sorted(fresh.iterdir())
    for path in paths:
        there = Path(directory) / path.name
        if there.exists() and not there.is_file():
            raise UserError(f"{there}: is no ordinary file; name another place")
        with open(path, "rb") as written:
            os.fsync(written.fileno())
    for path in paths:
        path.replace(Path(directory) / path.name)


@contextlib.contextmanager
def only_writer(directory: str | os.PathLike[str], name: str = ".lock", wait: float = 0.0) -> Iterator[None]:
    """Hold `directory` for one process; a second one is refused after `wait` seconds.

    The lock is the kernel's (flock), so a killed process leaves nothing behind.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    give_up = time.monotonic() + wait
    lock = directory / name
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        handle = -1
    if handle < 0 or not stat.S_ISREG(os.fstat(handle).st_mode):
        raise UserError(f"{lock}: is no plain file; a lock is to be written there: remove it")
    with open(handle, "r+") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= give_up:
                    raise UserError(
                        f"{directory}: another run is writing here; wait for it, or name another directory"
                    ) from None
                time.sleep(0.05)
        yield


def read_table(path: str | os.PathLike[str], empty: bool = False) -> dict[str, str]:
    """Read a Kaldi table, `key value...` a line: text, wav.scp, feats.scp, utt2spk.

    Any white space separates the two, as in Kaldi.

    Args:
        path: the file, UTF-8.
        empty: whether a line may hold a key alone (as an empty hypothesis does).

    Raises:
        UserError: no such file, a key twice, a line without a value, bytes that are not UTF-8.
    """
    table: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        key, value = split_key(line)
        if not key or (not value and not empty):
            raise UserError(f"{path}:{number}: expected 'KEY VALUE', found {line!r}; correct or remove the line")
        if key in table:
            raise UserError(f"{path}:{number}: {key} is here a second time; remove one of its lines")
        table[key] = value
    return table


def read_numbers(path: str | os.PathLike[str]) -> dict[str, float]:
    """A Kaldi table of numbers: utt2dur, utt2num_frames; UserError for a value that is none, or is below 0."""
    numbers: dict[str, float] = {}
    for key, value in read_table(path).items():
        try:
            numbers[key] = float(value)
        except ValueError:
            numbers[key] = -1.0
        if not 0 <= numbers[key] < float("inf"):
            raise UserError(f"{path}: {key} has {value!r}, expected a number, 0 or more; make the features again")
    return numbers


def write_table(path: str | os.PathLike[str], table: Mapping[str, str] | Iterable[tuple[str, str]]) -> None:
    """Write a Kaldi table sorted as LC_ALL=C does, whole or not at all."""
    rows = table.items() if isinstance(table, Mapping) else table
    with atomic_write(path) as stream:
        for key, value in sorted(rows, key=lambda row: row[0].encode()):
            stream.write(f"{key} {value}".rstrip() + "\n")


def split_key(line: str) -> tuple[str, str]:
    """A line of a Kaldi table as (key, rest): the first word, and what follows the white space behind it."""
    key, blank, rest = line.strip(BLANKS).partition(" ")
    if "\t" in key or "\r" in key or "\f" in key or "\v" in key:  # seldom; looking for them is quicker than a pattern
        key, behind = re.split(f"[{BLANKS}]+", key, maxsplit=1)
        rest = f"{behind} {rest}" if blank else behind
    return key, rest.lstrip(BLANKS)


def columns(line: str) -> list[str]:
    """The words of a line, at the white space that Kaldi's tools know: a no-break space is part of a word."""
    return [word for word in re.split(f"[{BLANKS}\n]+", line) if word]


def open_now(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file for reading; a pipe without a writer does not make it wait."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = os.fstat(handle)
        if stat.S_ISBLK(kind.st_mode) or (stat.S_ISCHR(kind.st_mode) and not os.isatty(handle)):
            raise UserError(f"{path}: is a device, not a file; name a file")
        os.set_blocking(handle, True)
        return open(handle, "rb")
    except BaseException:  # a directory
        os.close(handle)
        raise


def read_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a UTF-8 text file, without their ends (Unix's or DOS's) and without a byte-order mark.

    Raises:
        UserError: it is absent, cannot be read, or is not UTF-8; the line is named.
    """
    with opened(path) as stream:
        data = stream.read()
    return lines_of(data, path)


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file of text for reading; UserError if it is absent, too large, or cannot be read."""
    try:
        with open_now(path) as stream:
            if (size := os.fstat(stream.fileno()).st_size) > LONGEST:
                raise UserError(f"{path}: has {size >> 30} GiB, more than any text here; is it the right file?")
            yield stream
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage that writes it first") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory, expected a file; name one in it") from None
    except MemoryError:
        raise UserError(f"{path}: does not fit into memory; is it the right file?") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL byte
        raise UserError(f"{path}: cannot be read ({error}); check the name and its permissions") from None


def text_lines(
    stream: IO[bytes], path: str | os.PathLike[str], first: int = 1, most: int | None = None
) -> Iterator[tuple[int, str]]:
    """The lines of an open UTF-8 text, one at a time, each with the place (bytes) where it begins.

    Args:
        stream: at the beginning of a line.
        path: its name, for messages.
        first: the number of that line.
        most: no more lines than so many; None for all.

    Raises:
        UserError: as `read_lines`, for what is no UTF-8 text.
    """
    start = stream.tell() if first == 1 else 0
    for number, data in enumerate(islice(stream, most), first):
        try:
            line = data.decode("utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{path}:{number}: not UTF-8; convert the file (iconv -t utf-8)") from None
        if "\0" in line:
            raise UserError(
                f"{path}:{number}: holds a NUL byte, which no text does; the file is damaged, copy it again"
            )
        line = line.removesuffix("\n").removesuffix("\r")
        if number > 1 or not line.startswith(MARK):
            yield start, line
        elif data != MARK.encode():
            yield start, line.removeprefix(MARK)
        start += len(data)


def lines_of(data: bytes, path: str | os.PathLike[str]) -> list[str]:
    """The lines of the bytes of a text file, as `read_lines`; `path` is for the message."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(f"{path}:{line}: not UTF-8; convert the file (iconv -t utf-8)") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{path}:{line}: holds a NUL byte, which no text does; the file is damaged, copy it again")
    lines = text.removeprefix(MARK).split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A JSON object from a file; UserError if it is absent or malformed."""
    try:
        value = json.loads("\n".join(read_lines(path)))
    except (ValueError, RecursionError) as error:  # ValueError alone: a number of thousands of digits
        line, what = getattr(error, "lineno", 1), getattr(error, "msg", "nested too deeply, or too long a number")
        raise UserError(f"{path}:{line}: not JSON ({what}); remove the file and run its stage again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}:1: expected a JSON object; remove the file and run its stage again")
    return value


def read_yaml(path: str | os.PathLike[str], remedy: str = "correct the file, or copy it again") -> dict[str, Any]:
    """A YAML mapping from a file; an empty file is an empty one.

    Args:
        path: the file.
        remedy: for a file that is none.

    Raises:
        UserError: it is absent, not UTF-8, not YAML, or no mapping; the line is named where it is known.
    """
    import yaml  # here: what runs a bundle (kdasr.runtime) reads no YAML, and needs no package for it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = "\n".join(read_lines(path))
    if _depth(text) > DEEPEST:
        raise UserError(f"{path}: is nested too deeply for a settings file; {remedy}")
    try:
        value = yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: is not YAML ({error.problem}); {remedy}") from None
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError, OverflowError) as error:
        # ValueError and its like: a date or number that YAML takes for one and Python does not
        said = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"{path}: is not YAML ({said[0]}); {remedy}") from None
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UserError(f"{path}: expected lines `name: value`; {remedy}")
    return value


def _depth(text: str) -> int:
    """How deeply YAML could be nested by brackets, or by dashes before a value: libyaml has no limit, and crashes."""
    deepest = depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    dashes = max((len(found) // 2 for found in re.findall(r"^\s*((?:[-?:] )+)", text, re.MULTILINE)), default=0)
    return max(deepest, dashes)


def write_json(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    with atomic_write(path) as stream:
        json.dump(value, stream, indent=2, ensure_ascii=False)
        stream.write("\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
