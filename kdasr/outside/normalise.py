"""Texts of other systems in the letters of our tokens: only what is asked for, by rules that are all here.

| step | what it does |
|---|---|
| punctuation | ’ becomes '; dashes and slashes become blanks; all other punctuation goes. What the tokens know stays |
| digits | each digit becomes its English word: 42 -> four two. How a number was said is not known any more |
| case | upper or lower case, as the tokens have it |

Steps are done in this order. Words that are one token, as <NOISE>, stay as they are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from kdasr.data.tokens import NLSYM, Tokens
from kdasr.errors import UserError
from kdasr.files import columns

STEPS = ("punctuation", "digits", "case")
APOSTROPHES = "\u2019\u02bc\uff07"  # ’ ʼ ＇
BETWEEN = "/\\"  # with Unicode's dashes (Pd): what stands between two words
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def parse_steps(text: str) -> tuple[str, ...]:
    """`case,punctuation` as steps in their order; UserError for a word that is none."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = next((word for word in words if word not in STEPS), None)
    if wrong is not None:
        raise UserError(f"--normalize {text}: {wrong!r} is none of {', '.join(STEPS)}; name some of these")
    return tuple(step for step in STEPS if step in words)


def normaliser(steps: Sequence[str], tokens: Tokens) -> Callable[[str], str]:
    """The function that does these steps to a text; the text that it gives has one blank between words.

    Raises:
        UserError: case is asked for, and the tokens have letters of both cases, or none with a case.
    """
    known = {letter for token in tokens.list if not NLSYM.fullmatch(token) for letter in token}
    kept = set(tokens.nlsyms)
    changes: dict[str, Callable[[str], str]] = {
        "punctuation": lambda word: "".join(_unpunctuated(letter, known) for letter in word),
        "digits": lambda word: "".join(
            f" {DIGITS[int(letter)]} " if letter in "0123456789" else letter for letter in word
        ),
    }
    if "case" in steps:
        changes["case"] = _case(known)

    def normalise(text: str) -> str:
        words = columns(text)
        for step in steps:
            words = [new for word in words for new in ([word] if word in kept else columns(changes[step](word)))]
        return " ".join(words)

    return normalise


def _unpunctuated(letter: str, known: set[str]) -> str:
    """What becomes of a letter of a word."""
    if letter in known:
        return letter
    if letter in APOSTROPHES:
        return "'" if "'" in known else ""
    category = unicodedata.category(letter)
    if category == "Pd" or letter in BETWEEN:
        return " "
    return "" if category.startswith("P") else letter


def _spelled(letter: str) -> str:
    """A digit as its word; other letters, and digits of other scripts, as they are."""
    return f" {DIGITS[int(letter)]} " if letter in "0123456789" else letter


def _case(known: set[str]) -> Callable[[str], str]:
    """str.upper or str.lower, whichever gives the letters that are known."""
    upper = any(letter.isupper() for letter in known)
    lower = any(letter.islower() for letter in known)
    if upper == lower:
        which = "letters of both cases" if upper else "no letters of a case"
        raise UserError(f"--normalize case: the tokens have {which}; leave case out, or convert the texts before")
    return str.upper if upper else str.lower
