"""Ids to text and to words, as kdasr.data.tokens and ESPnet's tokenizers spell them, without sentencepiece."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MARK = "\u2581"  # sentencepiece's, before the first piece of a word
BYTE = re.compile(r"<0x([0-9A-F]{2})>")
UNKNOWN = " \u2047 "  # sentencepiece's text of <unk>


@dataclass(frozen=True)
class Spelling:
    """How tokens become text.

    Attributes:
        kind: char, bpe (sentencepiece of any algorithm), or word.
        tokens: id -> token.
        silent: ids that no text has: blank, and in kdasr's own token lists <sos/eos>.
        space: the token between words, of characters.
        unk: sentencepiece's token of what it does not know.
    """

    kind: str
    tokens: tuple[str, ...]
    silent: frozenset[int]
    space: str = "<space>"
    unk: str = "<unk>"

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids."""
        pieces = [self.tokens[i] for i in ids if i not in self.silent]
        if self.kind == "word":
            return " ".join(pieces)
        if self.kind == "char":
            return "".join(" " if piece == self.space else piece for piece in pieces)
        return _joined(pieces, self.unk)

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words of a text, each with the places of its tokens in `ids`."""
        words: list[list[int]] = []
        open_word = False
        for place, number in enumerate(ids):
            if number in self.silent:
                continue
            token = self.tokens[number]
            if self.kind == "char" and token == self.space:
                open_word = False
                continue
            begins = self.kind == "word" or (self.kind != "char" and token.startswith(MARK))
            if begins or not open_word:
                words.append([])
            open_word = True
            words[-1].append(place)
        named = [(self.text([ids[place] for place in places]).strip(), places) for places in words]
        return [(word, places) for word, places in named if word]


def _joined(pieces: Sequence[str], unk: str) -> str:
    """Sentencepiece's text of pieces: blanks for marks but not at the start, and bytes put together."""
    text, pending = "", b""
    for piece in pieces:
        byte = BYTE.fullmatch(piece)
        if byte:
            pending += bytes([int(byte[1], 16)])
            continue
        text += pending.decode(errors="replace")
        pending = b""
        if piece == unk:
            text += UNKNOWN
        else:
            plain = piece.replace(MARK, " ")
            text += plain if text else plain.removeprefix(" ")
    return text + pending.decode(errors="replace")
