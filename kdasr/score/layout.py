"""What sclite's reports .dtl and .sgml look like, piece by piece; kdasr.score.running puts them together."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from kdasr.score.align import Aligned, Counts
from kdasr.score.sclite import TITLE, percent, rounded, shown_id
from kdasr.score.steps import Steps

REFERENCE = "ref.trn"  # the reference file as it was given to sclite
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


def dtl_head(found: np.ndarray) -> bytes:
    """The totals of the report `-o dtl`, before its lists.

    Where characters were aligned, they count as words; sclite does not say so here.

    Args:
        found: (U, 4) of each utterance: words that are correct, substituted, deleted, inserted.
    """
    wrong = int(np.count_nonzero(found[:, 1:].any(axis=1)))
    counts = Counts(*found.sum(axis=0, dtype=np.int64).tolist(), len(found), wrong)
    # Unlike elsewhere, sclite gives no percentages of words (but UNDEF) where the reference has none.
    defined = counts.words > 0

    def of_sentences(part: int) -> str:
        return f"{rounded(percent(part, counts.sentences), 1):5.1f}%   ({part:4d})"

    def of_words(part: int) -> str:
        share = f"{rounded(percent(part, counts.words), 1):5.1f}" if defined else "UNDEF"
        return f"{share}%   ({part:4d})"

    accuracy = f"{rounded(100.0 - percent(counts.errors, counts.words), 1):5.1f}" if defined else "UNDEF"
    _, with_sub, with_del, with_ins = np.count_nonzero(found, axis=0).tolist()
    hypothesis = counts.cor + counts.sub + counts.ins
    return (
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


def sgml_head(date: str | None, optional: bool, fragments: bool) -> bytes:
    """The head of `-o sgml`, which sc_stats reads.

    `date` is the time of writing, by default now in C's form (Sat Nov 21 12:40:30 2026). Of segments of an stm sclite
    also prints labels, times and confidences, which are not known here; the report then differs.
    """
    return (
        f'<SYSTEM title="{TITLE}" ref_fname="{REFERENCE}" hyp_fname="{TITLE}" '
        f'creation_date="{date or time.ctime()}" format="2.4" frag_corr="{str(fragments).upper()}" '
        f'opt_del="{str(optional).upper()}" '
        'weight_ali="FALSE" weight_filename="">\n'
    ).encode()


def sgml_paths(
    utterances: Sequence[Aligned], steps: Steps, case_sensitive: bool, chars: bool, first: int
) -> list[bytes]:
    """Each utterance's path in `-o sgml`, words as they were compared, nothing escaped.

    Args:
        utterances: some that follow each other in the hypothesis file.
        steps: theirs.
        case_sensitive, chars: as of `reports`.
        first: the place of the first of them in the file.
    """
    paths = steps.spell([b":" + _path_step(*one) for one in steps.distinct])
    attributes = (b' char_align="1"' if chars else b"") + (b' case_sense="1"' if case_sensitive else b"")
    return [
        b'<PATH id="(%s)" word_cnt="%d" sequence="%d"%s>\n%s\n</PATH>\n'
        % (shown_id(one.id, case_sensitive), len(one.operations), place, attributes, path[1:])
        for place, (one, path) in enumerate(zip(utterances, paths, strict=True), first)
    ]


def _path_step(operation: str, ref: bytes, hyp: bytes) -> bytes:
    # Beside nothing, an optional word counts as correct, and sclite writes "" for the nothing.
    left = b"" if operation == "I" else b'"%s"' % ref
    right = b"" if operation == "D" else b'"%s"' % hyp
    return b"%s,%s,%s" % (operation.encode(), left, right)
