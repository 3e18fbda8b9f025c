"""What recognisers and translators run on: a bundle's networks and search, or those of an ESPnet model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kdasr.errors import UserError
from kdasr.runtime.bundle import is_bundle, read_bundle
from kdasr.runtime.search import Hypothesis, search
from kdasr.runtime.settings import PRECISIONS
from kdasr.runtime.spell import Spelling
from kdasr.search.options import SearchOptions

if TYPE_CHECKING:
    from kdasr.runtime.source import Source

OTHER = {  # whether it translates -> what a model is that does not do what is asked for
    False: "is a model that translates, and kdasr transcribe takes recognisers; use kdasr translate (kdasr.Translator)",
    True: "is a recogniser, and kdasr translate takes models that translate; use kdasr transcribe (kdasr.Recognizer)",
}


class Model(Protocol):
    """What is needed of a model: of a bundle's (Exported), or ESPnet's (kdasr.runtime.espnet_model).

    The rate, features and times are those of audio; a model that translates has zeros there.
    """

    path: str
    rate: int
    features: Any  # settings of its features, None if it takes samples
    frame_seconds: float
    first_frame_seconds: float
    spelling: Spelling
    blank: int
    options: SearchOptions

    def source(self) -> Source:
        """How it reads text, if it translates."""

    def hypotheses(self, x: np.ndarray, options: SearchOptions) -> tuple[list[Hypothesis], np.ndarray | None]:
        """The N-best of an input (T, F), (samples,) or (tokens,), and CTC's log probabilities (S, V) if any."""


class Exported:
    """A bundle as a `Model`."""

    def __init__(self, path: Path, precision: str | None, threads: int, translates: bool) -> None:
        bundle = read_bundle(path)
        if (bundle.source is not None) is not translates:
            raise UserError(f"{path}: {OTHER[translates]}")
        if precision is None:
            precision = next(one for one in PRECISIONS if one in bundle.networks)
        if precision not in bundle.networks:
            there = ", ".join(bundle.networks)
            raise UserError(f"{path}: has no {precision} (it has {there}); export it with --int8, or name another")
        from kdasr.runtime.networks import Networks  # here: a missing onnxruntime is told of, and costs no --help

        self.bundle, self.networks = bundle, Networks(bundle, precision, threads)
        self.path, self.rate, self.features = str(path), bundle.rate, bundle.features
        self.frame_seconds, self.first_frame_seconds = bundle.frame_seconds, bundle.first_frame_seconds
        self.spelling, self.blank, self.options = bundle.spelling, bundle.vocabulary.blank, bundle.options

    def source(self) -> Source:
        """As `Model`."""
        from kdasr.runtime.source import of_bundle  # here: recognisers need not wait for it

        return of_bundle(self.bundle)

    def hypotheses(self, x: np.ndarray, options: SearchOptions) -> tuple[list[Hypothesis], np.ndarray | None]:
        """As `Model`."""
        heard = self.networks.encode(x)
        if heard is None:
            return [], None
        if heard.step is None and options.ctc_weight < 1.0:
            raise UserError(f"--ctc_weight {options.ctc_weight}: {self.path} has no attention decoder; give 1")
        if heard.logp is None and options.ctc_weight > 0.0:
            raise UserError(f"--ctc_weight {options.ctc_weight}: {self.path} has no CTC branch; give 0")
        return search(heard, self.bundle.vocabulary, options), heard.logp


@dataclass(frozen=True)
class Alternative:
    """One of the N-best: its text, the score it was found by (a log probability, weighted), and its scorers' own."""

    text: str
    score: float
    scores: dict[str, float]


def open_model(
    path: Path, precision: str | None, threads: int, wanted: Mapping[str, Any], translates: bool
) -> tuple[Model, SearchOptions]:
    """A model, and the options of its searches.

    Args:
        path: a bundle, or an ESPnet model directory, which needs torch.
        precision: "fp32" or "int8", of a bundle that has both; None: fp32.
        threads: of a call.
        wanted: options of the search; None: as the bundle says.
        translates: whether it is to be a model that translates.

    Raises:
        UserError: no such model, a damaged one, one that does something else, or an option out of range.
    """
    if precision not in (None, *PRECISIONS):
        raise UserError(f"--precision {precision}: expected {' or '.join(PRECISIONS)}")
    model: Model
    if is_bundle(path):
        model = Exported(path, precision, threads, translates)
    else:
        from kdasr.runtime.espnet_model import EspnetModel  # here: torch and ESPnet, which a bundle does not need

        model = EspnetModel(path, threads, translates)
    changed: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    return model, replace(model.options, **changed).check()


def alternatives(model: Model, hyps: Sequence[Hypothesis]) -> tuple[Alternative, ...]:
    """Hypotheses as texts, best first, each once; an empty text where there are none."""
    nbest: dict[str, Alternative] = {}
    for hyp in hyps:
        # ESPnet, too, leaves the blank out, which an attention decoder can emit but no text has.
        text = model.spelling.text([token for token in hyp.tokens if token != model.blank])
        nbest.setdefault(text, Alternative(text, hyp.score, hyp.scores))
    return tuple(nbest.values()) or (Alternative("", 0.0, {}),)
