"""sclite's reports beyond the summary and the alignments, byte for byte: .dtl, .sgml and .prf; and all in a row.

.sgml and .prf contain the time of writing, here a parameter; `undated` removes it where reports are compared.
"""

from __future__ import annotations

import io
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from kdasr.errors import UserError
from kdasr.score.align import Aligned
from kdasr.score.layout import REFERENCE
from kdasr.score.running import Running
from kdasr.score.sclite import (
    LONGEST_GAP,
    LONGEST_WORD,
    TITLE,
    drawings,
    group,
    list_speakers,
    run_real,
)
from kdasr.score.steps import collect

OPTIONS = {"sys": "sum", "raw": "rsum", "pra": "pra", "dtl": "dtl", "sgml": "sgml", "prf": "prf"}  # sclite's -o


def reports(
    utterances: Sequence[Aligned],
    case_sensitive: bool = False,
    id_form: str = "rm",
    chars: bool = False,
    kinds: Iterable[str] = ("sys", "raw", "pra", "dtl", "sgml"),
    date: str | None = None,
    optional: bool = False,
    fragments: bool = False,
) -> dict[str, bytes]:
    """What sclite would write, by the file's ending: hyp.trn.sys and so on."""
    forms = case_sensitive, id_form, chars
    running = Running(*forms, tuple(kinds), date, optional, fragments)
    running.add(utterances)
    made = {}
    for kind in running.kinds:
        if kind == "prf":
            made[kind] = prf(utterances, *forms, date, optional, fragments)
            continue
        with io.BytesIO() as out:
            running.write(kind, out)
            made[kind] = out.getvalue()
    return made


def real_reports(
    program: str,
    directory: str | Path,
    case_sensitive: bool = False,
    id_form: str = "rm",
    chars: bool = False,
    kinds: Iterable[str] = ("sys", "raw", "pra", "dtl", "sgml"),
    options: Sequence[str] = (),
) -> dict[str, bytes]:
    """The same from the real sclite, for ref.trn and hyp.trn in `directory`; UserError if it fails."""
    kinds = list(kinds)
    with tempfile.TemporaryDirectory() as out:
        run_real(
            program, directory, case_sensitive, " ".join(OPTIONS[kind] for kind in kinds), id_form, chars, out, options
        )
        try:
            return {kind: Path(out, f"hyp.trn.{kind}").read_bytes() for kind in kinds}
        except FileNotFoundError as error:
            raise UserError(f"{program}: has not written {Path(error.filename).name}; is it sclite 2.10?") from None


def longest_word(utterances: Sequence[Aligned]) -> int:
    """Bytes of the longest word of these utterances."""
    words = set(chain.from_iterable(chain.from_iterable((one.ref, one.hyp) for one in utterances)))
    return max((len(word.encode()) for word in words), default=0)


def trusted(longest: int, kinds: Iterable[str]) -> list[str]:
    """Those kinds of report that the real sclite can make of words of so many bytes; long ones damage some of them."""
    limits = {"pra": LONGEST_GAP, "prf": LONGEST_GAP, "sgml": LONGEST_WORD}
    return [kind for kind in kinds if longest <= limits.get(kind, longest)]


def prf(
    utterances: Sequence[Aligned],
    case_sensitive: bool = False,
    id_form: str = "rm",
    chars: bool = False,
    date: str | None = None,
    optional: bool = False,
    fragments: bool = False,
) -> bytes:
    """The alignments of `-o prf`: those of .pra in the order of the hypothesis file; `date` as for `sgml`."""
    groups = group(utterances, case_sensitive, id_form)
    flags = "Fragment Correct Flag Set\n" * fragments + "Optionally Deletable Flag Set\n" * optional
    text = [
        "NIST_TEXT_ALIGNMENT\nVERSION 0.1\n\n\n\t\tDUMP OF SYSTEM ALIGNMENT STRUCTURE\n\n"
        f"System name:   {TITLE}\nRef file:      {REFERENCE}\nHyp file:      {TITLE}\n"
        f'Creation date: "{date or time.ctime()}"\n{flags}\nSpeaker Count: {len(groups)}\n'.encode()
    ]
    text += [*list_speakers(groups), b"\n\n"]
    names = (b"Character_align " if chars else b"") + (b"Case_sensitve " if case_sensitive else b"")  # sic
    attributes = b"Attributes: %s\n" % names if names else b""
    drawn = drawings(utterances, collect(utterances, case_sensitive), case_sensitive, attributes)
    heads: dict[int, bytes] = {}  # of each utterance, by its place in the file
    for number, (name, members) in enumerate(groups.items()):
        for nth, place in enumerate(members):
            heads[place] = b"Speaker sentences%4d:  %s   utt# %d of %d\n" % (number, name, nth, len(members))
    for place, lines in enumerate(drawn):
        text += [heads[place], lines]
    return b"".join(text) + b"\n"


def undated(report: bytes) -> bytes:
    """A .sgml or .prf (or several reports in a row) without the time of its making."""
    return re.sub(rb'^(<SYSTEM [^\n]*?creation_date=|Creation date: )"[^"]*"', rb'\1""', report, flags=re.MULTILINE)
