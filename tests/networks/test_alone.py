"""Recognisers built without ESPnet's task are those that the task builds, and their start does without it."""

import argparse
import subprocess
import sys

import pytest
import torch

from kdasr.networks import alone
from kdasr.networks.load import register

TOKENS = ["<blank>", "<unk>", "<space>", "a", "b", "<sos/eos>"]
SMALL = {"output_size": 8, "attention_heads": 2, "linear_units": 8, "num_blocks": 1}
ENCODERS = {
    "conv_rnn": {},
    "munim_rnn": {},
    "rnn": {"num_layers": 1, "hidden_size": 8, "output_size": 8},
    "vgg_rnn": {"num_layers": 1, "hidden_size": 8, "output_size": 8},
    "transformer": SMALL,
    "conformer": SMALL,
    "e_branchformer": {**SMALL, "cgmlp_linear_units": 8},
}
DECODERS = {
    "attention_gru": {},
    "munim_gru": {"hidden_size": 8},
    "rnn": {"hidden_size": 8},
    "transformer": {"attention_heads": 2, "linear_units": 8, "num_blocks": 1},
}
PAIRS = [(encoder, "attention_gru") for encoder in ENCODERS]
PAIRS += [("transformer", decoder) for decoder in DECODERS if decoder != "attention_gru"]


@pytest.fixture(scope="module")
def task():
    return register()


@pytest.fixture(scope="module")
def defaults(task):
    given, sys.argv = sys.argv, sys.argv[:1]
    yield task.get_default_config()
    sys.argv = given


def options(defaults, encoder, decoder, **more):
    parts = {"encoder": encoder, "encoder_conf": ENCODERS[encoder], "decoder": decoder}
    settings = {**defaults, **parts, "decoder_conf": DECODERS[decoder], "token_list": TOKENS, "input_size": 40}
    conf = {"ctc_weight": 0.25, "lsm_weight": 0.1}
    return argparse.Namespace(**{**settings, "normalize": None, "model_conf": conf, **more})


def test_every_part_is_the_tasks_own(task):
    tables = {choices.name: choices.classes for choices in task.class_choices_list}
    for kind, names in alone.PARTS.items():
        for name in names:
            assert alone.part(kind, name) is tables[kind][name], (kind, name)
    assert set(ENCODERS) == set(alone.PARTS["encoder"]) and set(DECODERS) == set(alone.PARTS["decoder"])


@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
def test_the_network_and_its_first_weights_are_the_tasks(task, defaults, encoder, decoder):
    built = []
    for maker in (task, alone.Alone):
        more = {"specaug": "specaug", "specaug_conf": {"time_mask_width_range": 4}, "normalize": "utterance_mvn"}
        given = options(defaults, encoder, decoder, **more, ctc_conf={"dropout_rate": 0.2})
        assert alone.known(given)
        torch.manual_seed(1)
        built.append(maker.build_model(given))
    theirs, ours = built
    assert repr(ours) == repr(theirs) and type(ours) is type(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert (ours.ctc_weight, ours.token_list, ours.ctc.dropout_rate) == (0.25, TOKENS, 0.2)
    assert (ours.ctc_weight, ours.token_list, ours.sos) == (theirs.ctc_weight, theirs.token_list, theirs.sos)


@pytest.mark.parametrize(
    "more",
    [
        {"input_size": None},
        {"encoder": "branchformer"},
        {"decoder": "transducer"},
        {"decoder": None},
        {"preencoder": "linear"},
        {"postencoder": "length_adaptor"},
        {"init": "chainer"},
        {"model": "maskctc"},
        {"specaug": "other"},
        {"normalize_conf": None, "normalize": "global_mvn"},
        {"encoder_conf": None},
        {"model_conf": {"transducer_multi_blank_durations": [2]}},
    ],
)
def test_what_else_there_is_goes_to_the_task(defaults, more):
    assert alone.known(options(defaults, "conv_rnn", "attention_gru"))
    given = options(defaults, "conv_rnn", "attention_gru")
    vars(given).update(more)
    assert not alone.known(given)


def test_an_own_model_is_built_without_the_task():
    conf = "encoder='conv_rnn', encoder_conf={}, decoder='attention_gru', decoder_conf={}, ctc_conf={}, model_conf={}"
    code = (
        f"import argparse, sys, kdasr.search.engine; from kdasr.networks import alone\n"
        f"args = argparse.Namespace(token_list={TOKENS!r}, input_size=40, {conf})\n"
        "assert alone.known(args); alone.Alone.build_model(args)\n"
        "print([name for name in sys.modules if name in ('espnet2.tasks.abs_task', 'espnet2.train.trainer', 'scipy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
