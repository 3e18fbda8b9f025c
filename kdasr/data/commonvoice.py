"""Common Voice's layout, clips/*.mp3 with train.tsv, dev.tsv, test.tsv, ... -> Kaldi data directories.

A speaker is a client of Common Voice under a shorter name, and ids of utterances begin with it, as Kaldi wants. The
sentences stay as their writers spelled them, with capitals and punctuation, unless `normalize` says otherwise.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from kdasr.data.kaldi_dir import Tables, put_sets
from kdasr.data.normalise import normaliser
from kdasr.errors import UserError
from kdasr.files import read_lines

SETS = ("train", "dev", "test")
COLUMNS = ("client_id", "path", "sentence")
SUFFIXES = (".mp3", ".wav", ".flac")  # what a clip may be, if not what the list says: some people convert them
SHORTEST = 12  # hexadecimal digits of a speaker's name; among a million clients two may need one more


class Clip(NamedTuple):
    """A line of a list."""

    client: str
    audio: Path
    sentence: str


def write_sets(corpus: Path, out: Path, sets: Sequence[str], normalize: Collection[str]) -> None:
    """Write the sets under their own names; none, if one of them is damaged.

    Args:
        corpus: a language: it contains clips/ and the lists.
        out: where the sets go.
        sets: names of lists without .tsv; none: train, dev and test.
        normalize: steps that sentences go through (kdasr.data.normalise).

    Raises:
        UserError: a list or clip is absent, a line is damaged, a clip is there twice, or a set has no clips.
    """
    corpus = corpus.resolve()
    if "case" in normalize:
        raise UserError("--normalize case: there are no tokens yet that say which; name lower or upper")
    files = _files(corpus / "clips")
    lists = {name: read_list(_list_of(corpus, name), files) for name in dict.fromkeys(sets or SETS)}
    names = short_names(clip.client for clips in lists.values() for clip in clips.values())
    tables = {name: make_tables(corpus / f"{name}.tsv", clips, names, normalize) for name, clips in lists.items()}
    put_sets(out, tables)
    for one, other in combinations(tables, 2):
        if both := len(tables[one][0]["utt2spk"].keys() & tables[other][0]["utt2spk"].keys()):
            print(f"note: {one} and {other} share {both} clips; do not train on what you test on")


def read_list(path: Path, files: Mapping[str, Path]) -> dict[str, Clip]:
    """The clips of a list, by the names of their files without suffix.

    Args:
        path: a .tsv file, whose first line names its columns. A quotation mark in it is a character like others.
        files: what lies in clips/, by name.

    Raises:
        UserError: a column is absent, or a line has other columns than the first, no client or no words, a clip that
            is not there, or one that was there before; the line is named.
    """
    header, *lines = [line.split("\t") for line in read_lines(path)] or [[""]]
    absent = [name for name in COLUMNS if name not in header]
    if absent:
        raise UserError(f"{path}:1: has no column {absent[0]}, expected Common Voice's header; download the list again")
    places = [header.index(name) for name in COLUMNS]
    clips: dict[str, Clip] = {}
    for number, fields in enumerate(lines, 2):
        where = f"{path}:{number}"
        if fields in ([""], []):
            continue
        if len(fields) != len(header):
            raise UserError(f"{where}: has {len(fields)} columns, expected {len(header)}; download the list again")
        client, name, sentence = (fields[place].strip() for place in places)
        if not client or not sentence or not re.fullmatch(r"[^\s/]+", name):
            raise UserError(
                f"{where}: expected client_id, the name of a clip, and a sentence, found {client[:12]!r}, {name!r},"
                f" {sentence!r}; correct or remove the line"
            )
        audio = _clip_file(name, files)
        if audio is None:
            raise UserError(f"{where}: {name} is not in clips/; unpack the corpus whole, or remove the line")
        if audio.stem in clips:
            raise UserError(f"{where}: {name} is here a second time; remove one of its lines")
        clips[audio.stem] = Clip(client, audio, sentence)
    return clips


def short_names(clients: Iterable[str]) -> dict[str, str]:
    """A name for each client: the first digits of its SHA-256, as many as tell all clients apart, SHORTEST or more.

    The same clients always have the same names, and all names have one length, so that sorting utterances by their
    ids sorts them by speaker, too.
    """
    digests = {client: hashlib.sha256(client.encode()).hexdigest() for client in clients}
    length = SHORTEST
    while len({digest[:length] for digest in digests.values()}) < len(digests):
        length += 1
    return {client: digest[:length] for client, digest in digests.items()}


def make_tables(
    path: Path, clips: Mapping[str, Clip], names: Mapping[str, str], normalize: Collection[str]
) -> tuple[Tables, list[str]]:
    """The tables of one set, and a note on clips of which `normalize` leaves no words: they are left out.

    Raises:
        UserError: no clip is in it.
    """
    tables: Tables = {"text": {}, "wav.scp": {}, "utt2spk": {}}
    normalise = normaliser(normalize)
    wordless = []
    for stem, clip in clips.items():
        text = normalise(clip.sentence)
        if not text:
            wordless.append(stem)
            continue
        utterance = f"{names[clip.client]}-{stem}"
        tables["text"][utterance] = text
        tables["wav.scp"][utterance] = str(clip.audio)
        tables["utt2spk"][utterance] = names[clip.client]
    if not tables["utt2spk"]:
        raise UserError(f"{path}: no clip with words is in it; leave the set out of --sets")
    return tables, [f"{len(wordless)} without words left out (first: {wordless[0]})"] if wordless else []


def _list_of(corpus: Path, name: str) -> Path:
    path = corpus / f"{name}.tsv"
    if not path.is_file():
        there = sorted(file.stem for file in corpus.glob("*.tsv"))
        raise UserError(f"{path}: no such list; lists there: {' '.join(there) or 'none'}")
    return path


def _files(folder: Path) -> dict[str, Path]:
    """The files of clips/ by name; one listing, as there may be a million."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name a language of Common Voice, as in cv-corpus-17.0/eu")
    with os.scandir(folder) as entries:
        return {entry.name: folder / entry.name for entry in entries}


def _clip_file(name: str, files: Mapping[str, Path]) -> Path | None:
    """The file of a clip: by its name, by that and a suffix, or by that with another suffix."""
    stem = name.rpartition(".")[0] or name
    candidates = (name, *(f"{name}{suffix}" for suffix in SUFFIXES), *(f"{stem}{suffix}" for suffix in SUFFIXES))
    return next((files[one] for one in candidates if one in files), None)
