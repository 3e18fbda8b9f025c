"""Where the data of an entry of wav.scp, feats.scp, soft.scp, ... is: one rule for every list and reader.

An entry is a file, a place in an archive (`x.ark:52`, `x.ark:52[0:99]`), or a command whose output is the data
(`flac -c -d -s x.flac |`). A list often comes from other people, and a command in it could do anything. So
none is run, with two exceptions:

* A command that does no more than decode one file (flac, sph2pipe, sox, cat as Kaldi's recipes write them) is not
  run either: the file is read here.
* With KDASR_RUN_COMMANDS=1 in the environment the shell runs every command, with the rights of who runs kdasr.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kdasr.errors import UserError

RUN_COMMANDS = "KDASR_RUN_COMMANDS"
PLAIN = re.compile(r"[^|\[\]~-][^|\[\]]*")  # most entries: nothing but a path, and perhaps an offset
OFFSET = re.compile(r"(.+):([0-9]{1,18})", re.DOTALL)
RANGE = re.compile(r"(.*?)\s*\[([0-9:,\s]*)\]", re.DOTALL)
# what Kaldi or kaldiio takes for a command, an offset or a range behind its bar or not: `cat x |[0:9]`, `cat x |:52`
COMMAND = re.compile(r"\s*\|.*|.*\|[\d:,\[\]\s+_-]*", re.DOTALL)
EXPANDED = re.compile(r"[$`*?~{}\n]|(^|\s)#")  # what a shell makes something else of
ENDS_LATE = 3  # rows by which Kaldi, too, lets a range end behind a matrix

Ranges = tuple[tuple[int, int] | None, ...]  # first and last row, then column; None: all


class Place(NamedTuple):
    """Where data lies."""

    path: str  # a file; empty for a command
    offset: int | None = None  # bytes before it in an archive
    ranges: Ranges = ()  # of its rows and columns
    channel: int | None = None  # of a recording of several channels, from 1; None: it has to have one
    command: str = ""  # for the shell

    def entry(self) -> str:
        """It as a list has it, for kaldiio: what was decoded by a command is the file now."""
        if self.command:
            return f"{self.command} |"
        cut = ",".join("" if pair is None else f"{pair[0]}:{pair[1]}" for pair in self.ranges)
        return f"{self.path}{'' if self.offset is None else f':{self.offset}'}{f'[{cut}]' if cut else ''}"


def parse(entry: str, where: str) -> Place:
    """An entry as a place; no command is run by this.

    Args:
        entry: the text behind the key.
        where: file and key, for messages.

    Raises:
        UserError: a command that is not run, `-` (standard input), `~`, or a range that is none.
    """
    if PLAIN.fullmatch(entry):
        return _archived(entry, ())
    if COMMAND.fullmatch(entry):
        return _of_command(entry.strip(), where)
    found = RANGE.fullmatch(entry.strip())
    place, ranges = (found[1], found[2]) if found else (entry.strip(), "")
    if place in ("-", ""):
        raise UserError(f"{where} is {entry!r}, and nothing is read from standard input here; give a file")
    if place.startswith("~"):
        full = Path(place).expanduser() if place.startswith("~/") else "the whole path"
        raise UserError(f"{where} has a path with '~', which is not expanded in a list; write {full}")
    return _archived(place, _ranges(ranges, where) if ranges.strip() else ())


def parse_table(table: Mapping[str, str], path: str | os.PathLike[str]) -> dict[str, Place]:
    """The places of a whole list, all of them checked before the first is read; raises as `parse`."""
    return {key: parse(entry, f"{path}: {key}") for key, entry in table.items()}


@contextlib.contextmanager
def opened(place: Place, where: str) -> Iterator[BinaryIO]:
    """Its bytes, from its first one on.

    Args:
        place: a file or, where commands are allowed, a command.
        where: file and key, for messages.

    Raises:
        UserError: no such file, something else than a file, or a command that fails.
    """
    if place.command:
        yield io.BytesIO(_output(place.command, where))
        return
    prefix = "" if where == place.path else f"{where}: "
    try:
        # a pipe or a terminal in a file's place could be waited for without end
        handle = os.open(place.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UserError(
            f"{prefix}{place.path}: no such file; correct the path, or make the list again if the data has moved"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a name that no file can have"
        raise UserError(
            f"{prefix}{place.path}: cannot be read ({reason}); copy it again, or correct the path"
        ) from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UserError(f"{prefix}{place.path}: cannot be read (it is no file); correct the path")
    with open(handle, "rb") as stream:
        stream.seek(place.offset or 0)
        yield stream


def size(place: Place) -> int:
    """Bytes of the file that a place is in; 0 for a command. OSError where it is not to be had."""
    return 0 if place.command else Path(place.path).stat().st_size


def _archived(place: str, ranges: Ranges) -> Place:
    found = OFFSET.fullmatch(place)
    if found:
        return Place(found[1], int(found[2]), ranges)
    return Place(place, None, ranges)


def _of_command(command: str, where: str) -> Place:
    """The file that a command decodes, or the command itself, if commands are allowed."""
    if place := decoded(command):
        return place
    if os.environ.get(RUN_COMMANDS) == "1":
        if not command.endswith("|"):
            raise UserError(f"{where} has {command!r}, expected 'COMMAND |'; cut pieces out in the command itself")
        return Place("", command=command[:-1].strip())
    shown = " ".join(command.split())
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    raise UserError(
        f"{where} is a command ({shown}), and kdasr runs no commands out of lists; give the file that it makes, or, if "
        f"you know who wrote the list, let the shell run all of them: {RUN_COMMANDS}=1"
    )


def decoded(command: str) -> Place | None:
    """The file that `command |` decodes, if that is all it does: flac, sph2pipe, sox, cat as in Kaldi's lists."""
    if not command.endswith("|") or command.startswith("|") or EXPANDED.search(command):
        return None
    lexer = shlex.shlex(command[:-1], posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:  # a quote is not closed
        return None
    if any(word and set(word) <= set("();<>|&") for word in words):
        return None
    program, *arguments = words or [""]
    read = {"flac": _flac, "sph2pipe": _sph2pipe, "sox": _sox, "cat": _cat}.get(os.path.basename(program))  # noqa: PTH119
    return read(arguments) if read else None


def _flac(words: list[str]) -> Place | None:
    flags = {word for word in words if word.startswith("-") and not word.startswith("--")}
    letters = set("".join(flag[1:] for flag in flags))
    names = {"--stdout": "c", "--decode": "d", "--silent": "s", "--totally-silent": "s"}
    letters |= {names.get(word, "?") for word in words if word.startswith("--")}
    return _file([word for word in words if not word.startswith("-")]) if {"c", "d"} <= letters <= set("cds") else None


def _sph2pipe(words: list[str]) -> Place | None:
    """`-f wav`, `-p` (16 bit) and `-c 1` or `-c 2`; a cut (`-t`, `-s`) is more than decoding."""
    files: list[str] = []
    channel, rest = None, list(words)
    while rest:
        word = rest.pop(0)
        if word == "-f" and rest and rest[0] in ("wav", "rif"):
            rest.pop(0)
        elif word == "-c" and rest and rest[0] in ("1", "2"):
            channel = int(rest.pop(0))
        elif word in ("-c1", "-c2"):
            channel = int(word[2:])
        elif word not in ("-p", "-fwav", "-frif"):
            files.append(word)
    return _file(files, channel)


def _sox(words: list[str]) -> Place | None:
    """`sox F -t wav -`, with `remix N` at most behind it; rates, volumes and other effects are more than decoding."""
    rest = [word for word in words if word not in ("-q", "-V0", "-V1")]
    if rest[:1] == ["-t"]:
        rest = rest[2:]
    pattern = ["-t", "wav", "-"]
    for plain in (["-b", "16"], ["-e", "signed-integer"], ["-e", "signed"]):
        for n in range(1, len(rest) - 1):
            if rest[n : n + 2] == plain:
                del rest[n : n + 2]
                break
    if rest[1:4] != pattern:
        return None
    effects = rest[4:]
    if not effects:
        return _file(rest[:1])
    if len(effects) == 2 and effects[0] == "remix" and effects[1].isdecimal() and int(effects[1]):
        return _file(rest[:1], int(effects[1]))
    return None


def _cat(words: list[str]) -> Place | None:
    return _file(words)


def _file(words: list[str], channel: int | None = None) -> Place | None:
    """The one file that a command names."""
    return Place(words[0], channel=channel) if len(words) == 1 and words[0] and words[0][0] != "-" else None


def _ranges(text: str, where: str) -> Ranges:
    """`0:9` or `0:9,2:4` or `,2:4` (ends included, as in Kaldi)."""
    found: list[tuple[int, int] | None] = []
    for part in text.split(","):
        part = part.strip()
        if part in ("", ":"):
            found.append(None)
            continue
        match = re.fullmatch(r"([0-9]+)(?::([0-9]+))?", part)
        if not match or int(match[2] or match[1]) < int(match[1]) or len(found) > 1:
            raise UserError(
                f"{where} has [{text}], which is no range of rows; expected [FIRST:LAST], as in x.ark:52[0:99]"
            )
        found.append((int(match[1]), int(match[2] or match[1])))
    return tuple(found)


def _output(command: str, where: str) -> bytes:
    """What a command writes, by the shell."""
    done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
        raise UserError(f"{where}: its command ended with status {done.returncode} ({last}); run it by hand: {command}")
    return done.stdout
