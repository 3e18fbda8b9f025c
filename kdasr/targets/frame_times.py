"""When a model's encoded frames are, and which frame of a teacher belongs to a frame of its student.

A student that learns from its teacher's CTC branch (`ctc_word_weight`) takes, for each of its encoded frames, the frame
of the teacher that is nearest in time. The time of a frame is the centre of the audio under the windows that made it;
attention and recurrence, which look everywhere, do not move it.

From samples to encoded frames, each layer slides a window over what the layer before gave: the front end, then
convolutions, pooling, or taking every n-th frame. So frames are evenly spaced, frame i at

    time(i) = first + i * step

Sample i lasts from i to i + 1, so samples have first = 1/2 and step = 1. A layer with a window of k inputs, which
moves by s inputs and starts p inputs before the first one (padding), makes of them

    first + ((k - 1) / 2 - p) * step    and    s * step

Frame i of the student takes the frame j of the teacher with the smallest |time_teacher(j) - time_student(i)|, of two
that are equally near the earlier one:

    j = ceil((time_student(i) - first_teacher) / step_teacher - 1/2), at least 0 and at most the teacher's last frame

Example, audio at 16 kHz. Kaldi's filterbank (k = 400, s = 160, p = 0) has a frame every 160 samples from sample 200;
two convolutions (k = 3, s = 2, p = 0) make of it one every 640 samples (40 ms) from sample 680 (42.5 ms). An STFT that
is padded (k = 512, s = 160, p = 256) and the same convolutions: every 640 samples from sample 480 (30 ms). Frame i of
one belongs to frame i of the other, and the STFT may have one frame more at the end, which belongs to none.

This module reads configurations alone, no network: the recipe asks it before anything runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.models import sampling_rate
from kdasr.s2t import is_s2t

Number = TypeVar("Number")  # int, or a torch tensor of whole numbers
# How a manifest of `kdasr feats` describes its window (kdasr.data.front_ends).
WINDOW = re.compile(r"([0-9]+) ms \w+ window, ([0-9]+) ms shift")


class NotKnown(UserError):
    """A configuration does not tell when the frames of its network are."""

    def __init__(self, part: str) -> None:
        super().__init__(f"kdasr does not know when the frames of {part} are")


class Layer(NamedTuple):
    """A window that slides over frames."""

    kernel: int  # k, frames
    stride: int  # s, frames
    padding: int = 0  # p, frames in front of the first one


class FrameTimes(NamedTuple):
    """When frames are: frame i at first + i * step."""

    first: float  # samples: the centre of the first frame
    step: float  # samples from a frame to the next
    rate: int  # samples a second; 0: first and step count frames of features whose window is not known

    def time(self, frame: Any) -> Any:
        """The time of a frame, or of a tensor of frames: in seconds, or in frames of features where rate is 0."""
        return (self.first + frame * self.step) / (self.rate or 1)

    def __str__(self) -> str:
        if not self.rate:
            return f"every {self.step:g} frames of the features from frame {self.first:g}"
        return f"every {1000 * self.step / self.rate:g} ms from {1000 * self.first / self.rate:g} ms"


SAMPLES = (0.5, 1.0)  # first and step
STRIDED = Layer(3, 2)
# ESPnet's layers before the first block of a transformer or a like encoder (espnet.nets...transformer.subsampling).
INPUT_LAYERS = {
    None: (),
    "linear": (),
    "conv1d1": (Layer(3, 1), Layer(3, 1)),
    "conv1d2": (Layer(3, 1), STRIDED),
    "conv1d3": (Layer(3, 1), Layer(5, 3)),
    "conv2d": (STRIDED, STRIDED),
    "conv2d1": (Layer(3, 1), Layer(3, 1)),
    "conv2d2": (STRIDED, Layer(3, 1)),
    "conv2d6": (STRIDED, Layer(5, 3)),
    "conv2d8": (STRIDED, STRIDED, STRIDED),
}
ATTENTIVE = (
    *("transformer", "conformer", "branchformer", "e_branchformer", "multiconv_conformer"),
    *("contextual_block_transformer", "contextual_block_conformer"),
)
# What decides when a network's frames are.
DECIDES = ("frontend", "preencoder", "encoder", "postencoder")


def of_features(made: Mapping[str, Any]) -> FrameTimes:
    """When the frames of features are.

    Args:
        made: what `kdasr.data.made.made_as` says of them; empty for features that kdasr did not make.
    """
    window = WINDOW.search(str(made.get("features")))
    rate = made.get("rate")
    if not window or type(rate) is not int:
        return FrameTimes(0.0, 1.0, 0)
    samples = [int(rate * (int(ms) / 1000)) for ms in window.groups()]  # cut off, as the front ends do
    return _after([Layer(*samples)], FrameTimes(*SAMPLES, rate))


def of_model(config: Mapping[str, Any], features: FrameTimes) -> FrameTimes:
    """When a model's encoded frames are.

    Args:
        config: its config.yaml, or the configuration that it is to be trained with.
        features: when the frames of its features are, if it takes features.

    Raises:
        NotKnown: the configuration does not tell.
    """
    if config.get("preencoder") not in (None, "linear", "sinc"):
        raise NotKnown(f"preencoder {config['preencoder']}")
    if config.get("postencoder") is not None:
        raise NotKnown(f"postencoder {config['postencoder']}")
    return _after(_encoder(config), _front_end(config) if takes_audio(config) else features)


def takes_audio(config: Mapping[str, Any]) -> bool:
    """Whether a configuration has a front end of its own, which reads audio."""
    return config.get("frontend") is not None and config.get("input_size") is None


def has_ctc(config: Mapping[str, Any]) -> bool:
    """Whether a configuration has a CTC branch (ESPnet's ctc_weight is 0.5 where none is given)."""
    return _conf(config, "model").get("ctc_weight", 0.5) != 0


def check_pair(teacher: Mapping[str, Any], student: Mapping[str, Any], features: FrameTimes) -> None:
    """UserError if a student cannot learn from its teacher's CTC frames; told before either of them is trained.

    Args:
        teacher, student: their configurations.
        features: as for `of_model`, for whichever takes features.
    """
    if not has_ctc(teacher):
        raise UserError("the teacher has no CTC branch (model_conf: ctc_weight 0)")
    # of equal networks the frames are the same ones, whenever they are
    parts = [key for name in DECIDES for key in (name, f"{name}_conf")]
    equal = takes_audio(teacher) == takes_audio(student) and all(teacher.get(key) == student.get(key) for key in parts)
    if equal and not is_s2t(teacher):  # of these it has to be known which are of the audio, not the silence behind it
        return
    for config in (teacher, student):
        of_model(config, features)


def of_teachers(configs: Mapping[str, Mapping[str, Any]], features: FrameTimes) -> FrameTimes:
    """When the encoded frames of teachers are, whose distributions are averaged frame by frame.

    Args:
        configs: their configurations, by directory.
        features: as for `of_model`.

    Raises:
        UserError: one has no CTC branch, or frames at other times than the first.
        NotKnown: the configurations do not tell.
    """
    for directory, config in configs.items():
        if not has_ctc(config):
            raise UserError(
                f"{directory}: has no CTC branch (ctc_weight 0), so no CTC frames to learn from; name another teacher, "
                "or set ctc_word_weight to 0 (kdasr soft: leave out --ctc)"
            )
    times = {directory: of_model(config, features) for directory, config in configs.items()}
    first = next(iter(times))
    for directory, other in times.items():
        if other != times[first]:
            raise UserError(
                f"{directory}: has frames {other}, {first} {times[first]}; CTC frames are averaged of teachers with "
                "frames at the same times, so name one of them"
            )
    return times[first]


def stored(targets: str | Path) -> FrameTimes | None:
    """When the frames of a targets directory's ctc.ark are; None if `kdasr soft` of an older version made it."""
    path = Path(targets) / "soft.json"
    told = read_json(path).get("frames") if path.is_file() else None
    if told is None:
        return None
    values = [told.get(name) if isinstance(told, dict) else None for name in FrameTimes._fields]
    if not right(values):
        raise UserError(f"{path}: frames is {told!r}, expected first, step and rate; make it again (kdasr soft --ctc)")
    return FrameTimes(*values)


def right(values: Sequence[Any]) -> bool:
    """Whether these are first, step and rate."""
    numbers = len(values) == 3 and all(type(value) in (int, float) and math.isfinite(value) for value in values)
    return numbers and values[1] > 0 and values[2] >= 0


def check_comparable(teacher: FrameTimes, student: FrameTimes) -> None:
    """UserError if the times of only one of the two are known in seconds."""
    if bool(teacher.rate) != bool(student.rate):
        who = "student" if teacher.rate else "teacher"
        raise UserError(
            f"ctc_word_weight: the {who} reads features that kdasr feats did not make, so when its frames are is not "
            "known; make them with kdasr feats, or set ctc_word_weight to 0"
        )


def nearest(teacher: FrameTimes, student: FrameTimes, frame: Number) -> Number:
    """The teacher's frame that is nearest to a frame of the student, of two the earlier one; it may lie outside.

    Args:
        teacher, student: when their frames are.
        frame: of the student: a number, or a tensor of whole numbers.

    >>> nearest(FrameTimes(480, 640, 16000), FrameTimes(680, 640, 16000), 57)
    57
    >>> [nearest(FrameTimes(680, 640, 16000), FrameTimes(680, 320, 16000), i) for i in range(5)]
    [0, 0, 1, 1, 2]
    """
    first, step, other_first, other_step = (
        Fraction(value) / Fraction(times.rate or 1)
        for times in (student, teacher)
        for value in (times.first, times.step)
    )
    start, slope = (first - other_first) / other_step - Fraction(1, 2), step / other_step
    divisor = start.denominator * slope.denominator
    # whole numbers alone, so that a tie is a tie; -(-a // b) is a / b rounded up
    return -(-(frame * int(slope * divisor) + int(start * divisor)) // divisor)  # type: ignore[operator]


def far_apart(teacher: FrameTimes, student: FrameTimes, teacher_last: Any, student_last: Any) -> Any:
    """Whether last frames are further apart in time than the edges of windows and a batch's padding explain.

    Args:
        teacher, student: when their frames are.
        teacher_last, student_last: numbers of their last frames, or tensors of them.
    """
    edges = teacher.time(0) + student.time(0) + max(times.step / (times.rate or 1) for times in (teacher, student))
    return abs(teacher.time(teacher_last) - student.time(student_last)) > edges + 1e-6


def _after(layers: Sequence[Layer], times: FrameTimes) -> FrameTimes:
    """When frames are that layers make of others."""
    first, step = times.first, times.step
    for layer in layers:
        first += ((layer.kernel - 1) / 2 - layer.padding) * step
        step *= layer.stride
    return FrameTimes(first, step, times.rate)


def _front_end(config: Mapping[str, Any]) -> FrameTimes:
    """When the frames of a front end that reads audio are."""
    kind, conf = config["frontend"], _conf(config, "frontend")
    if kind == "default" and conf.get("apply_stft", True):
        window, hop = _whole(conf, "frontend_conf", "n_fft", 512), _whole(conf, "frontend_conf", "hop_length", 128)
        layer = Layer(window, hop, window // 2 if conf.get("center", True) else 0)
    elif kind == "sliding_window":
        window, hop = _whole(conf, "frontend_conf", "win_length", 400), _whole(conf, "frontend_conf", "hop_length", 160)
        layer = Layer(window, hop)
    else:
        raise NotKnown(f"frontend {kind}")
    return _after([layer], FrameTimes(*SAMPLES, sampling_rate(conf, "the configuration")))


def _encoder(config: Mapping[str, Any]) -> Sequence[Layer]:
    """The layers of an encoder that change the number of frames."""
    kind, conf = config.get("encoder") or "rnn", _conf(config, "encoder")  # ESPnet's default
    if kind in ATTENTIVE and not conf.get("ctc_trim"):
        layer = conf.get("input_layer", "conv2d")
        if isinstance(layer, str | None) and layer in INPUT_LAYERS:
            return INPUT_LAYERS[layer]
        raise NotKnown(f"encoder {kind} with input_layer {layer}")
    if kind == "conv_rnn":
        return [Layer(3, stride, 1) for stride in _factors(conf, "time_strides", (2, 2))]
    if kind == "munim_rnn":
        return [Layer(5, 2), Layer(5, 2)]
    if kind == "vgg_rnn":  # convolutions that keep the number of frames, and pooling, twice
        return [Layer(2, 2), Layer(2, 2)]
    if kind == "rnn":
        factors = _factors(conf, "subsample", (2, 2, 1, 1)) if conf.get("use_projection", True) else []
        return [Layer(1, factor) for factor in factors[: _whole(conf, "encoder_conf", "num_layers", 4)]]
    trimmed = " with ctc_trim" if conf.get("ctc_trim") else ""
    raise NotKnown(f"encoder {kind}{trimmed}")


def _conf(config: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    """The settings of a part of a configuration."""
    conf = config.get(f"{part}_conf") or {}
    if not isinstance(conf, Mapping):
        raise NotKnown(f"{part}_conf {conf!r}")
    return conf


def _whole(conf: Mapping[str, Any], inside: str, name: str, usual: int) -> int:
    """A whole number above 0 of a configuration."""
    value = conf.get(name, usual)
    if type(value) is not int or value < 1:
        raise NotKnown(f"{inside} with {name} {value!r}")
    return value


def _factors(conf: Mapping[str, Any], name: str, usual: Sequence[int]) -> list[int]:
    """Whole numbers above 0 of an encoder's configuration; none where it has None."""
    values = conf.get(name, usual)
    if values is not None and not isinstance(values, list | tuple):
        raise NotKnown(f"encoder_conf with {name} {values!r}")
    return [_whole({name: value}, "encoder_conf", name, 1) for value in values or ()]
