"""Texts on their way to scoring: Kaldi `text` files, tokens as ESPnet scores them, sclite's trn files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import atomic_write, read_lines

BLANKS = " \t\r\n\v\f"  # sclite's: C's isspace, so a no-break space is part of a word
SPACE = "<space>"
WSJ_NOISES = frozenset({"<NOISE>", "<SPOKEN_NOISE>", "<UNK>"})


@dataclass(frozen=True)
class Line:
    """One utterance of a trn file: its words, and `speaker-utterance`."""

    id: str
    words: tuple[str, ...]


def split(text: str) -> list[str]:
    """Words of a text, cut where sclite cuts."""
    return [word for word in re.split(f"[{BLANKS}]+", text) if word]


def read_text(path: str | Path, empty: bool = False) -> dict[str, tuple[str, ...]]:
    """Read a Kaldi `text`: the words of each utterance.

    Args:
        path: lines `UTTERANCE WORD...`.
        empty: whether an utterance may be without words, as a hypothesis may.

    Raises:
        UserError: absent, empty or not UTF-8; a blank line, an utterance twice, or without words.
    """
    table: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(read_lines(path), 1):
        key, *words = split(line) or [""]
        if not key or not (words or empty):
            raise UserError(f"{path}:{number}: expected 'UTTERANCE WORD...', found {line!r}; mend or remove the line")
        if key in table:
            raise UserError(f"{path}:{number}: {key} stands here a second time; remove one of its lines")
        table[key] = tuple(words)
    if not table:
        raise UserError(f"{path}: is empty, expected 'UTTERANCE WORD...' lines; run the stage that writes it")
    return table


def same_utterances(ref: Mapping[str, object], hyp: Mapping[str, object], ref_path: object, hyp_path: object) -> None:
    """Refuse two tables that do not hold the same utterances (sclite would skip them without a word)."""
    for table, other, path, other_path in ((hyp, ref, hyp_path, ref_path), (ref, hyp, ref_path, hyp_path)):
        missing = [key for key in other if key not in table]
        if missing:
            shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            raise UserError(
                f"{path}: lacks {len(missing)} of the {len(other)} utterances of {other_path} ({shown}); "
                "score the set that was decoded, or decode all of it"
            )


def wsj_filter(words: Iterable[str]) -> list[str]:
    """What Kaldi's WSJ recipe removes before scoring: noise words, and the characters : and * of others.

    Kaldi's filter also repairs four misspellings of its language model's word list in the hypothesis; that is
    left out, since the words here do not come from that list.
    """
    kept = (re.sub(r"[:*]", "", word) for word in words if word not in WSJ_NOISES)
    return [word for word in kept if word]


def word_tokens(words: Sequence[str], nlsyms: Iterable[str] = ()) -> list[str]:
    """Words as ESPnet scores them: without the non-linguistic symbols."""
    removed = set(nlsyms)
    return [word for word in words if word not in removed]


def char_tokens(words: Sequence[str], nlsyms: Iterable[str] = ()) -> list[str]:
    """Characters as ESPnet scores them: `<space>` between words, non-linguistic symbols removed wherever they stand.

    As in ESPnet's CharTokenizer, the space on either side of a removed symbol stays. Of two symbols
    that begin alike the longer one is taken (ESPnet's choice changes from run to run).
    """
    text = " ".join(words)
    symbols = sorted(filter(None, nlsyms), key=len, reverse=True)
    if symbols:
        text = re.sub("|".join(map(re.escape, symbols)), "", text)
    return [SPACE if char == " " else char for char in text]


def unusual(tokens: Sequence[str]) -> str:
    """Why sclite would not take these as ordinary words, or "" if it does."""
    if tokens and tokens[0].startswith("**"):
        return f"sclite skips a line that begins with {tokens[0]!r}"
    if "@" in tokens:
        return "sclite takes '@' for no word at all"
    if not re.search(r"[;\\{\0-\x1f\x7f]", " ".join(tokens)):
        return ""
    token = next(token for token in tokens if re.search(r"[;\\{\0-\x1f\x7f]", token))
    if ";" in token:
        return f"sclite reads ';' in {token!r} as the start of a comment or tag"
    if "\\" in token:
        return f"sclite drops the backslash of {token!r}"
    if "{" in token:
        return f"sclite opens alternatives at {token!r}"
    return f"sclite cannot hold the control character in {token!r}"


def trn_ids(
    utterances: Iterable[str], utt2spk: Mapping[str, str], path: object, case_sensitive: bool
) -> dict[str, str]:
    """`speaker-utterance` for each utterance, checked for what sclite would confuse.

    Args:
        utterances: the ids to convert.
        utt2spk: each one's speaker; may hold more.
        path: of utt2spk, for messages.
        case_sensitive: otherwise sclite lowers the ids too, and two must not differ in case alone.
    """
    ids: dict[str, str] = {}
    seen: dict[str, str] = {}
    for utterance in utterances:
        if utterance not in utt2spk:
            raise UserError(f"{path}: no speaker for utterance {utterance}; add its line 'UTTERANCE SPEAKER'")
        name = f"{utt2spk[utterance]}-{utterance}"
        if re.search(rf"[();\\{BLANKS}]|//", name):
            raise UserError(f"{path}: '{name}' holds '(', ')', ';', '\\', '//' or a blank; rename the utterance")
        key = name if case_sensitive else name.encode().lower().decode()
        if key in seen:
            raise UserError(f"{path}: {utterance} and {seen[key]} both become '{key}' for sclite; rename one of them")
        seen[key], ids[utterance] = utterance, name
    return ids


def write_trn(path: str | Path, lines: Iterable[Line]) -> None:
    """Write `WORD... (speaker-utterance)` lines, whole or not at all."""
    with atomic_write(path) as stream:
        for line in lines:
            stream.write(" ".join([*line.words, f"({line.id})"]) + "\n")


def read_trn(path: str | Path) -> list[Line]:
    """Read a trn file; UserError for a line without its `(speaker-utterance)`, or an id that stands twice."""
    lines: dict[str, Line] = {}
    for number, text in enumerate(read_lines(path), 1):
        match = re.fullmatch(rf"(.*)\(([^()]*-[^()]*)\)[{BLANKS}]*", text)
        if not match:
            raise UserError(f"{path}:{number}: expected 'WORD... (SPEAKER-UTTERANCE)', found {text!r}; mend the line")
        if match[2] in lines:
            raise UserError(f"{path}:{number}: ({match[2]}) stands here a second time; remove one of its lines")
        words = tuple(split(match[1]))
        if why := unusual(words):
            raise UserError(f"{path}:{number}: {why}; take it out of the text")
        lines[match[2]] = Line(match[2], words)
    return list(lines.values())
