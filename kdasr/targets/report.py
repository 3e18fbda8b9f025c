"""What became of the hypotheses that `kdasr targets` read, and how right the targets are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdasr.targets import truth
from kdasr.targets.select import Reference, Selection, Target


@dataclass
class Tally:
    """How many targets there are, and what became of the hypotheses that were read."""

    utterances: int = 0  # with targets
    targets: int = 0
    best: float = 0.0  # sum of the weights of each utterance's best target
    hypotheses: int = 0
    light: int = 0  # passed the filters, and had too little weight
    dropped: Counter[str] = field(default_factory=Counter)  # reason: hypotheses
    examples: dict[str, str] = field(default_factory=dict)  # reason: one of them
    without: list[str] = field(default_factory=list)  # utterances with no target
    alone: list[str] = field(default_factory=list)  # mix: utterances that train on the reference alone
    unreferenced: list[str] = field(default_factory=list)  # utterances that lack the reference they need
    heard: list[truth.Heard] = field(default_factory=list)  # what became of each utterance, where the truth is known
    errors: dict[str, float] = field(default_factory=lambda: defaultdict(int))  # sums, made by `add_errors`

    def choose(self, targets: Sequence[Target]) -> None:
        """Count the targets of an utterance."""
        self.utterances += 1
        self.targets += len(targets)
        self.best += max(target.weight for target in targets)

    def leave_out(self, reason: str, key: str, text: str, other: str | None = None) -> None:
        """Note a hypothesis that is not trained on; `other` is what another system has instead."""
        if other:
            text = f"{text[:40]} (the other: {other[:40]})"
        self.dropped[reason] += 1
        self.examples.setdefault(reason, f"{key}: {text[:80]}")

    def add_errors(
        self, hyps: Sequence[Mapping[str, Any]], targets: Sequence[Target], reference: Reference, k: int
    ) -> None:
        """Add an utterance's word errors: of the teacher's best, of the best among k, and of its targets by weight.

        Args:
            hyps: all hypotheses of its record, with "errors".
            targets: what was chosen of them, none perhaps.
            reference: its reference.
            k: how many of the hypotheses the selection takes into account.
        """
        errors = [hyp["errors"] for hyp in hyps]
        sums = {"utterances": 1, "words": reference.words, "best": errors[0], "oracle": min(errors[:k])}
        if targets:
            weighted = sum(target.weight * errors[target.place] for target in targets if target.place >= 0)
            sums |= {"with targets": 1, "words of targets": reference.words, "targets": weighted}
        for name, value in sums.items():
            self.errors[name] += value

    def summary(self, how: Selection, against: bool) -> dict[str, Any]:
        """What targets.json holds and `lines` prints; `against`: whether there were texts to measure against."""
        summary: dict[str, Any] = {
            "utterances": self.utterances,
            "hypotheses_read": self.hypotheses,
            "targets": self.targets,
            "mean_best_weight": round(self.best / self.utterances, 4),
            "dropped": dict(self.dropped),
            "of_low_weight": self.light,
            "examples": self.examples,
            "utterances_without_target": self.without,
            "reference_alone": self.alone,
            "unreferenced": self.unreferenced,
        }
        if against:
            summary["measured"] = measured(self.errors)
            summary["warning"] = warning(summary["measured"], how)
        return summary


def measured(errors: Mapping[str, float]) -> dict[str, Any]:
    """Word error rates in percent, out of the sums that `Tally.add_errors` makes.

    Returns:
        {"utterances": with a reference and hypotheses, "words": of their references, "wer_1best": the teacher's,
        "wer_oracle": of the best among k, "with_targets": utterances with targets, "wer_targets": theirs by weight}.
    """

    def rate(part: str, whole: str) -> float:
        return round(100 * errors[part] / errors[whole], 2) if errors[whole] else 0.0

    return {
        "utterances": errors["utterances"],
        "words": errors["words"],
        "wer_1best": rate("best", "words"),
        "wer_oracle": rate("oracle", "words"),
        "with_targets": errors["with targets"],
        "wer_targets": rate("targets", "words of targets"),
    }


def warning(measured: Mapping[str, Any], how: Selection) -> str:
    """What to say of equal weights that make the targets clearly worse than the teacher's best, or nothing."""
    best, targets = measured["wer_1best"], measured["wer_targets"]
    if how.select != "topk" or how.k == 1 or targets <= best + 1 or targets <= 2 * best:
        return ""
    return (
        f"equal weights teach {targets:.1f} % of words wrongly, the teacher's best alone {best:.1f} %: a teacher that "
        f"knows audio well, above all what it was trained on, gives one right hypothesis and {how.k - 1} wrong ones;\n"
        "  remedies: --select posterior with --temperature, untranscribed audio, or hypotheses of a teacher that "
        "did not hear the audio (run.sh's student crossfit, kdasr data folds)"
    )


def lines(out: Path, summary: Mapping[str, Any], how: Selection, unreferenced: str) -> list[str]:
    """The report of a run.

    Args:
        out: the targets directory.
        summary: of `Tally.summary`.
        how: the selection.
        unreferenced: what became of utterances that lack a reference, "drop" or "posterior".
    """
    light, without, alone = summary["of_low_weight"], summary["utterances_without_target"], summary["reference_alone"]
    report = [
        f"{out}: {summary['targets']} targets for {summary['utterances']} utterances, "
        f"best one's mean weight {summary['mean_best_weight']:.3f}"
        + (f"; {light} of low weight left out" if light else "")
    ]
    for reason, count in sorted(summary["dropped"].items()):
        report.append(f"  left out {count} {reason}, as {summary['examples'][reason]}")
    if without:
        report.append(f"  {len(without)} utterances have no target left, as {without[0]}")
    if alone:
        report.append(f"  {len(alone)} utterances have no hypothesis left, and train on their reference, as {alone[0]}")
    if missing := summary["unreferenced"]:
        fate = "were left out" if unreferenced == "drop" else "have targets without one"
        report.append(f"  {len(missing)} utterances without a reference {fate}, as {missing[0]}")
    if "measured" in summary:
        rates = summary["measured"]
        report.append(
            f"  WER on {rates['utterances']} utterances with references: teacher's best {rates['wer_1best']:.2f} %, "
            f"nearest of {how.k} {rates['wer_oracle']:.2f} %, targets by weight {rates['wer_targets']:.2f} %"
            if rates["utterances"]
            else "  no utterance of the archives has a reference in --against: errors were not measured"
        )
        if summary["warning"]:
            report.append(f"  warning: {summary['warning']}")
    return report + (truth.lines(summary["truth"]) if "truth" in summary else [])
