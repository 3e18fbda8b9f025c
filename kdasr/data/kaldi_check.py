"""Check a Kaldi data directory against the rules that Kaldi's tools rely on (utils/validate_data_dir.py).

Tables are read line by line, and none is kept.
"""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdasr.data.parts import speakers_of
from kdasr.data.utterances import split_channel
from kdasr.errors import UserError
from kdasr.files import MARK, columns, open_now, split_key
from kdasr.keyed import Keyed, hashes_of, order_of, rows

ILLEGAL_WORDS = ("<s>", "</s>", "#0")  # they have a special meaning in Kaldi's graphs
_BY_UTTERANCE = ["text.src", "feats.scp", "vad.scp", "utt2lang", "utt2uniq", "utt2warp", "utt2dur", "utt2num_frames"]
_BY_SPEAKER = ["cmvn.scp", "spk2gender", "spk2warp"]


def odd_character(text: str, blanks: str = " \t") -> str | None:
    """The first character of a transcript that no word has, if there is one.

    As in Kaldi these are white space other than the plain one, at which some tools cut words and others do not, and
    control characters. Joiners of zero width, soft hyphens and private characters belong to words.

    Args:
        text: the transcript.
        blanks: the white space that may be in it.
    """
    if text.isascii() and text.isprintable():  # nearly all are
        return None
    return next((c for c in text if c not in blanks and (c.isspace() or unicodedata.category(c) == "Cc")), None)


def validate(
    directory: Path, feats: bool = True, text: bool = True, wav: bool = True, spk_sort: bool = True
) -> list[str]:
    """Check a data directory as Kaldi's validate_data_dir.sh does.

    An utterance without words is refused too: training and scoring cannot use it (Kaldi lets it pass).

    Args:
        directory: the data directory.
        feats, text, wav: whether feats.scp, text, wav.scp have to be there; what is there is checked anyway.
        spk_sort: whether utt2spk has to be in the speakers' order as well.

    Returns:
        Warnings, one line each.

    Raises:
        UserError: the first rule that is broken, with file, line or id, and the remedy.
    """
    if not directory.is_dir():
        raise UserError(f"{directory}: no such directory; run the stage that writes it")
    with _table(directory, "utt2spk") as utt2spk:
        _check_speakers(directory, utt2spk)
        if not (directory / "spk2utt").is_file():
            made = f"utils/utt2spk_to_spk2utt.py {directory}/utt2spk >{directory}/spk2utt"
            raise UserError(f"{directory}/spk2utt: no such file; make it: {made}")
        with _table(directory, "spk2utt") as spk2utt:
            names, speaker = speakers_of(utt2spk)  # (U,)
            if spk_sort:
                _check_order(directory, utt2spk, names, speaker)
            if not _match(utt2spk, spk2utt, names, speaker):
                raise UserError(f"{directory}/spk2utt: does not match utt2spk; {_fix(directory)}")
            if _present(directory, "text", text):
                _check_text(directory, utt2spk)
            _check_recordings(directory, utt2spk, wav)
            _present(directory, "feats.scp", feats)
            for tables, keys in ((_BY_UTTERANCE, utt2spk), (_BY_SPEAKER, spk2utt)):
                for name in tables:
                    if (directory / name).is_file():
                        with _table(directory, name) as table:
                            _check_keys(directory, name, table, _keys_of(keys))
                            _check_values(directory, name, table)
                            if name.endswith(".scp"):
                                _check_paths(directory, name, table)
    if len(names) == 1:
        return [f"{directory}: has one speaker only; per-speaker statistics and splits will be of no use"]
    return []


class _Keys(NamedTuple):
    """The keys that a table should have."""

    hashes: np.ndarray  # (N,), in the order of LC_ALL=C
    names: Keyed | Sequence[str]  # the table that has them, or they themselves

    def first(self, among: np.ndarray) -> str:
        """The first of which `among`, (N,), is true."""
        place = np.flatnonzero(among)[:1]
        return next(rows(self.names, place))[0] if isinstance(self.names, Keyed) else self.names[int(place[0])]


def _keys_of(table: Keyed) -> _Keys:
    return _Keys(table.hashes, table)


def _check_speakers(directory: Path, utt2spk: Keyed) -> None:
    wrong = next(((key, value) for key, value in rows(utt2spk) if len(columns(value)) != 1), None)
    if wrong:
        raise UserError(f"{directory}/utt2spk: {wrong[0]} has {wrong[1]!r}, expected one speaker; correct the line")


def _check_order(directory: Path, utt2spk: Keyed, names: Sequence[str], speaker: np.ndarray) -> None:
    """UserError if utterances are not in the order of their speakers, whose numbers are `speaker`, (U,)."""
    rank = np.empty(len(names), dtype=np.int32)
    rank[order_of(names)] = np.arange(len(names))
    by_speaker = np.argsort(rank[speaker], kind="stable")
    wrong = np.flatnonzero(by_speaker != np.arange(len(speaker)))[:1]
    if len(wrong):
        utterance = next(rows(utt2spk, wrong))[0]
        raise UserError(f"{directory}/utt2spk: is not in the speakers' order from {utterance} on; {_reorder(utt2spk)}")


def _match(utt2spk: Keyed, spk2utt: Keyed, names: Sequence[str], speaker: np.ndarray) -> bool:
    """Whether spk2utt says what utt2spk says, in which (U,) utterances have the speakers with these numbers."""
    number_of = {name: number for number, name in enumerate(names)}
    said: list[tuple[int, int]] = []  # of each speaker: the number, and how many utterances

    def utterances(name: str, line: str) -> list[str]:
        found = columns(line)
        said.append((number_of.get(name, -1), len(found)))
        return found

    hashes = hashes_of(itertools.chain.from_iterable(utterances(*row) for row in rows(spk2utt)))
    places = utt2spk.find(hashes)
    if len(hashes) != len(utt2spk) or bool((places < 0).any()) or len(np.unique(places)) != len(utt2spk):
        return False
    numbers, counts = np.array(said).T
    return bool((speaker[places] == np.repeat(numbers, counts)).all())


def _reorder(utt2spk: Keyed) -> str:
    """What makes the order of utterance ids that of their speakers too."""
    other = next((row for row in rows(utt2spk) if not row[0].startswith(row[1])), None)
    if other:
        return f"let each utterance id begin with its speaker's id, as {other[0]} does not with {other[1]}"
    return (
        "speaker ids of several lengths sort otherwise with something behind them: give them one length, or let each"
        " utterance id have a '-' behind its speaker's, which sorts before digits and letters"
    )


def _check_text(directory: Path, utt2spk: Keyed) -> None:
    with _table(directory, "text", empty=True) as table:
        _check_keys(directory, "text", table, _keys_of(utt2spk))
        for utterance, words in rows(table):
            if not words:
                raise UserError(f"{directory}/text: {utterance} has no words; {_fix(directory)}, which drops it")
            bad = next((word for word in columns(words) if word in ILLEGAL_WORDS), None)
            if bad:
                raise UserError(
                    f"{directory}/text: {utterance} has the illegal word {bad}; remove it from the transcript"
                )
            character = odd_character(words)
            if character:
                raise UserError(
                    f"{directory}/text: {utterance} has the character {character!a}, which no word may have; replace"
                    " it by a space"
                )


def _check_recordings(directory: Path, utt2spk: Keyed, wav: bool) -> None:
    """wav.scp, segments, reco2file_and_channel and reco2dur."""
    recordings = _keys_of(utt2spk)
    if (directory / "segments").is_file():
        with _table(directory, "segments") as segments:
            if not (directory / "wav.scp").is_file():
                raise UserError(f"{directory}: has segments but no wav.scp, which they refer to; add it")
            _check_keys(directory, "segments", segments, recordings)
            recordings = _check_segments(directory, segments)
    if _present(directory, "wav.scp", wav):
        with _table(directory, "wav.scp") as table:
            _check_paths(directory, "wav.scp", table)
            _check_keys(directory, "wav.scp", table, recordings)
    for name in ("reco2file_and_channel", "reco2dur"):
        if (directory / name).is_file():
            with _table(directory, name) as table:
                _check_keys(directory, name, table, recordings)
                _check_values(directory, name, table)


def _check_segments(directory: Path, segments: Keyed) -> _Keys:
    """The recordings of the segments; UserError if a line is none."""
    found = set()
    for utterance, line in rows(segments):
        if not _is_segment(columns(split_channel(line)[0])):
            raise UserError(
                f"{directory}/segments: {utterance} has {line!r}, expected 'RECORDING START END' in seconds with"
                " END > START, or END -1 for the recording's; correct the line"
            )
        found.add(split_key(line)[0])
    names = sorted(found, key=str.encode)
    return _Keys(hashes_of(names), names)


def _is_segment(words: Sequence[str]) -> bool:
    """Whether these are a recording and a piece of it; an end of -1 is the recording's, as in Kaldi."""
    if len(words) != 3:
        return False
    start, end = _number(words[1]), _number(words[2])
    return 0 <= start < float("inf") and (start < end < float("inf") or end == -1)


def _check_paths(directory: Path, name: str, table: Keyed) -> None:
    wrong = next((row for row in rows(table) if row[1].startswith("~")), None)
    if wrong:
        key, value = wrong
        full = os.path.expanduser(value)  # noqa: PTH111  leaves the home of nobody as it is
        remedy = f"write it out: {full}" if full != value else "write it out"
        raise UserError(f"{directory}/{name}: {key} has a path with '~', which is not expanded here; {remedy}")


def _check_values(directory: Path, name: str, table: Keyed) -> None:
    rules = {
        "utt2dur": (lambda v: _number(v) > 0, "seconds above 0"),
        "reco2dur": (lambda v: _number(v) > 0, "seconds above 0"),
        "utt2num_frames": (lambda v: v.isascii() and v.isdigit() and v.strip("0"), "a whole number above 0"),
        "spk2gender": (lambda v: v in ("m", "f"), "m or f"),
        "spk2warp": (lambda v: 0.5 < _number(v) < 1.5, "a number between 0.5 and 1.5"),
        "utt2warp": (lambda v: 0.5 < _number(v) < 1.5, "a number between 0.5 and 1.5"),
        "reco2file_and_channel": (lambda v: columns(v)[1:] in (["A"], ["B"]), "FILE A or FILE B"),
    }
    if name in rules:
        good, expected = rules[name]
        wrong = next((row for row in rows(table) if not good(row[1])), None)
        if wrong:
            raise UserError(f"{directory}/{name}: {wrong[0]} has {wrong[1]!r}, expected {expected}; correct the line")


def _check_keys(directory: Path, name: str, found: Keyed, expected: _Keys) -> None:
    """Both are sorted, so that equal sets are equal lists."""
    if np.array_equal(found.hashes, expected.hashes):
        return
    missing, extra = ~np.isin(expected.hashes, found.hashes), ~np.isin(found.hashes, expected.hashes)
    parts = []
    if missing.any():
        first = expected.first(missing)
        parts.append(f"lacks {missing.sum()} of {len(missing)} ids (first: {first})")
    if extra.any():
        parts.append(f"has {extra.sum()} that others lack (first: {_keys_of(found).first(extra)})")
    raise UserError(f"{directory}/{name}: {' and '.join(parts)}; {_fix(directory)}")


def _present(directory: Path, name: str, required: bool) -> bool:
    if (directory / name).is_file():
        return True
    if required:
        option = {"feats.scp": "--no-feats", "text": "--no-text", "wav.scp": "--no-wav"}[name]
        raise UserError(f"{directory}/{name}: no such file; if that is meant to be so, give {option}")
    return False


def _table(directory: Path, name: str, empty: bool = False) -> Keyed:
    """A table in its file's order; UserError if a line is malformed, or the keys do not rise (LC_ALL=C)."""
    path = directory / name
    before = b""

    def key_of(number: int, line: str) -> str:
        nonlocal before
        if number == 1:
            _check_bytes(path)
        key, value = split_key(line)
        if not key or (not value and not empty):
            raise UserError(f"{path}:{number}: expected 'KEY VALUE', found {line!r}; correct or remove the line")
        if key.encode() <= before:
            what = "is here a second time" if _is_above(path, number, key) else "is not in sorted order (LC_ALL=C)"
            raise UserError(f"{path}:{number}: {key} {what}; {_fix(directory)}")
        before = key.encode()
        return key

    table = Keyed(path, key_of)
    if not len(table):
        table.close()
        raise UserError(f"{path}: is empty; run the stage that writes it again")
    return table


def _is_above(path: Path, number: int, key: str) -> bool:
    """Whether a line above that with this number has this key."""
    with open(path, encoding="utf-8", newline="\n") as stream:
        return any(split_key(line.rstrip("\n"))[0] == key for line in itertools.islice(stream, number - 1))


def _check_bytes(path: Path) -> None:
    """UserError for what kdasr reads over, but Kaldi's own tools would take for a part of a key or word."""
    number, line = 0, b"\n"
    with open_now(path) as stream:
        for number, line in enumerate(stream, 1):
            if number == 1 and line.startswith(MARK.encode()):
                raise UserError(
                    f"{path}:1: begins with a byte-order mark, which Kaldi reads as a letter; {_fix(path.parent)}"
                )
            if b"\r" in line:
                raise UserError(f"{path}:{number}: has a DOS line end (a carriage return); {_fix(path.parent)}")
    if not line.endswith(b"\n"):
        raise UserError(f"{path}:{number}: the last line has no end; {_fix(path.parent)}")


def _number(text: str) -> float:
    """The number, or NaN, which no comparison is true of."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _fix(directory: Path) -> str:
    return f"run utils/fix_data_dir.py {directory}"
