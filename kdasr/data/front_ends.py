"""The kinds of features that `kdasr feats` makes: which there are, how a manifest names them, and who computes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kdasr.data.fbank import fbank
from kdasr.data.spectrogram import num_bins, spectrogram
from kdasr.errors import UserError

MEL_BINS = 80


class FrontEnd(NamedTuple):
    """One kind with its settings; small, as every worker process gets one."""

    kind: str
    bins: int  # mel bins; 0 for a spectrogram, which has as many as its window gives

    @property
    def frame_ms(self) -> int:
        """Milliseconds of a frame."""
        return 25 if self.kind == "fbank" else 20

    def described(self, rate: int) -> str:
        """What it is, at a sampling rate in Hz: a manifest's text, which another kind must not share."""
        if self.kind == "fbank":
            return f"log-mel filterbank, {self.bins} bins, 25 ms povey window, 10 ms shift, int16 scale, dither 0"
        return f"log power spectrogram, {num_bins(rate)} bins, 20 ms hann window, 10 ms shift, int16 scale, floor 1"

    def compute(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """Features (T, bins) of samples (n,) on the int16 scale."""
        if self.kind == "fbank":
            return fbank(samples, rate, self.bins)
        return spectrogram(samples, rate)


def front_end(kind: str, bins: int | None) -> FrontEnd:
    """The front end of the options --type and --bins; UserError if they do not go together."""
    if kind == "spectrogram" and bins is not None:
        raise UserError("--bins: counts mel bins, a spectrogram has those of its window; leave it out")
    if bins is not None and bins < 1:
        raise UserError(f"--bins {bins}: expected 1 mel bin or more; the default is {MEL_BINS}")
    return FrontEnd(kind, 0 if kind == "spectrogram" else MEL_BINS if bins is None else bins)
