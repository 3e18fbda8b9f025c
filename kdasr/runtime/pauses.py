"""Long audio is cut where it is quietest: attention decoders lose their way in more than they were trained on.

A cut needs no threshold: of the second half of the longest piece allowed, the middle of the quietest stretch is taken.
In speech that is a pause; where nobody pauses for so long, it is at least no loud syllable.
"""

from __future__ import annotations

import numpy as np

LONGEST = 20.0  # seconds of a piece, at most
STRETCH = 0.3  # seconds of the stretch whose energy counts
HOP = 0.01  # seconds


def cuts(samples: np.ndarray, rate: int, longest: float = LONGEST) -> list[tuple[int, int]]:
    """The pieces of a recording: first sample, and the one behind the last; together they are all of it.

    Args:
        samples: (n,) of any scale.
        rate: Hz.
        longest: seconds of a piece, at most.
    """
    room, hop = int(longest * rate), max(1, int(HOP * rate))
    pieces: list[tuple[int, int]] = []
    start = 0
    if len(samples) > room:
        loud = loudness(samples, hop, max(1, round(STRETCH / HOP)))  # (n / hop,)
        while len(samples) - start > room:
            first, last = (start + room // 2) // hop, (start + room) // hop
            quietest = first + int(loud[first:last].argmin())
            cut = min(start + room, max(start + 1, quietest * hop))
            pieces.append((start, cut))
            start = cut
    return [*pieces, (start, len(samples))]


def loudness(samples: np.ndarray, hop: int, width: int) -> np.ndarray:
    """The energy of the stretch of `width` hops around each hop: (n / hop,)."""
    whole = samples[: len(samples) // hop * hop].astype(np.float64).reshape(-1, hop)  # (n / hop, hop)
    energy = whole.var(axis=1)  # (n / hop,) without an offset
    padded = np.pad(energy, (width // 2, width - 1 - width // 2), mode="edge")
    sums = np.cumsum(np.concatenate(([0.0], padded)))
    return sums[width:] - sums[:-width]
