"""One set: scored, what came of it printed, and compared with other systems' scores of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kdasr.files import write_json
from kdasr.score.rules import Rules
from kdasr.score.score import score


def score_set(
    ref: str | Path,
    hyp: str | Path,
    utt2spk: str | Path | None,
    directory: str | Path,
    rules: Rules,
    check: bool,
    command: str,
    others: Sequence[str | Path],
) -> None:
    """Score, and print Kaldi's lines with the interval and the signature.

    Args:
        ref, hyp, utt2spk, directory, rules, check, command: as `kdasr.score.score.score` takes them.
        others: directories of other systems' scores of this set; the comparisons stand in against.json, too.

    Raises:
        UserError: what `score` and `against` raise.
    """
    result = score(ref, hyp, utt2spk, directory, rules, check, command)
    low, high = result["interval95"]
    print((Path(directory) / rules.name).read_text(encoding="utf-8"), end="")
    print(f"95 % interval {low:.2f} to {high:.2f}, bootstrap over utterances")
    print(f"Levenshtein (jiwer) {result['jiwer']:.2f}")
    print(result["signature"])
    _compare(directory, others)


def score_translations(
    ref: str | Path,
    hyp: str | Path,
    src: str | Path | None,
    directory: str | Path,
    command: str,
    others: Sequence[str | Path],
) -> None:
    """Score translations, and print BLEU, chrF and TER with the interval and the signatures.

    Args:
        ref, hyp, src, directory, command: as `kdasr.score.bleu.score` takes them.
        others: directories of other systems' scores of this set; the comparisons stand in against.json, too.

    Raises:
        UserError: what `score` and `against` raise.
    """
    from kdasr.score import bleu  # here: scores of recognisers start without sacrebleu

    print(bleu.told(bleu.score(ref, hyp, src, directory, command)), end="")
    _compare(directory, others)


def _compare(directory: str | Path, others: Sequence[str | Path]) -> None:
    """Print the comparisons with other scores, and write against.json."""
    if not others:
        return
    from kdasr.score.against import against, told  # here, for the same reason

    compared = [against(directory, other) for other in others]
    write_json(Path(directory) / "against.json", {"compared": compared})
    print("".join(told(one) for one in compared), end="")
