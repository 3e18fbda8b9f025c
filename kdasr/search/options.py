"""What a search is given: its options, as ESPnet names them, limits of an utterance, and how it runs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from kdasr.errors import UserError

LM_WEIGHT = 0.3  # of a language model that is given without a weight


@dataclass(frozen=True)
class SearchOptions:
    """The options that decide what a search finds (how it is batched does not).

    Attributes:
        beam: hypotheses kept an utterance at each step.
        nbest: ended hypotheses returned an utterance, at most.
        ctc_weight: weight of the CTC prefix score; the attention decoder has the rest.
        penalty: added for each token (ESPnet's length bonus).
        maxlenratio: longest output in tokens: 0 is the encoder's frames, with end detection; positive is
            a share of the encoder's frames; negative is that many tokens.
        minlenratio: shortest output, likewise; 0 is none.
        normalize_length: order the N-best by score a token rather than by score.
        lm_weight: weight of the language model's log probabilities, if there is one.
        ctc_window: CTC reads only so many encoder frames on either side of where a hypothesis attends; 0 for all.
        log_linear: average the log probabilities of an ensemble's models rather than their probabilities.
    """

    beam: int = 5
    nbest: int = 5
    ctc_weight: float = 0.3
    penalty: float = 0.0
    maxlenratio: float = 0.0
    minlenratio: float = 0.0
    normalize_length: bool = False
    lm_weight: float = 0.0
    ctc_window: int = 0
    log_linear: bool = False

    def check(self) -> SearchOptions:
        """Itself, or a UserError that names the option out of range."""
        if self.beam < 1 or self.nbest < 1:
            raise UserError(f"--beam {self.beam} --nbest {self.nbest}: expected numbers of at least 1")
        if not 0.0 <= self.ctc_weight <= 1.0:
            raise UserError(f"--ctc_weight {self.ctc_weight}: expected a weight from 0 to 1")
        if self.ctc_window < 0:
            raise UserError(f"--ctc_window {self.ctc_window}: expected a number of encoder frames, 0 for all")
        for name in ("lm_weight", "penalty", "maxlenratio", "minlenratio"):
            if not math.isfinite(getattr(self, name)):
                raise UserError(f"--{name} {getattr(self, name)}: expected a finite number")
        if -1.0 < self.maxlenratio < 0.0 or -1.0 < self.minlenratio < 0.0:
            raise UserError("--maxlenratio and --minlenratio: a negative value is a number of tokens, -1 or below")
        return self

    def settings(self) -> dict[str, Any]:
        """Itself, as a manifest holds it."""
        return asdict(self)

    def limits(self, frames: int) -> tuple[int, int]:
        """The longest and shortest output (tokens) of an utterance with so many encoder frames."""
        if self.maxlenratio == 0:
            longest = frames
        elif self.maxlenratio < 0:
            longest = -int(self.maxlenratio)
        else:
            longest = max(1, int(self.maxlenratio * frames))
        shortest = -int(self.minlenratio) if self.minlenratio < 0 else int(self.minlenratio * frames)
        return longest, shortest


@dataclass(frozen=True)
class Computing:
    """How a search is computed. Only `bf16` changes what it finds, and that little.

    Attributes:
        batch_frames: padded input frames (10 ms) x beam in a grid, at most; a single utterance may exceed it.
        device: "cpu", "cuda:0".
        graphs: whether search steps are recorded as a CUDA graph and replayed (kdasr.search.graphs).
        bf16: whether the encoder and large layers multiply bfloat16 numbers, on a CPU.
    """

    batch_frames: int = 160000
    device: str = "cpu"
    graphs: bool = False
    bf16: bool = False
