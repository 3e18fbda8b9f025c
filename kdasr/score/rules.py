"""What happens to both sides of a score before they are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdasr.errors import UserError
from kdasr.files import read_lines
from kdasr.score import trn
from kdasr.score.align import DELETION, INSERTION, SUBSTITUTION

# of kdasr when these rules last changed: scores of later versions that count in the same way compare with older ones
COUNTS_AS = "0.1.0"


@dataclass(frozen=True)
class Rules:
    """The options of a score; `signature` is printed beside it."""

    type: str = "wer"  # or "cer": ESPnet's, <space> a character among others
    chars: bool = False  # characters as sclite -c takes them, blanks none
    nlsyms: frozenset[str] = frozenset()  # removed symbols
    wsj_filter: bool = False
    repairs: Mapping[str, str] = field(default_factory=dict)  # words of the hypothesis that are rewritten
    case_sensitive: bool = False
    optional: bool = False  # (uh) may be left out, sclite -D
    fragments: bool = False  # wor- matches word, sclite -F
    id_form: str = "rm"  # how speakers are found; changes no rate

    @property
    def name(self) -> str:
        """The rate's name: wer or cer."""
        return "cer" if self.chars else self.type

    @property
    def signature(self) -> str:
        """One line that must be equal for two scores to be comparable."""
        filters = [
            *(["wsj"] if self.wsj_filter else []),
            *([f"repairs{len(self.repairs)}"] if self.repairs else []),
            *(["optional"] if self.optional else []),
            *(["fragments"] if self.fragments else []),
        ]
        return "|".join(
            [
                f"costs:{SUBSTITUTION}{INSERTION}{DELETION}",
                f"case:{'cs' if self.case_sensitive else 'lc'}",
                f"nlsyms:{'rm' if self.nlsyms else 'keep'}",
                f"filter:{'+'.join(filters) or 'none'}",
                f"tok:{'sclite-c' if self.chars else 'char' if self.type == 'cer' else 'word'}",
                f"kdasr:{COUNTS_AS}",
            ]
        )

    @property
    def changes_words(self) -> bool:
        """Whether texts are changed before they are scored."""
        return bool(self.nlsyms or self.wsj_filter or self.repairs) or self.type == "cer"

    @property
    def sclite_options(self) -> list[str]:
        """Options of the real sclite that are not options of its reports."""
        return [*(["-D"] if self.optional else []), *(["-F"] if self.fragments else [])]

    def tokens(self, words: Sequence[str], hypothesis: bool = False) -> tuple[str, ...]:
        """A transcript's tokens under these rules."""
        if hypothesis and self.repairs:
            words = [self.repairs.get(word, word) for word in words]
        kept = trn.wsj_filter(words) if self.wsj_filter else words
        return tuple((trn.char_tokens if self.type == "cer" else trn.word_tokens)(kept, self.nlsyms))


def read_symbols(path: str | Path) -> frozenset[str]:
    """Symbols to be left out of a score, one a line; UserError where a line holds two, as no word would be that."""
    found = set()
    for number, line in enumerate(read_lines(path), 1):
        words = trn.split(line)
        if len(words) > 1:
            raise UserError(f"{path}:{number}: expected one symbol, found {line!r}; put each on its own line")
        found.update(words)
    return frozenset(found)


def read_repairs(path: str | Path) -> dict[str, str]:
    """Words to be rewritten in the hypothesis, `WRONG RIGHT` a line; UserError for another line, or a word twice."""
    found: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        words = trn.split(line)
        if len(words) != 2 or words[0] in found:
            raise UserError(
                f"{path}:{number}: expected 'WRONG RIGHT', each word once, found {line!r}; correct the line"
            )
        found[words[0]] = words[1]
    return found
