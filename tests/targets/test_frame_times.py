"""When encoded frames are: computed by hand, and against what networks read and give."""

import argparse
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.data.front_ends import FrontEnd
from kdasr.errors import UserError
from kdasr.files import write_json
from kdasr.networks.load import register
from kdasr.targets.frame_times import (
    INPUT_LAYERS,
    FrameTimes,
    NotKnown,
    check_comparable,
    check_pair,
    far_apart,
    nearest,
    of_features,
    of_model,
    of_teachers,
    stored,
)

FRAMES = FrameTimes(0.0, 1.0, 0)  # of features, whenever they are
ATTENTION = {"output_size": 8, "attention_heads": 2, "linear_units": 8, "num_blocks": 1}
BRANCHES = {"output_size": 8, "attention_heads": 2, "cgmlp_linear_units": 8, "num_blocks": 1}
AUDIO = {"frontend": "default", "frontend_conf": {"n_fft": 512, "hop_length": 160}, "input_size": None}


def made(kind="fbank", rate=16000):
    """What a manifest says of features."""
    return {"features": FrontEnd(kind, 80).described(rate), "rate": rate}


def attentive(input_layer="conv2d", encoder="conformer", **more):
    return {"encoder": encoder, "encoder_conf": {**ATTENTION, "input_layer": input_layer}, **more}


FBANK = of_features(made())
CONV_RNN = {"encoder": "conv_rnn", "encoder_conf": {"hidden_size": 8, "num_layers": 1, "conv_channels": 2}}
VGG = {"encoder": "vgg_rnn", "encoder_conf": {"num_layers": 1, "hidden_size": 8, "output_size": 8}}
RNN = {"encoder": "rnn", "encoder_conf": {"num_layers": 3, "hidden_size": 8, "output_size": 8, "subsample": [1, 2, 3]}}
MUNIM = {"encoder": "munim_rnn", "encoder_conf": {"hidden_size": 8, "num_layers": 1}}


@pytest.mark.parametrize(
    ("kind", "rate", "first", "step"),
    [
        ("fbank", 16000, 200, 160),
        ("fbank", 8000, 100, 80),
        ("fbank", 22050, 275.5, 220),
        ("spectrogram", 16000, 160, 160),
    ],
)
def test_features(kind, rate, first, step):
    """Whole windows from the first sample: a centre is half a window behind its start; 22050 Hz has 551 samples."""
    assert of_features(made(kind, rate)) == FrameTimes(first, step, rate)


def test_features_that_kdasr_did_not_make_are_counted_in_frames():
    assert of_features({}) == of_features({"features": "MFCC", "rate": 8000}) == FRAMES
    assert of_model(attentive(), FRAMES) == FrameTimes(3.0, 4.0, 0)
    check_comparable(FRAMES, FRAMES)
    check_comparable(FBANK, FBANK)
    for pair, who in (((FRAMES, FBANK), "teacher"), ((FBANK, FRAMES), "student")):
        with pytest.raises(UserError, match=f"the {who} reads features that kdasr feats did not make"):
            check_comparable(*pair)


@pytest.mark.parametrize(
    ("front_end", "first", "step", "rate"),
    [
        ({}, 0, 128, 16000),  # padded by half a window, so that frame 0 has its centre before sample 0
        ({"n_fft": 400, "hop_length": 160, "fs": "8k"}, 0, 160, 8000),
        ({"n_fft": 400, "hop_length": 100, "win_length": 300, "center": False}, 200, 100, 16000),
    ],
)
def test_an_stft(front_end, first, step, rate):
    config = attentive("linear", frontend="default", frontend_conf=front_end, input_size=None)
    assert of_model(config, FRAMES) == FrameTimes(first, step, rate)


def test_a_sliding_window():
    config = attentive(None, frontend="sliding_window", preencoder="sinc", input_size=None)
    assert of_model(config, FRAMES) == FrameTimes(200, 160, 16000)


def test_a_configuration_with_a_number_of_bins_takes_features():
    """ESPnet leaves `frontend: default` there, and does not use it."""
    assert of_model({**attentive(), **AUDIO, "input_size": 80}, FBANK) == FrameTimes(680, 640, 16000)


# First and step in input frames, by hand: 4-fold conv2d has 3 frames on either side, 1 + 2.
ENCODERS = {
    "none": (attentive(None), 0, 1),
    "conv2d": (attentive(), 3, 4),
    "conv2d1": (attentive("conv2d1"), 2, 1),
    "conv2d2": (attentive("conv2d2"), 3, 2),
    "conv2d6": (attentive("conv2d6"), 5, 6),
    "conv2d8": (attentive("conv2d8"), 7, 8),
    "transformer": (attentive("conv2d", "transformer"), 3, 4),
    "transformer conv1d2": (attentive("conv1d2", "transformer"), 2, 2),
    "e_branchformer": (attentive("conv2d", "e_branchformer"), 3, 4),
    "e_branchformer conv1d1": (attentive("conv1d1", "e_branchformer"), 2, 1),
    "e_branchformer conv1d3": (attentive("conv1d3", "e_branchformer"), 3, 3),
    "branchformer": ({"encoder": "branchformer", "encoder_conf": BRANCHES}, 3, 4),
    "multiconv_conformer": ({"encoder": "multiconv_conformer", "encoder_conf": ATTENTION}, 3, 4),
    "contextual_block_transformer": (attentive("conv2d", "contextual_block_transformer"), 3, 4),
    "contextual_block_conformer": (attentive("conv2d6", "contextual_block_conformer"), 5, 6),
    "conv_rnn": (CONV_RNN, 0, 4),
    "conv_rnn 3": (CONV_RNN | {"encoder_conf": CONV_RNN["encoder_conf"] | {"time_strides": [3, 1]}}, 0, 3),
    "munim_rnn": (MUNIM, 6, 4),
    "vgg_rnn": (VGG, 1.5, 4),
    "rnn": (RNN, 0, 6),
    "rnn without projection": (RNN | {"encoder_conf": RNN["encoder_conf"] | {"use_projection": False}}, 0, 1),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders(name):
    config, first, step = ENCODERS[name]
    assert of_model(config, FRAMES) == FrameTimes(first, step, 0)


def network(config):
    """The model of a configuration, in evaluation mode; F is 40 where it takes features."""
    options = vars(register().get_parser().parse_args([]))
    options |= {
        "input_size": 40,
        "normalize": None,
        "specaug": None,
        "token_list": ["<blank>", "<unk>", "a", "<sos/eos>"],
    }
    options |= {"decoder": "transformer", "decoder_conf": {"attention_heads": 2, "linear_units": 8, "num_blocks": 1}}
    torch.manual_seed(0)
    return register().build_model(argparse.Namespace(**(options | config))).eval()


def read_by(encoder, frames, frame):
    """Input frames that the subsampling of an encoder reads for one of its frames: the first and the last.

    Weights and input are positive, so that nothing is cut off on the way.
    """
    x = torch.rand(1, frames, 40).requires_grad_()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.abs_()
    lengths, kind = torch.tensor([frames]), type(encoder).__name__
    if hasattr(encoder, "embed"):
        mask = torch.ones(1, 1, frames, dtype=torch.bool)
        made = encoder.embed(x, mask)[0]
        made = (made[0] if isinstance(made, tuple) else made)[0]  # (S, E)
    elif kind == "VGGRNNEncoder":
        made = encoder.enc[0](x, lengths)[0][0]  # (S, E)
    elif kind == "RNNEncoder":
        made = encoder.enc[0](x, lengths)[0][0]
    else:  # our own: convolutions
        layer = encoder.project if kind == "ConvRNNEncoder" else encoder.convs[1]
        kept = []
        layer.register_forward_hook(lambda module, given, result: kept.append(result))
        encoder(x, lengths)
        made = kept[0][0] if kind == "ConvRNNEncoder" else kept[0][0].transpose(0, 1).flatten(1)  # (S, E)
    made[frame].sum().backward()
    there = x.grad[0].abs().sum(1).nonzero()
    return int(there[0]), int(there[-1])


@pytest.mark.parametrize("name", sorted(ENCODERS.keys() - {"none", "rnn", "rnn without projection"}))
def test_frames_are_the_centres_of_what_networks_read(name):
    config, first, step = ENCODERS[name]
    encoder = network(config).encoder
    for frame in (2, 3):
        before, after = read_by(encoder, 64, frame)
        assert (before + after) / 2 == first + frame * step


def test_of_a_recurrent_encoder_every_nth_frame_is_taken():
    """One that looks back alone: the last frame that it reads is the one that is taken."""
    config = RNN | {"encoder_conf": RNN["encoder_conf"] | {"bidirectional": False}}
    assert [read_by(network(config).encoder, 64, frame)[1] for frame in (0, 1, 5)] == [0, 6, 30]


def test_59_frames_against_58():
    """2.4 s: a padded STFT has 241 frames, Kaldi's filterbank 238; of 4-fold convolutions 59 and 58 are left."""
    teacher = of_model({**attentive(), **AUDIO}, FRAMES)
    student = of_model(attentive(), FBANK)
    assert teacher == FrameTimes(480, 640, 16000) and student == FrameTimes(680, 640, 16000)
    assert str(teacher) == "every 40 ms from 30 ms" and str(student) == "every 40 ms from 42.5 ms"
    audio = torch.randn(1, 38400)
    told = network({**attentive(), **AUDIO, "frontend_conf": {**AUDIO["frontend_conf"], "n_mels": 40}})
    assert told.encode(audio, torch.tensor([38400]))[1].tolist() == [59]
    assert network(attentive()).encode(torch.randn(1, 238, 40), torch.tensor([238]))[1].tolist() == [58]
    assert [nearest(teacher, student, i) for i in range(58)] == list(range(58))
    assert [nearest(student, teacher, i) for i in range(59)] == list(range(59))  # 58 is not there: 57 is taken
    assert not far_apart(teacher, student, 58, 57)


def test_a_teacher_with_half_of_the_frames():
    """At 42.5 ms + 40 j, the student at 42.5 ms + 20 i: every second one is in the middle, and takes the earlier."""
    teacher, student = of_model(attentive(), FBANK), of_model(attentive("conv2d2"), FBANK)
    assert student == FrameTimes(680, 320, 16000)
    assert [nearest(teacher, student, i) for i in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [nearest(student, teacher, i) for i in range(4)] == [0, 2, 4, 6]


def test_another_hop():
    """24 ms + 32 j against 42.5 ms + 40 i: (18.5 + 40 i) / 32 = 0.578, 1.828, 3.078, 4.328, 5.578, 6.828."""
    teacher = of_model({**attentive(), "frontend": "default", "input_size": None}, FRAMES)
    assert str(teacher) == "every 32 ms from 24 ms"
    assert [nearest(teacher, of_model(attentive(), FBANK), i) for i in range(6)] == [1, 2, 3, 4, 6, 7]


def test_another_sampling_rate():
    """The same milliseconds."""
    teacher = of_model(attentive(), of_features(made(rate=8000)))
    assert teacher == FrameTimes(340, 320, 8000)
    frames = torch.arange(300).view(2, 150)
    assert torch.equal(nearest(teacher, of_model(attentive(), FBANK), frames), frames)
    assert (
        nearest(teacher._replace(rate=8000.0), FBANK, 8) == 1
    )  # as a configuration may have it: 92.5 ms, 82.5 is near


def test_other_encoders_at_one_rate():
    """conv_rnn is at 4 i, conv2d at 4 i + 3, nearest the 4 i - 1 before; vgg_rnn at 4 i + 1.5, nearest 4 i."""
    at = {name: of_model(ENCODERS[name][0], FBANK) for name in ("conv_rnn", "conv2d", "vgg_rnn")}
    assert [nearest(at["conv2d"], at["conv_rnn"], i) for i in range(4)] == [-1, 0, 1, 2]  # -1 is not there: 0 is taken
    assert [nearest(at["vgg_rnn"], at["conv_rnn"], i) for i in range(4)] == [0, 1, 2, 3]
    assert [nearest(at["conv_rnn"], at["conv2d"], i) for i in range(4)] == [1, 2, 3, 4]


times = st.builds(
    FrameTimes, st.integers(-20, 400).map(lambda n: n / 2), st.integers(1, 60).map(lambda n: n / 2), st.just(100)
)


@examples(200)
@given(teacher=times, student=times, frame=st.integers(0, 40))
def test_no_other_frame_is_nearer(teacher, student, frame):
    found = nearest(teacher, student, frame)
    at = student.time(frame)
    gaps = {j: abs(round(200 * (teacher.time(j) - at))) for j in range(found - 3, found + 4)}
    assert gaps[found] == min(gaps.values()) and gaps[found] < gaps[found - 1]
    assert nearest(teacher, student, torch.tensor([[frame, 0]])).tolist() == [[found, nearest(teacher, student, 0)]]


def test_what_networks_leave_at_the_end_is_not_taken_for_other_audio():
    """Frames of the same audio, alone and in a batch, by every pair of networks; half of it is other audio."""
    audio = {**attentive("conv2d8"), **AUDIO, "frontend_conf": {**AUDIO["frontend_conf"], "n_mels": 40}}
    halved = RNN | {"encoder_conf": RNN["encoder_conf"] | {"subsample": [2, 2]}}
    configs = [audio, *(ENCODERS[name][0] for name in ("conv2d", "conv_rnn", "vgg_rnn", "munim_rnn")), halved]
    at = [of_model(config, FBANK) for config in configs]
    models = [network(config) for config in configs]
    frames = list(range(100, 112))
    for length in frames:
        last = []
        for config, model in zip(configs, models, strict=True):
            size = 400 + 160 * (length - 1) + 159 if config is audio else length
            lengths = torch.tensor([2 * size, size])
            shape = (2, 2 * size) if config is audio else (2, 2 * size, 40)
            with torch.no_grad():
                alone = model.encode(torch.zeros(1, *shape[1:])[:, :size], lengths[1:])[1]
                together = model.encode(torch.zeros(shape), lengths)[1]
            last.append((int(alone[0]) - 1, int(together[1]) - 1))
        for one, mine in zip(at, last, strict=True):
            for other, theirs in zip(at, last, strict=True):
                for end in mine:
                    assert not any(far_apart(one, other, end, there) for there in theirs)
                    assert all(far_apart(one, other, end // 2, there) for there in theirs)


def test_the_table_of_the_page():
    """docs/student-recipes.md, by the defaults of each."""
    page = (Path(__file__).parents[2] / "docs" / "student-recipes.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| (every [^|]*) \|$", page, re.M))
    layers = {name: attentive(name) for name in INPUT_LAYERS if name not in (None, "linear")}
    configs = layers | {name: {"encoder": name} for name in ("conv_rnn", "munim_rnn", "vgg_rnn", "rnn")}
    assert told == {name: str(of_model(config, FBANK)) for name, config in configs.items()}
    for name, times in (
        ("kdasr feats`: Kaldi's filterbank", FBANK),
        ("kdasr feats --type spectrogram`", of_features(made("spectrogram"))),
        *(
            (f"frontend: {kind}`", of_model(attentive(None, frontend=kind, input_size=None), FBANK))
            for kind in ("default", "sliding_window")
        ),
    ):
        assert re.search(rf"^\| `{name}.* \| {times} \|$", page, re.M), name


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"encoder": "whisper"}, "of encoder whisper are"),
        (attentive("wav2vec", "transformer"), "of encoder transformer with input_layer wav2vec are"),
        (attentive() | {"encoder_conf": {"ctc_trim": True}}, "of encoder conformer with ctc_trim are"),
        ({"encoder": "conv_rnn", "encoder_conf": {"time_strides": 4}}, "of encoder_conf with time_strides 4 are"),
        ({"encoder": "rnn", "encoder_conf": {"subsample": [2, 0]}}, "of encoder_conf with subsample 0 are"),
        (attentive(frontend="s3prl", input_size=None), "of frontend s3prl are"),
        (attentive(**{**AUDIO, "frontend_conf": {"apply_stft": False}}), "of frontend default are"),
        (
            attentive(**{**AUDIO, "frontend_conf": {"hop_length": "10ms"}}),
            "of frontend_conf with hop_length '10ms' are",
        ),
        (attentive(["conv2d"]), r"of encoder conformer with input_layer \['conv2d'\] are"),
        ({"encoder": "rnn", "encoder_conf": "x"}, "of encoder_conf 'x' are"),
        (attentive(postencoder="length_adaptor"), "of postencoder length_adaptor are"),
        (attentive(preencoder="mine"), "of preencoder mine are"),
    ],
)
def test_what_is_not_known_is_said(config, said):
    with pytest.raises(NotKnown, match=f"^kdasr does not know when the frames {said}$"):
        of_model(config, FBANK)
    with pytest.raises(UserError, match=said):
        check_pair(CONV_RNN, config, FBANK)
    with pytest.raises(UserError, match=said):
        check_pair(config, CONV_RNN, FBANK)
    check_pair(config, {**config, "decoder": "rnn", "optim": "adam"}, FBANK)  # frames of one network are the same


def test_a_pair_that_fits_and_a_teacher_without_ctc():
    for layer in INPUT_LAYERS:
        check_pair({**attentive(layer), **AUDIO}, {**VGG, "model_conf": {"ctc_weight": 0.3}}, FBANK)
    with pytest.raises(UserError, match="the teacher has no CTC branch"):
        check_pair({**VGG, "model_conf": {"ctc_weight": 0.0}}, VGG, FBANK)
    with pytest.raises(UserError, match=r"^b: has no CTC branch \(ctc_weight 0\), so no CTC frames to learn from"):
        of_teachers({"a": VGG, "b": {**VGG, "model_conf": {"ctc_weight": 0}}}, FBANK)


def test_averaged_teachers_have_frames_at_the_same_times():
    assert of_teachers({"a": CONV_RNN, "b": RNN | {"encoder_conf": {}}}, FBANK) == FrameTimes(200, 640, 16000)
    with pytest.raises(UserError, match=r"^b: has frames every 40 ms from 42\.5 ms, a every 40 ms from 12\.5 ms; "):
        of_teachers({"a": CONV_RNN, "b": attentive()}, FBANK)


def test_what_kdasr_soft_has_stored(tmp_path):
    assert stored(tmp_path) is None
    write_json(tmp_path / "soft.json", {"settings": {}})
    assert stored(tmp_path) is None
    write_json(tmp_path / "soft.json", {"frames": FBANK._asdict()})
    assert stored(tmp_path) == FBANK
    for wrong in (
        [200, 160, 16000],
        {"first": 200, "step": 0, "rate": 16000},
        {"first": 200, "step": "160"},
        5,
        FBANK._asdict() | {"first": float("nan")},
    ):
        write_json(tmp_path / "soft.json", {"frames": wrong})
        with pytest.raises(UserError, match=r"soft\.json: frames is .*, expected first, step and rate"):
            stored(tmp_path)
