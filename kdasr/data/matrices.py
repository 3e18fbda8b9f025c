"""Features of an utterance as they lie in an archive. T frames, F bins."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from kdasr.errors import UserError

if TYPE_CHECKING:
    import numpy as np


# what kaldiio raises of files that are absent, cut short, or no archives
UNREADABLE = (OSError, EOFError, ValueError, TypeError, IndexError, AssertionError, RuntimeError, struct.error)


def told(error: Exception) -> str:
    """One of these in one line; some speak several lines, or none."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")


def read_matrix(name: str, place: str) -> np.ndarray:
    """The features (T, F) of an utterance by its entry in feats.scp; they may be read-only, and without frames.

    Raises:
        UserError: they cannot be read, are audio or no matrix, or hold values that are not numbers; the utterance is
            named.
    """
    import kaldiio
    import numpy as np

    try:
        x = kaldiio.load_mat(place)
    except UNREADABLE as error:
        raise UserError(
            f"{name}: {place} cannot be read ({told(error)}); make the features again (kdasr feats)"
        ) from error
    if isinstance(x, tuple):
        raise UserError(f"{name}: {place} is audio where features are taken; make them (kdasr feats)")
    if x.ndim != 2:
        raise UserError(
            f"{name}: {place} has the shape {x.shape}, not (frames, bins); make the features again (kdasr feats)"
        )
    if not np.isfinite(x).all():
        raise UserError(f"{name}: {place} holds values that are not numbers; make the features again (kdasr feats)")
    return x
