r"""The texts on WSJ's discs: index files, `.dot` transcripts, speaker tables, and how a transcript is normalised.

All of it gives what Kaldi's recipe (egs/wsj/s5/local) gives for the same discs. Where Kaldi stops at what real
discs do not have, or lets it pass unseen, the functions say so.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from kdasr.errors import UserError

NOISE = "<NOISE>"  # Kaldi's word for any noise that a transcript marks

_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
# marks next to the words that they belong to: not words, deleted
_DELETED = re.compile(
    r"^\[<\w+\]$"  # [<door_slam]: in the word before
    r"|^\[\w+>\]$"  # [door_slam>]: in the word after
    r"|\[\w+/\]$"  # [phone_ring/]: begins
    r"|\[/\w+\]$"  # [/phone_ring]: ends
    r"|^~$"  # the recording is cut off
    r"|^\.$",  # a pause
    re.ASCII,
)
_NOISE = re.compile(r"\[\w+\]", re.ASCII)  # [loud_breath], also inside a word
_UNVERBALISED = re.compile(r"^<([\w']+)>$", re.ASCII)  # <and>: marked as deleted, but spoken


def normalise(transcript: str) -> str:
    r"""A transcript as the discs have it -> the words that are scored, as Kaldi's recipe normalises them.

    Upper case; backslashes removed; noises to <NOISE>; pause, cut-off and noise-extent marks deleted;
    `<and>` to AND; `--DASH`, `%PERCENT` and `.POINT` to the dictionary's -DASH, PERCENT and POINT. Verbalised
    punctuation (,COMMA), emphasis (!WORD), mispronunciation (*WORD*) and lengthening (:L:ONG) stay.
    """
    words = (normalise_word(word) for word in transcript.split())
    return " ".join(word for word in words if word)


def normalise_word(word: str) -> str:
    """One word, normalised; empty if it is none (the rules are tried in this order)."""
    word = word.translate(_UPPER)
    if word.isalpha():  # nearly all are, and no rule concerns them
        return word
    word = word.replace("\\", "")
    if word in ("%PERCENT", ".POINT", "--DASH"):
        return word[1:]
    if _DELETED.search(word):
        return ""
    if _NOISE.search(word):
        return NOISE
    bracketed = _UNVERBALISED.match(word)
    return bracketed[1] if bracketed else word


def disc_lines(path: Path) -> list[str]:
    """The lines of a text file on a disc, without DOS line ends and end-of-file mark.

    Bytes beyond ASCII are taken as Latin-1: the user cannot correct a disc. A byte-order mark is what an editor has put
    before the speaker table that LDC has on the web.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); copy the disc again") from None
    lines = data.removeprefix(codecs.BOM_UTF8).decode("latin-1").replace("\x1a", "").split("\n")
    return [line.rstrip("\r") for line in lines]


def read_index(path: Path) -> list[tuple[str, str]]:
    """An index file -> (disc as '11-1.1', path on it without a leading slash) for each line.

    Lines with ';' are comments. Any line that is neither that nor `11_1_1: /wsj0/...` is an error, as in
    Kaldi; blank lines are passed over, which Kaldi does not need to.
    """
    found = []
    for number, line in enumerate(disc_lines(path), 1):
        if line.startswith(";") or not line.strip():
            continue
        match = re.fullmatch(r"(\d+)_(\d+)_(\d+):\s*(\S+)\s*", line)
        if not match:
            raise UserError(
                f"{path}:{number}: expected 'DISC: PATH' as in '11_1_1: /wsj0/si_tr_s/011/011c0201.wv1', found"
                f" {line!r}; copy the index from the disc again"
            )
        found.append((f"{match[1]}-{match[2]}.{match[3]}", match[4].lstrip("/")))
    return found


def sessions(paths: Iterable[Path]) -> tuple[dict[str, Path], int]:
    """The `.dot` file of each session (six characters: speaker and session), and how many files are none.

    Sessions are in files called like 011c0200.dot. A session found again replaces the one before, as in
    Kaldi. Kaldi stops at a file of another name; here it is counted and passed over.
    """
    table: dict[str, Path] = {}
    others = 0
    for path in paths:
        match = re.fullmatch(r"(\w{6})00\.dot", path.name.lower())
        if match:
            table[match[1]] = path
        else:
            others += 1
    return table, others


def read_dot(path: Path) -> dict[str, str]:
    """A `.dot` file -> transcript by utterance id, not normalised yet; later lines win, as in Kaldi."""
    table = {}
    for number, line in enumerate(disc_lines(path), 1):
        if not line.strip():
            continue
        match = re.fullmatch(r"(.*)\((\w{8})\)\s*", line)
        if not match:
            raise UserError(f"{path}:{number}: expected 'TEXT (UTTERANCE)', found {line!r}; copy the disc again")
        table[match[2].lower()] = match[1]
    return table


def transcripts(utterances: Sequence[str], dots: dict[str, Path], name: str) -> tuple[dict[str, str], list[str]]:
    """Normalised text of each utterance of a set, and the utterances that have none.

    An utterance has none if its session's file does not name it (Kaldi reports it, and `fix_data_dir.sh`
    drops it) or if nothing remains of its transcript (Kaldi keeps these as empty lines, which neither
    training nor scoring can use). A session without any file is an error, as in Kaldi.
    """
    texts: dict[str, str] = {}
    without: list[str] = []
    current, table = "", {}
    for utterance in utterances:
        session = utterance[:6]
        if session != current:
            if session not in dots:
                raise UserError(
                    f"{name}: no transcript file {session}00.dot on any of the discs given, which {utterance} needs;"
                    " add the disc that has it"
                )
            current, table = session, read_dot(dots[session])
        text = normalise(table.get(utterance, ""))
        if text:
            texts[utterance] = text
        else:
            without.append(utterance)
    return texts, without


def read_genders(paths: Iterable[Path]) -> dict[str, str]:
    """Speaker tables (spkrinfo.txt) -> 'm' or 'f' by speaker.

    As in Kaldi: lower case, ';' lines are comments, the first two columns count, '--' is unknown. A speaker
    with both genders (Kaldi would write two lines, which its own validation refuses) is left out.
    """
    found: dict[str, set[str]] = {}
    for path in paths:
        for line in disc_lines(path):
            columns = line.lower().split()
            if len(columns) >= 2 and not line.startswith(";") and columns[1] in ("m", "f"):
                found.setdefault(columns[0], set()).add(columns[1])
    return {speaker: genders.pop() for speaker, genders in found.items() if len(genders) == 1}
