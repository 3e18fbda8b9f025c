"""Which hypotheses should not be trained on, and why: pure functions.

Teachers loop, stop early, and make mistakes. Two signs of it need no reference and are always checked: the length
against the audio, and repeated words. Others are checked on request: without a reference a low score, attention and
CTC that differ, and another system that hears other words; with one, word error rate and length.
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
    # input frames a token, or source tokens a token of a translation; None: see `least`
    min_frames: float | None = None
    max_frames: float = 0.0  # the same; 0: no limit
    max_wer: float | None = None  # percent; None: no limit
    length_ratio: float = 0.0  # tokens against the reference's; 0: no limit
    min_token_score: float | None = None  # score / (tokens + 1), <eos> being one; None: no limit
    max_ctc_gap: float | None = None  # |decoder - ctc| / (tokens + 1), log probabilities; None: no limit
    max_disagreement: float | None = None  # percent of words, between two systems' best; None: no limit

    def least(self, reads_text: bool) -> float:
        """The fewest frames a token: as given, or four of audio and a quarter of a token of source text."""
        usual = 0.25 if reads_text else 4.0
        return usual if self.min_frames is None else self.min_frames


def check_values(how: Selection, limits: Limits, reads_text: bool = False) -> None:
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
        ("min_frames", limits.min_frames or 0, 0, large),
        ("max_wer", limits.max_wer or 0, 0, large),
        ("max_ctc_gap", limits.max_ctc_gap or 0, 0, large),
        ("max_disagreement", limits.max_disagreement or 0, 0, large),
    ):
        if not least <= value <= most:
            raise UserError(f"--{name} {value}: expected {least} {'or more' if most == large else f'to {most}'}")
    if not 0 < how.temperature < large:
        raise UserError(f"--temperature {how.temperature}: expected a number above 0")
    if not 0 <= how.beta < large:
        raise UserError(f"--beta {how.beta}: expected a number of 0 or more")
    if not -large < (limits.min_token_score or 0) < large:
        raise UserError(f"--min_token_score {limits.min_token_score}: expected a number, as in -0.5")
    least_frames = limits.least(reads_text)
    if limits.max_frames and not limits.max_frames > least_frames:
        raise UserError(
            f"--max_frames {limits.max_frames}: expected more than --min_frames {least_frames}, or 0 for off"
        )
    if limits.length_ratio and not limits.length_ratio >= 1:
        raise UserError(f"--length_ratio {limits.length_ratio}: expected 1 or more, or 0 for off")


def check_agree(agree: bool, limits: Limits) -> None:
    """UserError if another system's archives are named (`agree`) without a limit for them, or a limit without them."""
    if agree and limits.max_disagreement is None:
        raise UserError("--agree: needs a limit; name it (--max_disagreement PERCENT)")
    if not agree and limits.max_disagreement is not None:
        raise UserError("--max_disagreement: needs another system's hypotheses; name its archive (--agree)")


def fault(
    hypothesis: dict[str, Any],
    frames: int,
    limits: Limits,
    reference: Reference | None = None,
    scores: str = "sum",
    reads_text: bool = False,
) -> str | None:
    """Why a hypothesis should not be trained on, in words that follow "left out 3 ...", or None.

    Args:
        hypothesis: of an N-best record; with "errors", its word errors, where there is a reference.
        frames: input frames of its utterance, or tokens of its source text.
        limits: what is allowed; max_wer and length_ratio hold where there is a reference, max_ctc_gap needs the
            scores "decoder" and "ctc"; `disagreement` is asked about max_disagreement.
        reference: of its utterance.
        scores: what a score is, the "sum" over tokens or their "mean".
        reads_text: whether it is a translation.
    """
    size, words = len(hypothesis["tokens"]), columns(hypothesis["text"])
    if not size or not words:
        return "empty"
    if hypothesis["score"] < IMPOSSIBLE:
        return "impossible to CTC"
    heard = "source" if reads_text else "audio"
    if frames < limits.least(reads_text) * size:
        return f"too long for its {heard}"
    if limits.max_frames and frames > limits.max_frames * size:
        return f"too short for its {heard}"
    if repeats(words) >= limits.max_repeat:
        return "looping"
    if limits.min_token_score is not None:
        token_score = hypothesis["score"] / (1 if scores == "mean" else size + 1)
        if token_score < limits.min_token_score:
            return f"with a score a token under {limits.min_token_score:g}"
    if limits.max_ctc_gap is not None:
        parts = hypothesis["scores"]
        if abs(parts["decoder"] - parts["ctc"]) > limits.max_ctc_gap * (size + 1):
            return f"whose attention and CTC scores differ by over {limits.max_ctc_gap:g} a token"
    if reference is not None:
        # Gandhi et al. 2023 (Distil-Whisper): 10 % was their best limit
        wer = 100 * hypothesis["errors"] / max(reference.words, 1)
        if limits.max_wer is not None and wer > limits.max_wer:
            return f"with a WER over {limits.max_wer:g} %"
        longer, shorter = max(size, len(reference.tokens)), min(size, len(reference.tokens))
        if limits.length_ratio and longer > limits.length_ratio * shorter:
            return f"over {limits.length_ratio:g} times longer or shorter than the reference"
    return None


def disagreement(errors: int | None, words: int, limits: Limits) -> str | None:
    """Why no hypothesis of an utterance should be trained on, as another system hears it otherwise, or None.

    Args:
        errors: word errors of our best hypothesis against the other system's; None: it has none for the utterance.
        words: of the other system's; none count as one.
        limits: what is allowed.
    """
    if limits.max_disagreement is None:
        return None
    if errors is None:
        return "that the other system has no hypothesis for"
    if 100 * errors / max(words, 1) > limits.max_disagreement:
        return f"where the other system has over {limits.max_disagreement:g} % other words"
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
