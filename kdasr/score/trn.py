"""Texts on their way to scoring: Kaldi `text` files, tokens as ESPnet scores them, sclite's trn files.

What sclite reads as more than words is read here likewise, or refused by name: comments, alternations
`{ okay / ok / @ }` and the null word `@`. Refused is what it drops, cuts or crashes on without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import atomic_write, read_lines
from kdasr.score.sclite import unusual_id

BLANKS = " \t\r\n\v\f"  # sclite's: C's isspace, so a no-break space is part of a word
WORD = re.compile(f"[^{BLANKS}]+")
UTTERANCE = re.compile(rf"(.*)\(([^()]*)\)[{BLANKS}]*", re.DOTALL)
ODD = re.compile(r"[;\\{\0-\x1f\x7f]")  # in a word
MARK = re.compile(r"[;\\{\0-\x08\x0e-\x1f\x7f]")  # in a text, which has blanks
ODD_ID = re.compile(rf"[();\\\0-\x1f\x7f{BLANKS}]|//")
SPACE = "<space>"
WSJ_NOISES = frozenset({"<NOISE>", "<SPOKEN_NOISE>", "<UNK>"})
NULL = "@"  # no word: an alternative without words
LONGEST = 2000  # bytes of a word or alternation; beyond about 2200 sclite hangs
LONGEST_ID = 400  # bytes; sclite's tables hold no 2000, its ctm fields no 510
DEEPEST = 3  # alternations within each other; below that sclite's names for nodes overflow a buffer


@dataclass(frozen=True)
class Alternation:
    """`{ okay / ok / @ }`: ways to say one stretch of a text, each of one word or more."""

    ways: tuple[tuple[str | Alternation, ...], ...]

    def __str__(self) -> str:
        return "{ " + " / ".join(" ".join(map(str, way)) for way in self.ways) + " }"


Word = str | Alternation


@dataclass(frozen=True)
class Line:
    """One utterance of a trn file: its words, and `speaker-utterance`.

    Of a segment of an stm file also the lines that sclite's .pra shows under the id (labels, file, channel).
    """

    id: str
    words: tuple[Word, ...]
    notes: tuple[str, ...] = ()


def split(text: str) -> list[str]:
    """Words of a text, cut where sclite cuts."""
    return WORD.findall(text)


def read_text(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Read a Kaldi `text`, lines `UTTERANCE WORD...`: the words of each utterance.

    There may be none: nothing was recognised, or nothing was spoken, and recognised words are then insertions.

    Raises:
        UserError: absent, empty or not UTF-8; a blank line, or an utterance twice.
    """
    table: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(read_lines(path), 1):
        key, *words = split(line) or [""]
        if not key:
            raise UserError(
                f"{path}:{number}: expected 'UTTERANCE WORD...', found {line!r}; correct or remove the line"
            )
        if key in table:
            raise UserError(f"{path}:{number}: {key} is here a second time; remove one of its lines")
        table[key] = tuple(words)
    if not table:
        raise UserError(f"{path}: is empty, expected 'UTTERANCE WORD...' lines; run the stage that writes it")
    return table


def same_utterances(
    ref: Mapping[str, object],
    hyp: Mapping[str, object],
    ref_path: object,
    hyp_path: object,
    what: str = "utterances",
) -> None:
    """Refuse two tables that do not hold the same utterances (sclite would skip them without a word)."""
    for table, other, path, other_path in ((hyp, ref, hyp_path, ref_path), (ref, hyp, ref_path, hyp_path)):
        missing = [key for key in other if key not in table]
        if missing:
            raise UserError(lacking(path, other_path, missing, len(missing), len(other), what))


def lacking(path: object, other_path: object, names: Sequence[str], count: int, size: int, what: str) -> str:
    """What is said of `count` utterances, `names` and on, that the file `path` lacks of the `size` of another."""
    shown = ", ".join(names[:5]) + (", ..." if count > 5 else "")
    return (
        f"{path}: lacks {count} of the {size} {what} of {other_path} ({shown}); "
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
    """Characters as ESPnet scores them: `<space>` between words, non-linguistic symbols removed everywhere.

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
    if NULL in tokens:
        return "sclite takes '@' for no word at all"
    joined = " ".join(tokens)
    if len(joined) <= LONGEST // 4 and not ODD.search(joined):  # the common case, in one search
        return ""
    return next(filter(None, map(odd_word, tokens)), "")


def odd_word(word: str) -> str:
    """Why sclite would not take this for a word as it is written, or "" if it does (or for the null word)."""
    if len(word.encode()) > LONGEST:
        return f"sclite hangs on a word of more than {LONGEST} bytes, '{word[:20]}...'"
    if not ODD.search(word):
        return ""
    if ";" in word:
        return f"sclite reads ';' in {word!r} as the start of a comment or tag"
    if "\\" in word:
        return f"sclite drops the backslash of {word!r}"
    if "{" in word:
        return f"sclite opens alternatives at {word!r}"
    return f"sclite cannot hold the control character in {word!r}"


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
        if why := odd_id(name):
            raise UserError(f"{path}: {why}; rename the utterance")
        key = same_id(name, case_sensitive)
        if key in seen:
            raise UserError(f"{path}: {utterance} and {seen[key]} both become '{key}' for sclite; rename one of them")
        seen[key], ids[utterance] = utterance, name
    return ids


def same_id(name: str, case_sensitive: bool) -> str:
    """What two ids must share to be one for sclite: it lowers ASCII letters by default."""
    return name if case_sensitive else name.encode().lower().decode()


def odd_id(name: str) -> str:
    """Why sclite would not take this id, speaker or name of a file, or "" if it does."""
    if ODD_ID.search(name):
        return f"{name!r} holds '(', ')', ';', '\\', '//', a blank or a control character"
    if len(name.encode()) > LONGEST_ID:
        return f"'{name[:20]}...' is longer than {LONGEST_ID} bytes, and sclite would cut it"
    return ""


def write_trn(path: str | Path, lines: Iterable[Line]) -> None:
    """Write `WORD... (speaker-utterance)` lines, whole or not at all."""
    with atomic_write(path) as stream:
        stream.writelines(map(written, lines))


def written(line: Line) -> str:
    """A line as it stands in a trn file."""
    return " ".join([*map(str, line.words), f"({line.id})"]) + "\n"


def read_trn(path: str | Path, id_form: str = "rm", case_sensitive: bool = False) -> list[Line]:
    """Read a trn file as sclite does: lines `WORD... (ID)`, comments `;; ...` and blank lines skipped.

    Args:
        path: the file, UTF-8.
        id_form: `rm` or `spu_id`, ids `speaker-utterance`; or `wsj`, the first three bytes are the speaker.
        case_sensitive: whether ids may differ in case alone.

    Raises:
        UserError: whatever sclite would skip, cut or crash on: no utterance at all, a last line without its
            end, a line without an id, an id twice, `;` or a backslash in a word, alternatives without end or words.
    """
    lines: dict[str, Line] = {}
    for where, text in numbered(path):
        if text.startswith((";; LABEL ", ";; CATEGORY ")):
            raise UserError(f"{where}: sclite copies this line to its .sgml, kdasr does not; remove it")
        if text.startswith(";;") or not text.strip(BLANKS):
            continue
        line = line_of(text, where, id_form)
        key = same_id(line.id, case_sensitive)
        if key in lines:
            raise UserError(f"{where}: ({line.id}) is here a second time; remove one of its lines")
        lines[key] = line
    if not lines:
        raise UserError(f"{path}: holds no utterance, expected 'WORD... (ID)' lines; run the stage that writes it")
    if not Path(path).read_bytes().endswith(b"\n"):
        raise UserError(f"{where}: the last line has no end, and sclite would leave it out; add the newline")
    return list(lines.values())


def numbered(path: str | Path) -> Iterator[tuple[str, str]]:
    """(`file:line`, line) of each line of a file."""
    for number, text in enumerate(read_lines(path), 1):
        yield f"{path}:{number}", text


def line_of(text: str, where: str, id_form: str) -> Line:
    """An utterance's line of a trn file; `where` is the file and line, for messages."""
    return spoken(id_of(text, where, id_form), where)


def spoken(match: re.Match[str], where: str) -> Line:
    """An utterance whose line has matched UTTERANCE, with an id that was looked at."""
    if match[1].lstrip(BLANKS).startswith("**"):
        raise UserError(f"{where}: sclite skips a line that begins with '**'; take the asterisks out")
    return Line(match[2], parse(match[1], where))


def id_of(text: str, where: str, id_form: str) -> re.Match[str]:
    """The text and the id of a line, checked."""
    match = UTTERANCE.fullmatch(text)
    if not match:
        raise UserError(f"{where}: expected 'WORD... (ID)', found {shown(text)}; correct the line")
    name = match[2]
    if why := odd_id(name):
        raise UserError(f"{where}: the id {why}; rename the utterance")
    if why := unusual_id(name, id_form):
        raise UserError(f"{where}: {why}; rename the utterance, or name another id form")
    return match


def parse(text: str, where: str, depth: int = 0) -> tuple[Word, ...]:
    """Words and alternations of a reference text, cut where sclite cuts.

    Args:
        text: without the id.
        where: file and line, for messages.
        depth: of alternations around it.

    Raises:
        UserError: what sclite would not take as written.
    """
    if len(text) <= LONGEST // 4 and not MARK.search(text):  # the common case, in two searches
        return tuple(WORD.findall(text))
    words: list[Word] = []
    place = 0
    while place < len(text):
        if text[place] in BLANKS:
            place += 1
            continue
        if text[place] == "{":
            stop = _closing(text, place, where)
            if depth == DEEPEST:
                raise UserError(f"{where}: alternatives more than {DEEPEST} deep; sclite may crash, write them flat")
            ways = tuple(parse(way, where, depth + 1) for way in _ways(text[place + 1 : stop - 1]))
            if not ways:
                raise UserError(f"{where}: sclite crashes on {text[place:stop]!r}; write '@' for no word")
            words.append(Alternation(ways))
        else:
            stop = WORD.match(text, place).end()
            if why := odd_word(text[place:stop]):
                raise UserError(f"{where}: {why}; take it out of the text")
            words.append(text[place:stop])
        place = stop
    return tuple(words)


def _closing(text: str, start: int, where: str) -> int:
    """Where the alternation ends that `{` opens at `start`: the place after its `}`."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            if len(text[start : place + 1].encode()) > LONGEST:
                break
            return place + 1
    fault = f"alternatives of more than {LONGEST} bytes" if depth == 0 else "'{' without its '}'"
    raise UserError(f"{where}: {fault} at {shown(text[start:])}, from where sclite loses words; correct the line")


def _ways(text: str) -> list[str]:
    """The texts between the slashes of an alternation, those of inner alternations aside; empty ones fall out."""
    ways, depth = [""], 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        if letter == "/" and depth == 0:
            ways.append("")
        else:
            ways[-1] += letter
    return [way for way in ways if way.strip(BLANKS)]


def shown(text: str) -> str:
    """A line as messages quote it: its beginning."""
    return repr(text if len(text) <= 80 else text[:80] + "...")


def matched(
    ref: Sequence[Line], hyp: Sequence[Line], ref_path: object, hyp_path: object, case_sensitive: bool = False
) -> list[Line]:
    """The reference's lines in the order of the hypothesis, which is that of sclite's reports.

    Raises:
        UserError: naming the utterances that one side lacks.
    """
    by_id = {same_id(line.id, case_sensitive): line for line in ref}
    order = {same_id(line.id, case_sensitive): line for line in hyp}
    same_utterances(by_id, order, ref_path, hyp_path)
    return [by_id[key] for key in order]
