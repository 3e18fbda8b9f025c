"""sclite's reports beyond the summary and the alignments, byte for byte: .dtl, .sgml and .prf; and all in a row.

.sgml and .prf contain the time of writing, here a parameter; `undated` removes it where reports are compared.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from kdasr.errors import UserError
from kdasr.score.align import Aligned, tally
from kdasr.score.sclite import (
    LONGEST_GAP,
    LONGEST_WORD,
    TITLE,
    alignments,
    by_speaker,
    drawings,
    group,
    list_speakers,
    percent,
    rounded,
    run_real,
    shown_id,
    summary,
)
from kdasr.score.steps import Steps, collect

REFERENCE = "ref.trn"  # the reference file as it was given to sclite
OPTIONS = {"sys": "sum", "raw": "rsum", "pra": "pra", "dtl": "dtl", "sgml": "sgml", "prf": "prf"}  # sclite's -o
NOTE = {
    "SUBSTITUTIONS": (
        "* NOTE: The 'Substitution' words are those reference words\n"
        "        for which the recognizer supplied an incorrect word.\n\n"
    ),
    "FALSELY RECOGNIZED": (
        "* NOTE: The 'Falsely Recognized' words are those hypothesis words\n"
        "        which the recognizer incorrectly substituted for a reference word.\n\n"
    ),
}


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
    speakers = by_speaker(utterances, case_sensitive, id_form)
    steps = collect(utterances, case_sensitive)
    make: dict[str, Callable[[], bytes]] = {
        "sys": lambda: summary(speakers, False, chars),
        "raw": lambda: summary(speakers, True, chars),
        "pra": lambda: alignments(utterances, case_sensitive, id_form, steps),
        "dtl": lambda: dtl(utterances, case_sensitive, steps),
        "sgml": lambda: sgml(utterances, case_sensitive, id_form, chars, date, optional, fragments, steps),
        "prf": lambda: prf(utterances, case_sensitive, id_form, chars, date, optional, fragments, steps),
    }
    return {kind: make[kind]() for kind in kinds}


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


def trusted(utterances: Sequence[Aligned], kinds: Iterable[str]) -> list[str]:
    """Those kinds of report that the real sclite can make of these utterances; long words damage some of them."""
    words = set(chain.from_iterable(chain.from_iterable((one.ref, one.hyp) for one in utterances)))
    longest = max((len(word.encode()) for word in words), default=0)
    limits = {"pra": LONGEST_GAP, "prf": LONGEST_GAP, "sgml": LONGEST_WORD}
    return [kind for kind in kinds if longest <= limits.get(kind, longest)]


def dtl(utterances: Sequence[Aligned], case_sensitive: bool = False, steps: Steps | None = None) -> bytes:
    """The report `-o dtl`: totals, and lists of confused, inserted, deleted words by falling frequency.

    Where characters were aligned, they count as words; sclite does not say so here.
    """
    steps = steps or collect(utterances, case_sensitive)
    counts = tally([one.operations for one in utterances])
    # Unlike elsewhere, sclite gives no percentages of words (but UNDEF) where the reference has none.
    defined = counts.words > 0

    def of_sentences(part: int) -> str:
        return f"{rounded(percent(part, counts.sentences), 1):5.1f}%   ({part:4d})"

    def of_words(part: int) -> str:
        share = f"{rounded(percent(part, counts.words), 1):5.1f}" if defined else "UNDEF"
        return f"{share}%   ({part:4d})"

    accuracy = f"{rounded(100.0 - percent(counts.errors, counts.words), 1):5.1f}" if defined else "UNDEF"
    _, with_sub, with_del, with_ins = np.count_nonzero(steps.counts, axis=0).tolist()
    hypothesis = counts.cor + counts.sub + counts.ins
    text = (
        f"DETAILED OVERALL REPORT FOR THE SYSTEM: {TITLE}\n\n"
        "SENTENCE RECOGNITION PERFORMANCE\n\n"
        f" sentences                                        {counts.sentences:4d}\n"
        f" with errors                            {of_sentences(counts.wrong_sentences)}\n\n"
        f"   with substitions                     {of_sentences(with_sub)}\n"  # sic
        f"   with deletions                       {of_sentences(with_del)}\n"
        f"   with insertions                      {of_sentences(with_ins)}\n\n\n"
        "WORD RECOGNITION PERFORMANCE\n\n"
        f"Percent Total Error       =  {of_words(counts.errors)}\n\n"
        f"Percent Correct           =  {of_words(counts.cor)}\n\n"
        f"Percent Substitution      =  {of_words(counts.sub)}\n"
        f"Percent Deletions         =  {of_words(counts.del_)}\n"
        f"Percent Insertions        =  {of_words(counts.ins)}\n"
        f"Percent Word Accuracy     =  {accuracy}%\n\n\n"
        f"Ref. words                =           ({counts.words:4d})\n"
        f"Hyp. words                =           ({hypothesis:4d})\n"
        f"Aligned words             =           ({hypothesis + counts.del_:4d})\n"
    ).encode()
    return text + _lists(steps)


def _lists(steps: Steps) -> bytes:
    lists: dict[str, Counter[bytes]] = {
        "CONFUSION PAIRS": Counter(),
        "INSERTIONS": Counter(),
        "DELETIONS": Counter(),
        "SUBSTITUTIONS": Counter(),
        "FALSELY RECOGNIZED": Counter(),
    }
    occurrences = np.bincount(steps.which, minlength=len(steps.distinct)).tolist()
    for (operation, ref, hyp), number in zip(steps.distinct, occurrences, strict=True):
        if operation == "I":
            lists["INSERTIONS"][hyp] += number
        elif operation == "D":
            lists["DELETIONS"][ref] += number
        elif operation == "S":
            lists["CONFUSION PAIRS"][ref + b" ==> " + hyp] += number
            lists["SUBSTITUTIONS"][ref] += number
            lists["FALSELY RECOGNIZED"][hyp] += number
    text = []
    for title, numbers in lists.items():
        size = len(numbers)
        text.append(b"\n%-30s   Total                 (%d)\n" % (title.encode(), size))
        text.append(b"%-30s   With >=  1 occurrences (%d)\n\n" % (b"", size))
        ordered = sorted((-number, name) for name, number in numbers.items())
        text += [b"%4d: %4d  ->  %s\n" % (rank, -less, name) for rank, (less, name) in enumerate(ordered, 1)]
        text.append(b"     -------\n     %5d\n\n\n" % numbers.total())
        text.append(NOTE.get(title, "").encode())
    return b"".join(text)


def sgml(
    utterances: Sequence[Aligned],
    case_sensitive: bool = False,
    id_form: str = "rm",
    chars: bool = False,
    date: str | None = None,
    optional: bool = False,
    fragments: bool = False,
    steps: Steps | None = None,
) -> bytes:
    """The paths of `-o sgml`, which sc_stats reads: speaker by speaker, words as they were compared, nothing escaped.

    `date` is written into the head, by default now in C's form (Sat Nov 21 12:40:30 2026). Of segments of an stm
    sclite also prints labels, times and confidences, which are not known here; the report then differs.
    """
    text = [
        f'<SYSTEM title="{TITLE}" ref_fname="{REFERENCE}" hyp_fname="{TITLE}" '
        f'creation_date="{date or time.ctime()}" format="2.4" frag_corr="{str(fragments).upper()}" '
        f'opt_del="{str(optional).upper()}" '
        'weight_ali="FALSE" weight_filename="">\n'.encode()
    ]
    steps = steps or collect(utterances, case_sensitive)
    paths = steps.spell([b":" + _path_step(*one) for one in steps.distinct])
    attributes = (b' char_align="1"' if chars else b"") + (b' case_sense="1"' if case_sensitive else b"")
    for speaker, members in group(utterances, case_sensitive, id_form).items():
        text.append(b'<SPEAKER id="%s">\n' % speaker)
        for place in members:
            one = utterances[place]
            head = shown_id(one.id, case_sensitive), len(one.operations), place, attributes
            text.append(b'<PATH id="(%s)" word_cnt="%d" sequence="%d"%s>\n' % head)
            text += [paths[place][1:], b"\n</PATH>\n"]
        text.append(b"</SPEAKER>\n")
    text.append(b"</SYSTEM>\n")
    return b"".join(text)


def _path_step(operation: str, ref: bytes, hyp: bytes) -> bytes:
    # Beside nothing, an optional word counts as correct, and sclite writes "" for the nothing.
    left = b"" if operation == "I" else b'"%s"' % ref
    right = b"" if operation == "D" else b'"%s"' % hyp
    return b"%s,%s,%s" % (operation.encode(), left, right)


def prf(
    utterances: Sequence[Aligned],
    case_sensitive: bool = False,
    id_form: str = "rm",
    chars: bool = False,
    date: str | None = None,
    optional: bool = False,
    fragments: bool = False,
    steps: Steps | None = None,
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
    drawn = drawings(utterances, steps or collect(utterances, case_sensitive), case_sensitive, attributes)
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
