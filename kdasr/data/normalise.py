"""Texts as people and other systems write them, in the letters that are wanted: only what is asked for.

| step | what it does |
|---|---|
| punctuation | marks become blanks; apostrophes between letters (as ') and marks between digits (3.5, 10:30) stay |
| digits | each digit becomes its English word: 42 -> four two. How a number was said is not known any more |
| initials | words of capitals alone are spelled: KLMU -> K L M U; for those who write the rest in small letters |
| lower, upper | the case of all letters |
| case | lower or upper, whichever the tokens have |

Steps are done in this order. Signs that are read aloud ($, %, &, +) are no punctuation: where tokens lack them they are
counted as unknown, so that nothing that was said is lost silently.

With tokens they decide what stays: a mark that they know stays everywhere, one that they do not know nowhere, and an
apostrophe that they do not know goes without a blank (dont). Words that are one token, as <NOISE>, stay as they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection

from kdasr.data.tokens import NLSYM, Tokens
from kdasr.errors import UserError
from kdasr.files import columns

STEPS = ("punctuation", "digits", "initials", "lower", "upper", "case")
APOSTROPHES = "'\u2019\u02bc\uff07"  # ' ’ ʼ ＇
SPOKEN = "%\u2030&@#\u00a7"  # of Unicode's punctuation; its symbols are read aloud, too, but for modifiers (Sk), as `
BLANK = ("Cc", "Zs", "Zl", "Zp")  # control characters, and blanks of every kind
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def parse_steps(text: str) -> tuple[str, ...]:
    """`lower,punctuation` as steps in their order; UserError for a word that is none, or for two cases."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = next((word for word in words if word not in STEPS), None)
    if wrong is not None:
        raise UserError(f"--normalize {text}: {wrong!r} is none of {', '.join(STEPS)}; name some of these")
    cases = [step for step in ("lower", "upper", "case") if step in words]
    if len(cases) > 1:
        raise UserError(f"--normalize {text}: letters cannot be of two cases; name one of {', '.join(cases)}")
    return tuple(step for step in STEPS if step in words)


def normaliser(steps: Collection[str], tokens: Tokens | None = None) -> Callable[[str], str]:
    """The function that does these steps to a text; the text that it gives has one blank between words.

    Args:
        steps: of STEPS; their order does not matter.
        tokens: in whose letters texts are to be; None: any.

    Raises:
        UserError: case is asked for, and there are no tokens, or they have letters of both cases, or none with a case.
    """
    listed = tokens.list if tokens else ()
    known = {letter for token in listed if not NLSYM.fullmatch(token) for letter in token} if tokens else None
    kept = set(tokens.nlsyms) if tokens else set()
    changes: dict[str, Callable[[str], str]] = {
        "punctuation": lambda word: _unpunctuated(word, known, tokens is None and "digits" not in steps),
        "digits": lambda word: "".join(f" {DIGITS[int(c)]} " if c in "0123456789" else c for c in word),
        "initials": lambda word: " ".join(word) if word.isalpha() and word.isupper() else word,
        "lower": str.lower,
        "upper": str.upper,
    }
    if "case" in steps:
        changes["case"] = _case(known or set())
    chosen = [changes[step] for step in STEPS if step in steps]

    def normalise(text: str) -> str:
        words = columns("".join(" " if unicodedata.category(c) in BLANK else c for c in text))
        for change in chosen:
            words = [new for word in words for new in ([word] if word in kept else columns(change(word)))]
        return " ".join(words)

    return normalise


def _unpunctuated(word: str, known: set[str] | None, figures: bool) -> str:
    """A word whose marks are blanks, or gone; where there are `figures`, those between digits stay."""
    around = zip(f" {word}", word, f"{word[1:]} ", strict=False)
    return "".join(_mark(before, c, after, known, figures) for before, c, after in around)


def _mark(before: str, character: str, after: str, known: set[str] | None, figures: bool) -> str:
    """What becomes of a character of a word, between two others."""
    if (known and character in known) or (figures and before.isdigit() and after.isdigit()):
        return character
    category = unicodedata.category(character)
    if character in APOSTROPHES:
        inside = before.isalpha() and after.isalpha()
        if "'" in known if known is not None else inside:
            return "'"
        return "" if inside else " "
    mark = category[0] == "P" or category == "Sk"  # other symbols are read aloud
    return " " if mark and character not in SPOKEN else character


def _case(known: set[str]) -> Callable[[str], str]:
    """str.upper or str.lower, whichever gives the letters that are known."""
    upper = any(letter.isupper() for letter in known)
    lower = any(letter.islower() for letter in known)
    if upper == lower:
        which = "letters of both cases" if upper else "no letters of a case"
        raise UserError(f"--normalize case: the tokens have {which}; leave case out, or convert the texts before")
    return str.upper if upper else str.lower
