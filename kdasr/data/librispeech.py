"""LibriSpeech's layout, SET/READER/CHAPTER/*.flac with one *.trans.txt a chapter -> Kaldi data directories.

A speaker is a reader in one chapter (`1272-128104`), as in Kaldi's and ESPnet's recipes. A chapter was read in one
session at one microphone, which is what normalisation by speaker is for, and so the directories are those that others
have. The person is what stands before the hyphen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from kdasr.data.kaldi_dir import Tables, put_sets
from kdasr.errors import UserError
from kdasr.files import BLANKS, read_lines, read_table

SUFFIXES = (".flac", ".wav")
TRANSCRIPTS = ".trans.txt"
GENDERS = "SPEAKERS.TXT"
LAYOUT = f"SET/READER/CHAPTER/*{TRANSCRIPTS}"


def write_sets(corpus: Path, out: Path, sets: Sequence[str]) -> None:
    """Write the sets under Kaldi's names (`dev-clean-2` becomes `dev_clean_2`); none, if one of them is damaged.

    Args:
        corpus: LibriSpeech, with the sets' folders in it, or the folder that has LibriSpeech/ in it.
        out: where the sets go.
        sets: folders of the corpus; none: all that there are.

    Raises:
        UserError: no such set, or one that is not as upstream has it.
    """
    root, there = find_sets(corpus)
    unknown = sorted(set(sets) - set(there))
    if unknown:
        raise UserError(f"{root}: has no set {unknown[0]} ({LAYOUT}); those there: {' '.join(there)}")
    genders = read_genders(root / GENDERS) if (root / GENDERS).is_file() else None
    tables: dict[str, tuple[Tables, list[str]]] = {}
    for name in sets or there:
        kaldi_name = name.replace("-", "_")
        if kaldi_name in tables:
            raise UserError(f"{root / name}: another set is called {kaldi_name} already; rename one, or name it once")
        tables[kaldi_name] = make_tables(root / name, genders)
    put_sets(out, tables)


def find_sets(corpus: Path) -> tuple[Path, list[str]]:
    """The folder that has the sets in it, and their names, sorted.

    Raises:
        UserError: there is none.
    """
    corpus = corpus.resolve()
    for root in (corpus, corpus / "LibriSpeech"):
        if there := sorted(folder.name for folder in _folders(root) if _has(folder, f"*/*/*{TRANSCRIPTS}")):
            return root, there
    if _has(corpus, f"*/*/*{TRANSCRIPTS}"):
        raise UserError(f"{corpus}: is one set; name the folder that has it, {corpus.parent}, and --sets {corpus.name}")
    raise UserError(f"{corpus}: there is no set in it ({LAYOUT}); name LibriSpeech's folder, unpacked whole")


def make_tables(folder: Path, genders: Mapping[str, str] | None) -> tuple[Tables, list[str]]:
    """The tables of one set, and notes on them.

    Args:
        folder: the set.
        genders: m or f by reader; None: not known, and there is no spk2gender.

    Raises:
        UserError: a transcript without audio or audio without a transcript, a chapter without transcripts, or no
            utterance at all.
    """
    tables: Tables = {"text": {}, "wav.scp": {}, "utt2spk": {}}
    readers: dict[str, str] = {}  # by speaker
    for reader in _folders(folder):
        for chapter in _folders(reader):
            speaker = _speaker(reader.name, chapter)
            texts, audio = read_chapter(chapter, speaker)
            tables["text"].update(texts)
            tables["wav.scp"].update((utterance, str(path)) for utterance, path in audio.items())
            tables["utt2spk"].update((utterance, speaker) for utterance in texts)
            if texts:
                readers[speaker] = reader.name
    if not tables["utt2spk"]:
        raise UserError(f"{folder}: no utterance is in it; unpack the set again, or leave it out of --sets")
    if genders is None:
        return tables, []
    if unknown := sorted(set(readers.values()) - set(genders)):
        return tables, [f"no spk2gender: {GENDERS} does not know {len(unknown)} of the readers (first: {unknown[0]})"]
    tables["spk2gender"] = {speaker: genders[reader] for speaker, reader in readers.items()}
    return tables, []


def read_chapter(chapter: Path, speaker: str) -> tuple[dict[str, str], dict[str, Path]]:
    """Texts and audio files of a chapter by utterance; both empty where the folder is."""
    audio: dict[str, Path] = {}
    for path in sorted(chapter.iterdir()):
        if path.suffix in SUFFIXES and not path.name.startswith("."):
            if path.stem in audio:
                raise UserError(f"{path}: the same utterance is there as {audio[path.stem].name}, too; remove one")
            audio[path.stem] = path
    transcripts = chapter / f"{speaker}{TRANSCRIPTS}"
    if not transcripts.is_file():
        if audio or _has(chapter, f"*{TRANSCRIPTS}"):
            raise UserError(f"{transcripts}: no such file, the transcripts of this chapter; unpack the set again")
        return {}, {}
    texts = read_table(transcripts)
    for utterance in texts:
        if not utterance.startswith(f"{speaker}-"):
            raise UserError(f"{transcripts}: {utterance} does not begin with {speaker}-; correct its id, or the folder")
    for found, lacks, what in ((texts, audio, "audio file"), (audio, texts, "transcript")):
        if missing := sorted(found.keys() - lacks.keys()):
            raise UserError(
                f"{transcripts}: {len(missing)} utterances have no {what} (first: {missing[0]}); unpack the set again"
            )
    return texts, audio


def read_genders(path: Path) -> dict[str, str]:
    """SPEAKERS.TXT, `READER | SEX | SUBSET | MINUTES | NAME` a line -> m or f by reader.

    Raises:
        UserError: a line of another form; it is named.
    """
    genders = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip(BLANKS) or line.startswith(";"):
            continue
        reader, sex, *_ = [*(field.strip(BLANKS) for field in line.split("|")), ""]
        if not reader or sex not in ("M", "F"):
            raise UserError(f"{path}:{number}: expected 'READER | M or F | ...', found {line!r}; correct the line")
        genders[reader] = sex.lower()
    return genders


def _speaker(reader: str, chapter: Path) -> str:
    """Without further hyphens: they would mix up speakers, and their order."""
    for name in (reader, chapter.name):
        if not re.fullmatch(r"\w+", name):
            raise UserError(
                f"{chapter}: expected folders READER/CHAPTER of letters and digits, found {name!r}; rename it"
            )
    return f"{reader}-{chapter.name}"


def _folders(parent: Path) -> list[Path]:
    """The folders in one, sorted, but for hidden ones; none where it is no folder."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _has(folder: Path, pattern: str) -> bool:
    return any(True for _ in folder.glob(pattern))
