"""Errors of hypotheses, as sclite counts them, of many at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from kdasr.files import columns
from kdasr.score.align import align_all, count, normal


def words_of(text: str) -> list[bytes]:
    """The words of a text as sclite compares them."""
    return [normal(word) for word in columns(text)]


def characters_of(text: str) -> list[str]:
    """The characters of a text, one blank between words, as sclite would compare its words."""
    return list(b" ".join(words_of(text)).decode())


def count_errors(
    pairs: Sequence[tuple[str, Sequence[str]]], units: Callable[[str], Sequence[Hashable]] = words_of
) -> list[list[int]]:
    """Errors of each hypothesis of each utterance, as sclite counts them.

    Args:
        pairs: reference and hypotheses of each utterance.
        units: what a text is cut into, words_of or characters_of.
    """
    owners = [number for number, (_, hyps) in enumerate(pairs) for _ in hyps]
    refs = [units(ref) for ref, _ in pairs]
    operations = align_all([refs[owner] for owner in owners], [units(hyp) for _, hyps in pairs for hyp in hyps])
    errors: list[list[int]] = [[] for _ in pairs]
    for owner, one in zip(owners, operations, strict=True):
        errors[owner].append(count(one).errors)
    return errors
