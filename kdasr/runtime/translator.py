"""`kdasr.Translator`: a bundle (or an ESPnet model) that translates text.

>>> import kdasr
>>> translator = kdasr.Translator("student.zip")                     # doctest: +SKIP
>>> translator.translate("Two dogs run through the snow.").text      # doctest: +SKIP
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kdasr.errors import UserError
from kdasr.runtime.model import Alternative, alternatives, open_model

LONGEST = 2000  # tokens of a sentence; a beam over more is an hour, of what somebody has not cut into sentences


@dataclass(frozen=True)
class Translation:
    """What a sentence became.

    Attributes:
        source: the sentence.
        nbest: its translations, best first; at least one. That of a sentence without words is empty.
    """

    source: str
    nbest: tuple[Alternative, ...]

    @property
    def text(self) -> str:
        """The best."""
        return self.nbest[0].text


class Translator:
    """Translates sentences with an exported model; several threads may share one.

    Args:
        model: a bundle of `kdasr export` (a directory or zip), or an ESPnet model directory, which needs torch.
        precision: "fp32" or "int8", of a bundle that has both; None: fp32.
        beam, nbest, penalty, maxlenratio, minlenratio, normalize_length: of the search, as for `kdasr nbest`; None: as
            the bundle says.
        threads: of a call; 1 is best where calls run side by side.

    Raises:
        UserError (kdasr.errors): no such model, a damaged one, an option out of range, or a missing package.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        precision: str | None = None,
        beam: int | None = None,
        nbest: int | None = None,
        penalty: float | None = None,
        maxlenratio: float | None = None,
        minlenratio: float | None = None,
        normalize_length: bool | None = None,
        threads: int = 1,
    ) -> None:
        if threads < 1:
            raise UserError(f"--threads {threads}: expected 1 thread or more")
        wanted = {
            "beam": beam,
            "nbest": nbest,
            "penalty": penalty,
            "maxlenratio": maxlenratio,
            "minlenratio": minlenratio,
            "normalize_length": normalize_length,
        }
        self.model, self.options = open_model(Path(model), precision, threads, wanted, translates=True)
        self.source = self.model.source()

    def translate(self, text: str) -> Translation:
        """Translate a sentence; white space of any kind in it is a blank.

        Raises:
            UserError: it is longer than any sentence, or than fits into memory.
        """
        ids = self.source.read(text)  # (T,)
        if ids is not None and len(ids) > LONGEST:
            raise UserError(f"has {len(ids)} tokens, and a sentence has at most {LONGEST}; cut the text into sentences")
        hyps = [] if ids is None else self.model.hypotheses(ids, self.options)[0]
        return Translation(text, alternatives(self.model, hyps))
