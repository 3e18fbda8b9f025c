"""Lines of text files, or sentences of a data directory, through a translator, and out as lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kdasr.errors import UserError
from kdasr.files import MARK, read_lines
from kdasr.runtime.settings import STDIN, Translating
from kdasr.runtime.translator import Translation, Translator


class Line(NamedTuple):
    """Something to translate."""

    place: str  # file and line, or an utterance
    text: str


def translate(given: Translating) -> None:
    """Translate all, in their order, and write each as it is done.

    Raises:
        UserError: no model, or a line that cannot be read or translated; file and line are named.
    """
    translator = Translator(
        given.model,
        precision=given.precision,
        beam=given.beam,
        nbest=given.nbest,
        penalty=given.penalty,
        maxlenratio=given.maxlenratio,
        minlenratio=given.minlenratio,
        normalize_length=given.normalize_length,
        threads=given.threads,
    )
    for line in of_files(given.texts) if given.data is None else of_data(given.data):
        try:
            found = translator.translate(line.text)
        except UserError as error:
            raise UserError(f"{line.place}: {error}") from None
        sys.stdout.write(written(given.format, line, found, given.data is not None))
        sys.stdout.flush()


def written(form: str, line: Line, found: Translation, named: bool) -> str:
    """A translation as a line, in one of TEXT_FORMATS; `named`: of an utterance, whose name stands before the text."""
    if form == "json":
        told = {
            "utterance" if named else "line": line.place,
            "source": found.source,
            "text": found.text,
            "nbest": [{"text": one.text, "score": round(one.score, 5)} for one in found.nbest],
        }
        return json.dumps(told, ensure_ascii=False) + "\n"
    return f"{line.place}\t{found.text}\n" if named else f"{found.text}\n"


def of_files(names: tuple[str, ...]) -> Iterable[Line]:
    """The lines of text files, all of them read before the first is translated; those of standard input as they come.

    Raises:
        UserError: a file is absent, or not UTF-8.
    """
    absent = next((name for name in names if name != STDIN and not Path(name).exists()), None)
    if absent is not None:
        raise UserError(f"{absent}: no such file; name a text, a sentence a line")
    if STDIN in names:
        return of_input()
    return [Line(f"{name}:{n}", text) for name in names for n, text in enumerate(read_lines(name), 1)]


def of_input() -> Iterator[Line]:
    """The lines of standard input."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        place = f"standard input:{number}"
        try:
            text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise UserError(f"{place}: not UTF-8; convert it (iconv -t utf-8)") from None
        yield Line(place, text.removeprefix(MARK) if number == 1 else text)


def of_data(data: str) -> list[Line]:
    """The sentences of a data directory."""
    from kdasr.data.source_text import read_source  # here: a file by itself need not wait for it

    return [Line(name, text) for name, text in read_source(data, "kdasr translate").items()]
