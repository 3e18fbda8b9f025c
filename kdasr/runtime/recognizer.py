"""`kdasr.Recognizer`: a bundle (or an ESPnet model) that transcribes audio.

>>> import kdasr
>>> recognizer = kdasr.Recognizer("student.zip")          # doctest: +SKIP
>>> recognizer.transcribe("a.wav").text                   # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kdasr.data.fbank import fbank
from kdasr.data.spectrogram import num_bins, spectrogram
from kdasr.errors import UserError
from kdasr.runtime import audio as sound
from kdasr.runtime import pauses
from kdasr.runtime.bundle import is_bundle, read_bundle
from kdasr.runtime.search import Hypothesis, search
from kdasr.runtime.settings import PRECISIONS
from kdasr.runtime.spell import Spelling
from kdasr.runtime.times import spans
from kdasr.search.options import SearchOptions


@dataclass(frozen=True)
class Word:
    """A word of a transcript.

    Attributes:
        word: it.
        start, end: seconds from the begin of the audio; None without a CTC branch, which alone knows.
        confidence: 0 to 1, the geometric mean of its tokens' probabilities given those before.
    """

    word: str
    start: float | None
    end: float | None
    confidence: float


@dataclass(frozen=True)
class Alternative:
    """One of the N-best: its text, the score it was found by (a log probability, weighted), and its scorers' own."""

    text: str
    score: float
    scores: dict[str, float]


@dataclass(frozen=True)
class Piece:
    """A stretch of audio that was recognised at once.

    Attributes:
        start, end: seconds from the begin of the audio.
        nbest: of it, best first; at least one.
        words: of the best.
    """

    start: float
    end: float
    nbest: tuple[Alternative, ...]
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """Of the best."""
        return self.nbest[0].text


@dataclass(frozen=True)
class Transcript:
    """What was heard.

    Attributes:
        pieces: of the audio, in order; one, unless it was long and was cut at pauses.
        seconds: of audio.
    """

    pieces: tuple[Piece, ...]
    seconds: float

    @property
    def text(self) -> str:
        """The best text."""
        return " ".join(piece.text for piece in self.pieces if piece.text)

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of the best text."""
        return tuple(word for piece in self.pieces for word in piece.words)

    @property
    def nbest(self) -> tuple[Alternative, ...]:
        """Best first; of audio in pieces, the n-th of each (or its last), with their scores added."""
        if len(self.pieces) == 1:
            return self.pieces[0].nbest
        joined = []
        for n in range(max(len(piece.nbest) for piece in self.pieces)):
            each = [piece.nbest[min(n, len(piece.nbest) - 1)] for piece in self.pieces]
            names = dict.fromkeys(name for one in each for name in one.scores)
            scores = {name: sum(one.scores.get(name, 0.0) for one in each) for name in names}
            text = " ".join(one.text for one in each if one.text)
            joined.append(Alternative(text, sum(one.score for one in each), scores))
        return tuple(joined)


class Model(Protocol):
    """What a recogniser needs of a model: a bundle's (Exported), or ESPnet's (kdasr.runtime.espnet_model)."""

    path: str
    rate: int
    features: Any  # settings of its features, None if it takes samples
    frame_seconds: float
    first_frame_seconds: float
    spelling: Spelling
    blank: int
    options: SearchOptions

    def hypotheses(self, x: np.ndarray, options: SearchOptions) -> tuple[list[Hypothesis], np.ndarray | None]:
        """The N-best of an input (T, F) or (samples,), and CTC's log probabilities (S, V) if there are any."""


class Exported:
    """A bundle as a `Model`."""

    def __init__(self, path: str | Path, precision: str | None, threads: int) -> None:
        bundle = read_bundle(path)
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


class Recognizer:
    """Transcribes audio with an exported model; several threads may share one.

    Args:
        model: a bundle of `kdasr export` (a directory or zip), or an ESPnet model directory, which needs torch.
        precision: "fp32" or "int8", of a bundle that has both; None: fp32.
        beam, nbest, ctc_weight, penalty, maxlenratio, minlenratio, normalize_length: of the search, as for
            `kdasr nbest`; None: as the bundle says.
        longest: seconds; longer audio is cut at pauses.
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
        ctc_weight: float | None = None,
        penalty: float | None = None,
        maxlenratio: float | None = None,
        minlenratio: float | None = None,
        normalize_length: bool | None = None,
        longest: float = pauses.LONGEST,
        threads: int = 1,
    ) -> None:
        if precision not in (None, *PRECISIONS):
            raise UserError(f"--precision {precision}: expected {' or '.join(PRECISIONS)}")
        if not 1.0 <= longest <= 3600.0 or threads < 1:
            raise UserError(
                f"--longest {longest} --threads {threads}: expected 1 to 3600 seconds, and 1 thread or more"
            )
        self.model: Model
        if is_bundle(model):
            self.model = Exported(Path(model), precision, threads)
        else:
            from kdasr.runtime.espnet_model import EspnetModel  # here: torch and ESPnet, which a bundle does not need

            self.model = EspnetModel(Path(model), threads)
        wanted = {
            "beam": beam,
            "nbest": nbest,
            "ctc_weight": ctc_weight,
            "penalty": penalty,
            "maxlenratio": maxlenratio,
            "minlenratio": minlenratio,
            "normalize_length": normalize_length,
        }
        changed: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        self.options = replace(self.model.options, **changed).check()
        self.longest = longest

    @property
    def rate(self) -> int:
        """Sampling rate of the audio that the model takes, Hz; other audio is converted."""
        return self.model.rate

    @property
    def bins(self) -> int | None:
        """Bins of the features that the model takes; None if it takes samples."""
        features = self.model.features
        if features is None:
            return None
        return features["bins"] if features["kind"] == "fbank" else num_bins(self.rate)

    def transcribe(
        self, audio: str | os.PathLike[str] | np.ndarray | Sequence[float], rate: int | None = None
    ) -> Transcript:
        """Transcribe a file, or samples.

        Args:
            audio: path of a WAV, FLAC, Ogg, SPHERE, ... file; or samples (n,) or (n, channels), int16, or floats of
                which 1 is full scale.
            rate: of samples, Hz; a file knows its own.

        Raises:
            UserError: no audio, or damaged.
        """
        if isinstance(audio, str | os.PathLike):
            return self.transcribe_samples(sound.read(audio, self.rate))
        return self.transcribe_samples(sound.given(audio, rate, self.rate))

    def transcribe_samples(self, samples: np.ndarray, cut: bool = True) -> Transcript:
        """Transcribe samples, int16 (n,), at the model's rate; `cut` them at pauses if they are long."""
        edges = pauses.cuts(samples, self.rate, self.longest) if cut else [(0, len(samples))]
        pieces = [self._piece(self.inputs(samples[a:b]), a / self.rate, b / self.rate) for a, b in edges]
        return Transcript(tuple(pieces), len(samples) / self.rate)

    def transcribe_features(self, features: np.ndarray, seconds: float) -> Transcript:
        """Transcribe features (T, F), as the model takes them, of so many seconds."""
        return Transcript((self._piece(features, 0.0, seconds),), seconds)

    def inputs(self, samples: np.ndarray) -> np.ndarray:
        """What the model takes of samples, int16 (n,): features (T, F), or samples (n,) in [-1, 1], float32."""
        features = self.model.features
        if features is None:
            return samples.astype(np.float32) / 32768
        if features["kind"] == "fbank":
            return fbank(samples, self.rate, features["bins"])
        return spectrogram(samples, self.rate)

    def _piece(self, x: np.ndarray, start: float, end: float) -> Piece:
        """What is heard in an input (T, F) or (samples,), which lasts from `start` to `end` in its audio."""
        hyps, logp = self.model.hypotheses(x, self.options)
        spelling, blank = self.model.spelling, self.model.blank
        nbest: dict[str, Alternative] = {}
        for hyp in hyps:
            # ESPnet, too, leaves the blank out, which an attention decoder can emit but no text has.
            text = spelling.text([token for token in hyp.tokens if token != blank])
            nbest.setdefault(text, Alternative(text, hyp.score, hyp.scores))
        if not hyps:
            return Piece(start, end, (Alternative("", 0.0, {}),), ())
        return Piece(start, end, tuple(nbest.values()), self._words(hyps[0], logp, start, end))

    def _words(self, hyp: Hypothesis, logp: np.ndarray | None, start: float, end: float) -> tuple[Word, ...]:
        """The words of a hypothesis, with times in seconds."""
        model = self.model
        found = model.spelling.words(hyp.tokens)
        if not found:
            return ()
        times = None if logp is None else spans(logp, hyp.tokens, model.blank)  # a pair of frames for each token
        words = []
        for word, places in found:
            sure = float(np.exp(min(0.0, np.mean([hyp.gains[place] for place in places]))))
            first = last = None
            if times is not None:
                first, last = (
                    start + model.first_frame_seconds + (frame + side) * model.frame_seconds
                    for frame, side in ((times[places[0]][0], -0.5), (times[places[-1]][1], 0.5))
                )
                first, last = (round(min(max(second, start), end), 3) for second in (first, last))
            words.append(Word(word, first, last, round(sure, 4)))
        return tuple(words)
