"""Which hypotheses should not be trained on, and why: pure functions.

Teachers loop, stop early, and make mistakes. Two signs of it need no reference and are always checked: the length
against the audio, and repeated words. Word error rate and length against a reference are checked on request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kdasr.errors import UserError
from kdasr.files import columns
from kdasr.targets.select import SELECTIONS, SIMILARITIES, Reference, Selection

# ESPnet's CTC scorer gives -1e10 for probability zero; such hypotheses fill the lists of very short utterances.
IMPOSSIBLE = -1e8


class Limits(NamedTuple):
    """What a hypothesis may be like."""

    max_repeat: int = 4  # a sequence of words this often in a row is a loop
    min_frames: float = 4.0  # input frames a token
    max_frames: float = 0.0  # input frames a token; 0: no limit
    max_wer: float | None = None  # percent; None: no limit
    length_ratio: float = 0.0  # tokens against the reference's; 0: no limit


def check_values(how: Selection, limits: Limits) -> None:
    """UserError for the first value of a selection and its filters that is out of range."""
    for name, word, known in (("select", how.select, SELECTIONS), ("similarity", how.similarity, SIMILARITIES)):
        if word not in known:
            raise UserError(f"--{name} {word}: expected one of {', '.join(known)}")
    large = float("inf")
    for name, value, least, most in (
        ("k", how.k, 1, large),
        ("min_weight", how.min_weight, 0, 1),
        ("ref_weight", how.ref_weight, 0, 1),
        ("max_repeat", limits.max_repeat, 2, large),
        ("min_frames", limits.min_frames, 0, large),
        ("max_wer", limits.max_wer or 0, 0, large),
    ):
        if not least <= value <= most:
            raise UserError(f"--{name} {value}: expected {least} {'or more' if most == large else f'to {most}'}")
    if not 0 < how.temperature < large:
        raise UserError(f"--temperature {how.temperature}: expected a number above 0")
    if not 0 <= how.beta < large:
        raise UserError(f"--beta {how.beta}: expected a number of 0 or more")
    if limits.max_frames and not limits.max_frames > limits.min_frames:
        raise UserError(
            f"--max_frames {limits.max_frames}: expected more than --min_frames {limits.min_frames}, or 0 for off"
        )
    if limits.length_ratio and not limits.length_ratio >= 1:
        raise UserError(f"--length_ratio {limits.length_ratio}: expected 1 or more, or 0 for off")


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
    return None


def repeats(words: Sequence[str], longest: int = 4) -> int:
    """How many times in a row a sequence of up to `longest` words is repeated, at most: "a b a b c" has 2."""
    most = 1 if words else 0
    for size in range(1, longest + 1):
        run = 1
        for start in range(size, len(words) - size + 1):
            # run counts matches at a distance of `size`; size matches in a row are one repetition more
            run = run + 1 if words[start : start + size] == words[start - size : start] else 1
            most = max(most, 1 + (run - 1 + size - 1) // size) if run > 1 else most
    return most
