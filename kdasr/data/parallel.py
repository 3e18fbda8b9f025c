"""Parallel text, a sentence a line in two files -> a data directory with `text.src` and `text`.

`text.src` is what a translation model reads, as `wav.scp` or `feats.scp` is what a recogniser hears, and `text` what it
writes. White space of any kind becomes one blank between words. Nobody says who wrote a sentence, so each is a speaker
of its own, as Kaldi's recipes do then.
"""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from kdasr.data.kaldi_check import odd_character
from kdasr.data.kaldi_dir import SOURCE, Tables, put_sets
from kdasr.errors import UserError
from kdasr.files import lines_of, open_now, read_lines

CHUNK = 1 << 20  # bytes that are unpacked at a time


def write_parallel(source: Path, target: Path | None, out: Path, drop_empty: bool = False) -> None:
    """Write the data directory of a parallel text, and print its size.

    Args:
        source: a sentence a line, UTF-8, gzipped if its name ends in .gz.
        target: the translation of each line; None: sentences that nobody has translated.
        out: the data directory; its name begins the ids, with the number of the line behind.
        drop_empty: leave out lines that have no words in one of the files, which are refused otherwise.

    Raises:
        UserError: as `parallel_tables`.
    """
    put_sets(out.parent, {out.name: parallel_tables(source, target, out.name, drop_empty)})


def parallel_tables(source: Path, target: Path | None, name: str, drop_empty: bool) -> tuple[Tables, list[str]]:
    """The tables of a parallel text, and notes on what was left out; arguments as `write_parallel`.

    Raises:
        UserError: the files differ in their number of lines, a line is empty, is not UTF-8, or has a control
            character; no line is left.
    """
    files = {SOURCE: source} | ({"text": target} if target else {})
    lines = {table: read_sentences(path) for table, path in files.items()}
    counts = {path: len(lines[table]) for table, path in files.items()}
    if len(set(counts.values())) > 1:
        raise UserError(
            f"{source}: has {counts[source]} lines, {target} {len(lines['text'])}: the lines of a parallel text belong "
            "together one by one; give the two files of one text"
        )
    width = len(str(counts[source]))
    tables: Tables = {table: {} for table in files} | {"utt2spk": {}}
    empty: list[str] = []
    for number in range(counts[source]):
        texts = {table: " ".join(lines[table][number].split()) for table in files}
        for table, text in texts.items():
            if odd := odd_character(text, blanks=" "):
                raise UserError(f"{files[table]}:{number + 1}: has the control character {odd!a}; remove it")
        if lacking := [f"{files[table]}:{number + 1}" for table, text in texts.items() if not text]:
            if not drop_empty:
                raise UserError(
                    f"{lacking[0]}: has no words; remove the line (of both files), or give --empty drop, which leaves "
                    "such pairs out"
                )
            empty += lacking[:1]
            continue
        key = f"{name}-{number + 1:0{width}}"
        tables["utt2spk"][key] = key
        for table, text in texts.items():
            tables[table][key] = text
    if not tables["utt2spk"]:
        raise UserError(f"{source}: no line with words is in it; name a text, a sentence a line")
    return tables, note(tables, empty)


def note(tables: Tables, empty: Sequence[str]) -> list[str]:
    """Words of each side, and how many lines were left out."""
    words = {side: sum(len(text.split(" ")) for text in tables.get(side, {}).values()) for side in (SOURCE, "text")}
    said = [f"{words[SOURCE]:,} source words" + (f", {words['text']:,} target words" if "text" in tables else "")]
    return said + ([f"{len(empty)} lines without words left out (first: {empty[0]})"] if empty else [])


def read_sentences(path: Path) -> list[str]:
    """The lines of a text file, which may be gzipped; UserError as `kdasr.files.read_lines`, or a damaged archive."""
    if path.suffix != ".gz":
        return read_lines(path)
    try:
        with open_now(path) as stream, gzip.open(stream) as unpacked:
            data = b"".join(iter(functools.partial(unpacked.read, CHUNK), b""))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; name a text, a sentence a line") from None
    except (OSError, EOFError, zlib.error) as error:  # BadGzipFile is an OSError
        raise UserError(f"{path}: cannot be unpacked ({error}); copy it again") from None
    return lines_of(data, path)
