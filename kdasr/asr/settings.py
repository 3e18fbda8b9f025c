"""`kd_conf`: how a student learns, one key of its config.yaml, which stock ESPnet ignores."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from kdasr.errors import UserError
from kdasr.losses import COSTS, DIVERGENCES, MEANS
from kdasr.targets import frame_times

# what `kdasr targets` and `kdasr soft` write, as training reads it
INPUTS = ("kd_hyps", "kd_hyp_lens", "kd_weights", "kd_soft", "kd_ctc")
TEACHERS_INPUT = "kd_speech"  # what teachers beside a student read, if that is not what the student reads
# What a student learns: what people wrote of the transcribed audio, or of all; hypotheses of the transcribed audio, by
# its teacher or by teachers that did not hear that part; or references where there are some and hypotheses elsewhere;
# or hypotheses of all audio.
LEARNS_FROM = ("references", "hypotheses", "crossfit", "pseudo_labels", "all_references", "all_hypotheses")
OF_CTC = ("ctc_word_weight", "inter_weight", "cr_weight")  # weights of losses of the CTC branch


@dataclass(frozen=True)
class Distillation:
    """The settings, with their defaults.

    Where the hypotheses come from is not among them: they are data (`kdasr targets`).
    """

    # attention branch: (1 - word_weight) x cross entropy with the targets + word_weight x word-level loss
    word_weight: float = 0.0  # 0: targets alone; 1: the teacher's distributions alone
    temperature: float = 1.0  # of both distributions; the loss is multiplied by its square
    divergence: str = "kl"  # kl, reverse_kl, js or tv
    soft_k: int = 0  # tokens that the teacher's distribution is kept for; 0: all
    # where the distributions come from: soft targets among the data (kdasr soft), or models run beside the student
    teachers: tuple[str, ...] = ()  # model directories
    ensemble: str = "arithmetic"  # mean of their distributions: arithmetic or geometric
    ensemble_weights: tuple[float, ...] = ()  # empty: equal
    # CTC branch: (1 - ctc_word_weight) x CTC loss + ctc_word_weight x word-level loss of each encoded frame, with the
    # teacher's frame that is nearest in time
    ctc_word_weight: float = 0.0
    ctc_hyps: str = "all"  # all: every hypothesis by its weight; best: the best one alone
    # CTC branch: (1 - inter_weight) x all of that + inter_weight x its mean over middle layers of the encoder, which it
    # reads as it reads the last
    inter_weight: float = 0.0
    inter_layers: tuple[int, ...] = ()  # which, the first layer is 1; empty: the one in the middle
    # CTC branch, too: + cr_weight x how far apart two views of an utterance are, masked apart from each other; all
    # losses are then means over both views, so that an update costs twice as much
    cr_weight: float = 0.0  # alpha of CR-CTC, there 0.2
    cr_time_masks: float = 1.0  # how many times as many time masks as specaug_conf says; there 2.5
    # (1 - risk_weight) x the loss of both branches + risk_weight x the risk of the student's own N-best
    risk_weight: float = 0.0
    risk_beam: int = 4  # hypotheses of its own search, by attention alone
    risk_cost: str = "words"  # of a hypothesis: words, its word errors; bleu, 1 - its smoothed sentence BLEU
    risk_alpha: float = 1.0  # how sharp the distribution over its hypotheses is
    risk_maxlenratio: float = 0.0  # of its search, as --maxlenratio of kdasr nbest
    # pruning
    mask: str = ""  # file of kdasr prune: weights that stay zero
    # when encoded frames are: first, step and rate of kdasr.targets.frame_times.FrameTimes, which `kdasr train` finds
    # out; empty: not known, then the student needs as many frames as its teacher
    teacher_frames: tuple[float, ...] = ()
    student_frames: tuple[float, ...] = ()
    # records, for the report
    targets: str = ""
    teacher: str = ""

    @property
    def soft(self) -> bool:
        """Whether the student learns from the teacher's distributions."""
        return self.word_weight > 0 or self.ctc_word_weight > 0

    @property
    def own_loss(self) -> bool:
        """Whether a student on references needs KDModel's loss, and not ESPnet's: every term of ours is named here."""
        return self.soft or max(self.risk_weight, self.cr_weight, self.inter_weight) > 0


def read_settings(conf: Mapping[str, Any] | None) -> Distillation:
    """Settings from a config's `kd_conf`.

    Raises:
        UserError: an unknown name, or a value out of range.
    """
    given = {key: value for key, value in (conf or {}).items() if value is not None}
    known = {field.name: field for field in fields(Distillation)}
    for key, value in given.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise UserError(f"kd_conf: no setting {key!r}; expected {near[0] if near else ', '.join(known)}")
        default = known[key].default
        if isinstance(default, tuple):
            given[key] = (value,) if isinstance(value, (str, int, float)) else tuple(value)
        elif isinstance(default, float):
            given[key] = number(key, value)
        elif type(value) is not type(default):
            raise UserError(f"kd_conf: {key} is {value!r}, expected a {type(default).__name__}")
    settings = Distillation(**given)
    for name, right, expected in (
        ("word_weight", 0 <= settings.word_weight <= 1, "a share from 0 to 1"),
        ("ctc_word_weight", 0 <= settings.ctc_word_weight <= 1, "a share from 0 to 1"),
        ("temperature", settings.temperature > 0, "a number above 0"),
        ("divergence", settings.divergence in DIVERGENCES, f"one of {', '.join(DIVERGENCES)}"),
        ("soft_k", settings.soft_k >= 0, "0 (all tokens) or more"),
        ("ensemble", settings.ensemble in MEANS, " or ".join(MEANS)),
        ("inter_weight", 0 <= settings.inter_weight <= 1, "a share from 0 to 1"),
        ("inter_layers", all(type(one) is int and one > 0 for one in settings.inter_layers), "numbers from 1"),
        ("cr_weight", 0 <= settings.cr_weight < math.inf, "a number of 0 or more"),
        ("cr_time_masks", 0 < settings.cr_time_masks < math.inf, "a number above 0, as in 2.5"),
        ("risk_weight", 0 <= settings.risk_weight <= 1, "a share from 0 to 1"),
        ("risk_beam", settings.risk_beam >= 2, "2 hypotheses or more"),
        ("risk_cost", settings.risk_cost in COSTS, " or ".join(COSTS)),
        ("risk_alpha", 0 < settings.risk_alpha < math.inf, "a number above 0"),
        ("risk_maxlenratio", right_ratio(settings.risk_maxlenratio), "0, a ratio, or from -1 down a number of tokens"),
        ("ctc_hyps", settings.ctc_hyps in ("all", "best"), "all or best"),
        *(
            (name, not getattr(settings, name) or frame_times.right(getattr(settings, name)), "first, step and rate")
            for name in ("teacher_frames", "student_frames")
        ),
        ("ensemble_weights", right_weights(settings), "a weight above 0 for each of teachers, summing to 1"),
    ):
        if not right:
            raise UserError(f"kd_conf: {name} is {getattr(settings, name)!r}, expected {expected}")
    return settings


def number(key: str, value: Any) -> float:
    """A setting's number; UserError if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(f"kd_conf: {key} is {value!r}, expected a number")
    return float(value)


def right_ratio(ratio: float) -> bool:
    """Whether a search takes this as its longest output."""
    return math.isfinite(ratio) and not -1 < ratio < 0


def right_weights(settings: Distillation) -> bool:
    """Whether ensemble_weights fit its teachers."""
    weights = settings.ensemble_weights
    if not weights:
        return True
    return len(weights) == len(settings.teachers) and min(weights) > 0 and abs(sum(weights) - 1) < 1e-4
