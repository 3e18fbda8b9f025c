"""The source text that a translator reads, as ids: by the tokens of kdasr.data.tokens, from a bundle's files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdasr.data.tokens import UNK, Tokens, processor
from kdasr.errors import UserError
from kdasr.runtime.bundle import AGAIN, SOURCE_PIECES, SOURCE_TOKENS, Bundle


@dataclass(frozen=True)
class Source:
    """How text becomes what a model reads.

    Attributes:
        tokens: of the text.
        sos: id of what stands before a sentence.
    """

    tokens: Tokens
    sos: int

    def read(self, text: str) -> np.ndarray | None:
        """A sentence as ids (T,), int64, <sos> in front; None for one of no tokens. White space becomes one blank."""
        ids = self.tokens.encode(" ".join(text.split()))
        return np.array([self.sos, *ids]) if ids else None


def of_bundle(bundle: Bundle) -> Source:
    """How the model of a bundle reads text.

    Raises:
        UserError: files of it were changed, or sentencepiece is needed and not installed.
    """
    told = bundle.source or {}
    listed = bundle.file(SOURCE_TOKENS).decode().removesuffix("\n").split("\n")
    if UNK not in listed:
        raise UserError(f"{bundle.path}: {SOURCE_TOKENS} has no {UNK}; {AGAIN}")
    pieces = b""
    if told["kind"] == "bpe":
        pieces = bundle.file(SOURCE_PIECES)
        processor(pieces, f"{bundle.path}/{SOURCE_PIECES}")  # told of before the first text
    return Source(Tokens(told["kind"], listed, list(told["symbols"]), pieces), int(told["sos"]))
