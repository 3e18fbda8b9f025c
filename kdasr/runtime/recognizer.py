"""`kdasr.Recognizer`: a bundle (or an ESPnet model) that transcribes audio.

>>> import kdasr
>>> recognizer = kdasr.Recognizer("student.zip")          # doctest: +SKIP
>>> recognizer.transcribe("a.wav").text                   # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdasr.data.fbank import fbank
from kdasr.data.spectrogram import num_bins, spectrogram
from kdasr.errors import UserError
from kdasr.runtime import audio as sound
from kdasr.runtime import pauses
from kdasr.runtime.model import Alternative, alternatives, open_model
from kdasr.runtime.search import Hypothesis
from kdasr.runtime.times import spans


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
        if not 1.0 <= longest <= 3600.0 or threads < 1:
            raise UserError(
                f"--longest {longest} --threads {threads}: expected 1 to 3600 seconds, and 1 thread or more"
            )
        wanted = {
            "beam": beam,
            "nbest": nbest,
            "ctc_weight": ctc_weight,
            "penalty": penalty,
            "maxlenratio": maxlenratio,
            "minlenratio": minlenratio,
            "normalize_length": normalize_length,
        }
        self.model, self.options = open_model(Path(model), precision, threads, wanted, translates=False)
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
        words = self._words(hyps[0], logp, start, end) if hyps else ()
        return Piece(start, end, alternatives(self.model, hyps), words)

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
