"""Check a Kaldi data directory against the rules that Kaldi's tools rely on (utils/validate_data_dir.py)."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from kdasr.data.kaldi_dir import utt2spk_of
from kdasr.data.utterances import split_channel
from kdasr.errors import UserError
from kdasr.files import MARK, columns, read_lines, split_key

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
    utt2spk = _pairs(directory, "utt2spk")
    if not (directory / "spk2utt").is_file():
        made = f"utils/utt2spk_to_spk2utt.py {directory}/utt2spk >{directory}/spk2utt"
        raise UserError(f"{directory}/spk2utt: no such file; make it: {made}")
    spk2utt = _table(directory, "spk2utt")
    if spk_sort:
        by_speaker = sorted(utt2spk, key=lambda u: (utt2spk[u].encode(), u.encode()))
        wrong = next((u for u, v in zip(utt2spk, by_speaker, strict=True) if u != v), None)
        if wrong:
            raise UserError(f"{directory}/utt2spk: is not in the speakers' order from {wrong} on; {_reorder(utt2spk)}")
    if utt2spk_of(spk2utt) != utt2spk or sum(len(columns(v)) for v in spk2utt.values()) != len(utt2spk):
        raise UserError(f"{directory}/spk2utt: does not match utt2spk; {_fix(directory)}")

    utterances = list(utt2spk)
    if _present(directory, "text", text):
        _check_text(directory, _table(directory, "text", empty=True), utterances)
    _check_recordings(directory, utterances, wav)
    _present(directory, "feats.scp", feats)
    for names, keys in ((_BY_UTTERANCE, utterances), (_BY_SPEAKER, list(spk2utt))):
        for name in names:
            if (directory / name).is_file():
                table = _table(directory, name)
                _check_keys(directory, name, list(table), keys)
                _check_values(directory, name, table)
                if name.endswith(".scp"):
                    _check_paths(directory, name, table)
    if len(spk2utt) == 1:
        return [f"{directory}: has one speaker only; per-speaker statistics and splits will be of no use"]
    return []


def _reorder(utt2spk: Mapping[str, str]) -> str:
    """What makes the order of utterance ids that of their speakers too."""
    other = next((u for u, speaker in utt2spk.items() if not u.startswith(speaker)), None)
    if other:
        return f"let each utterance id begin with its speaker's id, as {other} does not with {utt2spk[other]}"
    return (
        "speaker ids of several lengths sort otherwise with something behind them: give them one length, or let each"
        " utterance id have a '-' behind its speaker's, which sorts before digits and letters"
    )


def _check_text(directory: Path, table: dict[str, str], utterances: Sequence[str]) -> None:
    _check_keys(directory, "text", list(table), utterances)
    for utterance, words in table.items():
        if not words:
            raise UserError(f"{directory}/text: {utterance} has no words; {_fix(directory)}, which drops it")
        bad = next((word for word in columns(words) if word in ILLEGAL_WORDS), None)
        if bad:
            raise UserError(f"{directory}/text: {utterance} has the illegal word {bad}; remove it from the transcript")
        character = odd_character(words)
        if character:
            raise UserError(
                f"{directory}/text: {utterance} has the character {character!a}, which no word may have; replace it by"
                " a space"
            )


def _check_recordings(directory: Path, utterances: Sequence[str], wav: bool) -> None:
    """wav.scp, segments, reco2file_and_channel and reco2dur."""
    segments = _table(directory, "segments") if (directory / "segments").is_file() else None
    if segments is not None and not (directory / "wav.scp").is_file():
        raise UserError(f"{directory}: has segments but no wav.scp, which they refer to; add it")
    recordings = list(utterances)
    if segments is not None:
        _check_keys(directory, "segments", list(segments), utterances)
        for utterance, line in segments.items():
            if not _is_segment(columns(split_channel(line)[0])):
                raise UserError(
                    f"{directory}/segments: {utterance} has {line!r}, expected 'RECORDING START END' in seconds with"
                    " END > START, or END -1 for the recording's; correct the line"
                )
        recordings = sorted({split_key(line)[0] for line in segments.values()}, key=str.encode)
    if _present(directory, "wav.scp", wav):
        table = _table(directory, "wav.scp")
        _check_paths(directory, "wav.scp", table)
        _check_keys(directory, "wav.scp", list(table), recordings)
    for name in ("reco2file_and_channel", "reco2dur"):
        if (directory / name).is_file():
            table = _table(directory, name)
            _check_keys(directory, name, list(table), recordings)
            _check_values(directory, name, table)


def _is_segment(words: Sequence[str]) -> bool:
    """Whether these are a recording and a piece of it; an end of -1 is the recording's, as in Kaldi."""
    if len(words) != 3:
        return False
    start, end = _number(words[1]), _number(words[2])
    return 0 <= start < float("inf") and (start < end < float("inf") or end == -1)


def _check_paths(directory: Path, name: str, table: Mapping[str, str]) -> None:
    key = next((key for key, value in table.items() if value.startswith("~")), None)
    if key:
        full = os.path.expanduser(table[key])  # noqa: PTH111  leaves the home of nobody as it is
        remedy = f"write it out: {full}" if full != table[key] else "write it out"
        raise UserError(f"{directory}/{name}: {key} has a path with '~', which is not expanded here; {remedy}")


def _check_values(directory: Path, name: str, table: dict[str, str]) -> None:
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
        wrong = next((key for key, value in table.items() if not good(value)), None)
        if wrong:
            raise UserError(f"{directory}/{name}: {wrong} has {table[wrong]!r}, expected {expected}; correct the line")


def _check_keys(directory: Path, name: str, found: Sequence[str], expected: Sequence[str]) -> None:
    """Both are sorted, so that equal sets are equal lists."""
    if found == expected:
        return
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    parts = []
    if missing:
        parts.append(f"lacks {len(missing)} of {len(expected)} ids (first: {missing[0]})")
    if extra:
        parts.append(f"has {len(extra)} that others lack (first: {extra[0]})")
    raise UserError(f"{directory}/{name}: {' and '.join(parts)}; {_fix(directory)}")


def _present(directory: Path, name: str, required: bool) -> bool:
    if (directory / name).is_file():
        return True
    if required:
        option = {"feats.scp": "--no-feats", "text": "--no-text", "wav.scp": "--no-wav"}[name]
        raise UserError(f"{directory}/{name}: no such file; if that is meant to be so, give {option}")
    return False


def _table(directory: Path, name: str, empty: bool = False) -> dict[str, str]:
    """A table in its file's order; UserError if a line is malformed, or the keys do not rise (LC_ALL=C)."""
    path = directory / name
    lines = read_lines(path)
    if not lines:
        raise UserError(f"{path}: is empty; run the stage that writes it again")
    _check_bytes(path, len(lines))
    table: dict[str, str] = {}
    before = b""
    for number, line in enumerate(lines, 1):
        key, value = split_key(line)
        if not key or (not value and not empty):
            raise UserError(f"{path}:{number}: expected 'KEY VALUE', found {line!r}; correct or remove the line")
        if key.encode() <= before:
            what = "is here a second time" if key in table else "is not in sorted order (LC_ALL=C)"
            raise UserError(f"{path}:{number}: {key} {what}; {_fix(directory)}")
        before = key.encode()
        table[key] = value
    return table


def _check_bytes(path: Path, lines: int) -> None:
    """UserError for what kdasr reads over, but Kaldi's own tools would take for a part of a key or word."""
    data = path.read_bytes()
    if data.startswith(MARK.encode()):
        raise UserError(f"{path}:1: begins with a byte-order mark, which Kaldi reads as a letter; {_fix(path.parent)}")
    if b"\r" in data:
        number = data[: data.index(b"\r")].count(b"\n") + 1
        raise UserError(f"{path}:{number}: has a DOS line end (a carriage return); {_fix(path.parent)}")
    if not data.endswith(b"\n"):
        raise UserError(f"{path}:{lines}: the last line has no end; {_fix(path.parent)}")


def _pairs(directory: Path, name: str) -> dict[str, str]:
    table = _table(directory, name)
    wrong = next((key for key, value in table.items() if len(columns(value)) != 1), None)
    if wrong:
        raise UserError(f"{directory}/{name}: {wrong} has {table[wrong]!r}, expected one speaker; correct the line")
    return table


def _number(text: str) -> float:
    """The number, or NaN, which no comparison is true of."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _fix(directory: Path) -> str:
    return f"run utils/fix_data_dir.py {directory}"
