"""A folder of audio files without any list -> a Kaldi data directory without text.

Nobody says who speaks, so each file is a speaker of its own, as Kaldi's recipes do then.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from kdasr.data.kaldi_check import odd_character
from kdasr.data.kaldi_dir import Tables, put_sets
from kdasr.errors import UserError

# what kdasr reads, by the usual names; AN4's .raw files would be a guess
SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif", ".au", ".caf", ".w64", ".sph", ".wv1", ".wv2")


def write_folder(folder: Path, out: Path) -> None:
    """Write the data directory of all audio files in a folder and its subfolders, and print its size.

    Args:
        folder: where they are; hidden files and folders are left out.
        out: the data directory.

    Raises:
        UserError: as `folder_tables`.
    """
    put_sets(out.parent, {out.name: folder_tables(folder)})


def folder_tables(folder: Path) -> tuple[Tables, list[str]]:
    """The tables of all audio files in a folder and its subfolders, and notes on what was left out.

    Raises:
        UserError: there is no audio, two files would have one id, or a name cannot stand in a list.
    """
    audio, others = find_audio(folder)
    root = folder.resolve()
    tables: Tables = {"wav.scp": {}, "utt2spk": {}}
    for path in audio:
        utterance = utterance_of(path.relative_to(folder))
        if other := tables["wav.scp"].get(utterance):
            raise UserError(f"{path}: has the id {utterance}, and so has {other}; rename one of them")
        full = str(root / path.relative_to(folder))
        if odd_character(full, blanks=" "):
            raise UserError(f"{full!r}: has a tab, line break or the like in its name, which no list can; rename it")
        tables["wav.scp"][utterance] = full
        tables["utt2spk"][utterance] = utterance
    return tables, [f"{len(others)} other files left out (first: {others[0].relative_to(folder)})"] if others else []


def find_audio(folder: Path) -> tuple[list[Path], list[Path]]:
    """Audio files, and others, in a folder and its subfolders.

    Raises:
        UserError: no folder, or none of the files is audio.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name one that has audio files in it")
    audio, others = [], []
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                kind = audio if name.lower().endswith(SUFFIXES) else others
                kind.append(Path(parent) / name)
    if not audio:
        raise UserError(f"{folder}: no audio is in it ({len(others)} other files); expected {' '.join(SUFFIXES)}")
    return audio, others


def utterance_of(path: Path) -> str:
    """The id of a file: its path in the folder without suffix, `-` between folders and `_` for white space."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", "_", "-".join(path.with_suffix("").parts))
