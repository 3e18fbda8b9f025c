"""Both sides of a score, read some utterances at a time: Kaldi texts, trn files, an stm file with its ctm."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdasr.errors import UserError
from kdasr.files import split_key
from kdasr.keyed import Keyed, as_hashes, first_twice, hash_of, table
from kdasr.score import long_texts, sclite, stm, trn
from kdasr.score.rules import Rules

SOME = 2000  # utterances that are scored together
OTHERS = "expected two trn files (.trn), an .stm with a .ctm, or two Kaldi texts"


class Some(NamedTuple):
    """Some utterances of a set, in the order of the reports."""

    names: list[str]  # as per_utt has them
    ref: list[trn.Line]
    hyp: list[trn.Line]


@dataclass(frozen=True)
class Sides:
    """A set, whose utterances come once, SOME at a time."""

    some: Iterator[Some]
    rules: Rules  # with id form stm for segments in time


@contextlib.contextmanager
def read(ref: str | Path, hyp: str | Path, utt2spk: str | Path | None, rules: Rules) -> Iterator[Sides]:
    """Both sides by their files' endings, under the rules; the files are open within the block.

    Raises:
        UserError: of malformed or unlike inputs, at the latest when the last utterance was asked for.
    """
    kinds = Path(ref).suffix, Path(hyp).suffix
    timed = kinds == (".stm", ".ctm")
    if not timed and kinds != (".trn", ".trn") and {".trn", ".stm", ".ctm"} & set(kinds):
        raise UserError(f"--ref {ref} --hyp {hyp}: {OTHERS}")
    if kinds == (".trn", ".trn") or timed:
        if utt2spk is not None:
            raise UserError(f"--utt2spk {utt2spk}: is for Kaldi texts; leave it out with {kinds[0]} files")
        if rules.changes_words and (timed or rules.type == "cer"):
            raise UserError(f"--ref {ref}: {kinds[0]} files take --chars for characters, and segments take no filters")
    if timed:
        sides = [list(side) for side in stm.read(ref, hyp, rules.case_sensitive)]
        rows = zip([line.id for line in sides[0]], *sides, strict=True)
        yield Sides(_together(rows), replace(rules, id_form="stm"))
        return
    with contextlib.ExitStack() as stack:
        if kinds == (".trn", ".trn"):
            right, left = (
                stack.enter_context(long_texts.keyed(path, rules.id_form, rules.case_sensitive)) for path in (hyp, ref)
            )
            long_texts.same_keys(left, right, ref, hyp, lambda line: long_texts.name_of(line, rules.case_sensitive))
            yield Sides(_together(_trn_rows(left, right, rules)), rules)
            return
        left, right = (stack.enter_context(long_texts.keyed_text(path)) for path in (ref, hyp))
        long_texts.same_keys(left, right, ref, hyp, lambda line: trn.split(line)[0])
        speakers = None if utt2spk is None else stack.enter_context(table(utt2spk))
        if speakers is None and rules.id_form != "wsj":
            raise UserError(f"--utt2spk: needed for Kaldi texts such as {ref}, unless --id_form wsj finds the speakers")
        yield Sides(_together(_text_rows(left, right, speakers, rules)), rules)


def _together(rows: Iterable[tuple[str, trn.Line, trn.Line]]) -> Iterator[Some]:
    rows = iter(rows)
    while some := list(islice(rows, SOME)):
        yield Some(*map(list, zip(*some, strict=True)))


def _trn_rows(left: Keyed, right: Keyed, rules: Rules) -> Iterator[tuple[str, trn.Line, trn.Line]]:
    """The utterances of two trn files in the order of the hypothesis, which is that of sclite's reports."""
    places = left.find(right.hashes), np.arange(len(right))
    texts = (side.read(these) for side, these in zip((left, right), places, strict=True))
    for (a, b), *two in zip(_numbers(left, right, places), *texts, strict=True):
        lines = []
        for side, number, text, hypothesis in zip((left, right), (a, b), two, (False, True), strict=True):
            line = trn.spoken(trn.UTTERANCE.fullmatch(text), f"{side.path}:{number}")
            lines.append(_filtered(line, rules, side.path, hypothesis) if rules.changes_words else line)
        yield lines[1].id, lines[0], lines[1]


def _filtered(line: trn.Line, rules: Rules, path: object, hypothesis: bool) -> trn.Line:
    """A line of plain words under the rules."""
    words = [word for word in line.words if isinstance(word, str)]
    if len(words) < len(line.words):
        raise UserError(f"{path}: ({line.id}) has alternatives, which filters do not reach; score without filters")
    return trn.Line(line.id, rules.tokens(words, hypothesis))


def _text_rows(
    left: Keyed, right: Keyed, speakers: Keyed | None, rules: Rules
) -> Iterator[tuple[str, trn.Line, trn.Line]]:
    """The utterances of Kaldi texts in the order of LC_ALL=C, and both sides as trn lines, checked."""
    order = left.in_order(lambda line: trn.split(line)[0])
    places = order, right.find(left.hashes[order])
    texts = (side.read(these) for side, these in zip((left, right), places, strict=True))
    ids = bytearray()
    if speakers is None:
        named: Iterable[tuple[str, str]] = (("", "") for _ in order)
    else:
        named = _named(left, order, speakers)
    for numbers, (_, speaker), *two in zip(_numbers(left, right, places), named, *texts, strict=True):
        (name, *ref), (_, *hyp) = map(trn.split, two)
        full = f"{speaker}-{name}" if speakers else name
        if speakers:
            if why := trn.odd_id(full):
                raise UserError(f"{speakers.path}: {why}; rename the utterance")
            ids += hash_of(trn.same_id(full, rules.case_sensitive))
        lines = []
        for side, number, words, hypothesis in zip((left, right), numbers, (ref, hyp), (False, True), strict=True):
            line = trn.Line(full, rules.tokens(words, hypothesis))
            if why := trn.unusual(line.words) or sclite.unusual_id(full, rules.id_form):
                raise UserError(
                    f"{side.path}:{number}: {name}: {why}; take it out of the text (or name it in --nlsyms)"
                )
            lines.append(line)
        yield name, lines[0], lines[1]
    if speakers and (two := first_twice(as_hashes(ids))):
        later, earlier = (next(left.read(order[place : place + 1])) for place in two)
        one, other = trn.split(later)[0], trn.split(earlier)[0]
        speaker = split_key(next(speakers.read(speakers.find(as_hashes(hash_of(one))))))[1]
        key = trn.same_id(f"{speaker}-{one}", rules.case_sensitive)
        raise UserError(f"{speakers.path}: {one} and {other} both become '{key}' for sclite; rename one of them")


def _named(left: Keyed, order: np.ndarray, speakers: Keyed) -> Iterator[tuple[str, str]]:
    """(utterance, speaker) in this order."""
    places = speakers.find(left.hashes[order])
    missing = np.flatnonzero(places < 0)
    if len(missing):
        utterance = trn.split(next(left.read(order[missing[:1]])))[0]
        raise UserError(f"{speakers.path}: no speaker for utterance {utterance}; add its line 'UTTERANCE SPEAKER'")
    yield from map(split_key, speakers.read(places))


def _numbers(left: Keyed, right: Keyed, places: Sequence[np.ndarray]) -> Iterator[tuple[int, int]]:
    """The numbers of the lines at these places of both."""
    for first in range(0, len(places[0]), SOME):
        some = (side.numbers[these[first : first + SOME]] for side, these in zip((left, right), places, strict=True))
        yield from zip(*(numbers.tolist() for numbers in some), strict=True)
