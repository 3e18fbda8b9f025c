"""Kaldi texts that targets are made of, or measured against: long ones, which stay on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from kdasr.errors import UserError
from kdasr.keyed import Keyed, hashes_of, rows, table


class Texts:
    """The utterances of several texts, which are open within the block; UserError where two of them differ on one.

    Args:
        names: of the files.
        option: that named them, for messages.
    """

    def __init__(self, names: Sequence[str], option: str) -> None:
        with contextlib.ExitStack() as stack:
            self._tables: list[Keyed] = []
            for name in names:
                more = stack.enter_context(table(name))
                for known in self._tables:
                    places = known.find(more.hashes)
                    both = np.flatnonzero(places >= 0)
                    for (key, text), (_, other) in zip(rows(more, both), rows(known, places[both]), strict=True):
                        if text != other:
                            raise UserError(
                                f"{name}: {key} has another text in another file of {option}; "
                                "leave one of the files out"
                            )
                self._tables.append(more)
            self._close = stack.pop_all()

    def __enter__(self) -> Texts:
        return self

    def __exit__(self, *_: object) -> None:
        self._close.close()

    def items(self) -> Iterator[tuple[str, str]]:
        """(utterance, text) of each utterance once, file by file."""
        for number, one in enumerate(self._tables):
            new = np.ones(len(one), dtype=bool)
            for before in self._tables[:number]:
                new &= before.find(one.hashes) < 0
            yield from rows(one, np.flatnonzero(new))

    def of(self, keys: Sequence[str]) -> dict[str, str]:
        """The texts of those of some utterances that have one."""
        found: dict[str, str] = {}
        wanted = hashes_of(keys)
        for one in reversed(self._tables):
            places = one.find(wanted)
            found |= rows(one, places[places >= 0])
        return found
