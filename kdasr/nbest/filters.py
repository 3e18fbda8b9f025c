"""Which hypotheses should not be trained on, and why: pure functions.

Teachers loop, stop early, and are wrong; what can be seen of that without a reference (length against the audio,
repeated words) is looked for always, what needs one (word error rate, length) where it is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kdasr.files import columns
from kdasr.nbest.select import Reference

# ESPnet's CTC scorer gives -1e10 for probability zero; such hypotheses fill the lists of very short utterances.
IMPOSSIBLE = -1e8


class Limits(NamedTuple):
    """What a hypothesis may be like."""

    max_repeat: int = 4  # a sequence of words this often in a row is a loop
    min_frames: float = 4.0  # input frames a token
    max_frames: float = 0.0  # input frames a token; 0: no limit
    max_wer: float | None = None  # percent; None: no limit
    length_ratio: float = 0.0  # tokens against the reference's; 0: no limit
    soft: bool = False  # whether it needs a soft target for <eos>


def fault(hypothesis: dict[str, Any], frames: int, limits: Limits, reference: Reference | None = None) -> str | None:
    """Why a hypothesis should not be trained on, in words that follow "left out 3 ...", or None.

    Args:
        hypothesis: of an N-best record; with "errors", its word errors, where there is a reference.
        frames: input frames of its utterance.
        limits: what is allowed; those on max_wer and length_ratio hold where there is a reference.
        reference: of its utterance.
    """
    size, words = len(hypothesis["tokens"]), columns(hypothesis["text"])
    if not size or not words:
        return "empty"
    if hypothesis["score"] < IMPOSSIBLE:
        return "impossible to CTC"
    if frames < limits.min_frames * size:
        return "too long for its audio"
    if limits.max_frames and frames > limits.max_frames * size:
        return "too short for its audio"
    if repeats(words) >= limits.max_repeat:
        return "looping"
    if reference is not None:
        # Gandhi et al. 2023 (Distil-Whisper): 10 % was their best limit
        wer = 100 * hypothesis["errors"] / max(reference.words, 1)
        if limits.max_wer is not None and wer > limits.max_wer:
            return f"with a WER over {limits.max_wer:g} %"
        longer, shorter = max(size, len(reference.tokens)), min(size, len(reference.tokens))
        if limits.length_ratio and longer > limits.length_ratio * shorter:
            return f"over {limits.length_ratio:g} times longer or shorter than the reference"
    if limits.soft and hypothesis["ended"] != "eos":
        return "without a soft target for its end"
    return None


def repeats(words: Sequence[str], longest: int = 4) -> int:
    """How often a sequence of up to `longest` words stands in a row, at most: "a b a b c" has 2."""
    most = 1 if words else 0
    for size in range(1, longest + 1):
        run = 1
        for start in range(size, len(words) - size + 1):
            # run counts matches at a distance of `size`; size matches in a row are one repetition more
            run = run + 1 if words[start : start + size] == words[start - size : start] else 1
            most = max(most, 1 + (run - 1 + size - 1) // size) if run > 1 else most
    return most
