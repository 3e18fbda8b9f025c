"""Encoding in batches: each utterance gets what stock ESPnet gives it alone, for every encoder and wild lengths."""

from __future__ import annotations

import argparse
import functools

import pytest
import search_models as models
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.networks.load import register
from kdasr.search.encode import Encoder

plain = Encoder._run_alone

BINS = 16
ATTENTIVE = {"output_size": 16, "attention_heads": 2, "linear_units": 20, "num_blocks": 2}
E_BRANCHFORMER = {"output_size": 16, "attention_heads": 2, "num_blocks": 2, "cgmlp_linear_units": 24}
ENCODERS = {
    "vgg_blstmp": ("vgg_rnn", {"hidden_size": 9, "output_size": 7, "num_layers": 2}),
    "vgg_blstm": ("vgg_rnn", {"hidden_size": 9, "output_size": 7, "num_layers": 2, "use_projection": False}),
    "vgg_gru_deltas": ("vgg_rnn", {"rnn_type": "gru", "hidden_size": 9, "output_size": 7, "in_channel": 2}),
    "vgg_lstm": ("vgg_rnn", {"hidden_size": 9, "output_size": 7, "num_layers": 1, "bidirectional": False}),
    "pyramid": ("rnn", {"hidden_size": 9, "output_size": 7, "num_layers": 3, "subsample": [2, 2, 1]}),
    "thirds": ("rnn", {"hidden_size": 9, "output_size": 7, "num_layers": 3, "subsample": [3, 1, 1]}),
    "blstm": ("rnn", {"hidden_size": 9, "output_size": 7, "num_layers": 2, "use_projection": False}),
    "transformer": ("transformer", ATTENTIVE),
    "transformer_conv1d": ("transformer", {**ATTENTIVE, "positionwise_layer_type": "conv1d"}),
    "transformer_linear": ("transformer", {**ATTENTIVE, "input_layer": "linear", "normalize_before": False}),
    "transformer_2": ("transformer", {**ATTENTIVE, "input_layer": "conv2d2"}),
    "transformer_1d": ("transformer", {**ATTENTIVE, "input_layer": "conv1d2"}),
    "transformer_interctc": (
        "transformer",
        {**ATTENTIVE, "interctc_layer_idx": [1], "interctc_use_conditioning": True},
    ),
    "conformer_legacy": ("conformer", ATTENTIVE),
    "conformer_triu": ("conformer", {**ATTENTIVE, "rel_pos_type": "latest", "zero_triu": True}),
    "conformer_macaron": (
        "conformer",
        {**ATTENTIVE, "rel_pos_type": "latest", "macaron_style": True, "cnn_module_kernel": 7},
    ),
    "conformer_1": ("conformer", {**ATTENTIVE, "rel_pos_type": "latest", "input_layer": "conv2d1"}),
    "conformer_6": ("conformer", {**ATTENTIVE, "input_layer": "conv2d6", "positionwise_layer_type": "conv1d-linear"}),
    "conformer_8": ("conformer", {**ATTENTIVE, "input_layer": "conv2d8"}),
    "conformer_absolute": (
        "conformer",
        {**ATTENTIVE, "pos_enc_layer_type": "abs_pos", "selfattention_layer_type": "selfattn"},
    ),
    "conformer_conv_positions": (
        "conformer",
        {**ATTENTIVE, "pos_enc_layer_type": "conv", "selfattention_layer_type": "selfattn"},
    ),
    "e_branchformer": ("e_branchformer", {**E_BRANCHFORMER, "use_ffn": True, "macaron_ffn": True, "linear_units": 20}),
    "e_branchformer_legacy": ("e_branchformer", {**E_BRANCHFORMER, "rel_pos_type": "legacy"}),
    "e_branchformer_1d3": ("e_branchformer", {**E_BRANCHFORMER, "input_layer": "conv1d3"}),
    "kdasr": ("conv_rnn", {"hidden_size": 12, "num_layers": 2, "conv_channels": 3}),
}
LEAKING = [kind for kind in ENCODERS if kind not in ("pyramid", "thirds", "blstm", "transformer_linear", "kdasr")]
ALONE = {
    "branchformer": ("branchformer", {"output_size": 16, "attention_heads": 2, "num_blocks": 1}),
    "e_branchformer_fast": (
        "e_branchformer",
        {**E_BRANCHFORMER, "pos_enc_layer_type": "abs_pos", "attention_layer_type": "fast_selfattn"},
    ),
}
NORMALIZE = {None: {}, "utterance_mvn": {"norm_means": True, "norm_vars": True}}


@functools.cache
def build(kind, normalize=None, frontend=None):
    """A model with one of these encoders, random weights, and statistics and biases that are not zero."""
    encoder, conf = {**ENCODERS, **ALONE}[kind]
    config = register().get_default_config()
    config.update(
        encoder=encoder,
        encoder_conf=conf,
        decoder="rnn",
        decoder_conf={"hidden_size": 8},
        token_list=["<blank>", "<unk>", *"abc", "<sos/eos>"],
        token_type="char",
        input_size=BINS if frontend is None else None,
        specaug=None,
        normalize=normalize,
        normalize_conf=NORMALIZE[normalize],
        frontend=frontend,
    )
    if frontend:
        config["frontend_conf"] = {"fs": 8000, "n_fft": 128, "hop_length": 64, "n_mels": BINS}
    torch.manual_seed(0)
    model = register().build_model(argparse.Namespace(**config)).eval()
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith(("bias", "running_mean", "pos_bias_u", "pos_bias_v")):
                tensor.normal_(0.1, 0.3)
            if name.endswith("csgu.conv.weight"):
                tensor.normal_(0.0, 0.3)
    return model


def inputs(lengths, bins=BINS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, *([bins] if bins else []), generator=generator) for n in lengths]


@torch.no_grad()
def alone(model, x):
    """Stock ESPnet's output for one utterance, or None where it refuses a short one."""
    if not len(x):
        return None
    try:
        hs, lengths = model.encode(x[None].clone(), torch.tensor([len(x)]))
    except Exception as error:
        assert any(words in str(error).lower() for words in ("short", "size", "greater than 0")), error
        return None
    return (hs[0] if isinstance(hs, tuple) else hs)[0, : int(lengths[0])]


def same(got, expected):
    for mine, theirs in zip(got, expected, strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["vgg_blstmp", "transformer", "conformer_macaron", "kdasr"])
def test_bfloat16_is_near_and_only_the_encoders(kind, monkeypatch):
    """Batches are tried in float32, where they are exact; one utterance is encoded as several are."""
    model, x = build(kind, "utterance_mvn"), inputs([40, 33, 52])
    tried = []
    monkeypatch.setattr(Encoder, "_run_alone", lambda self, x: tried.append(x.dtype) or plain(self, x))
    encoder, several = Encoder(model, "cpu", bf16=True), [one.float() for one in Encoder(model, "cpu").encode(x)]
    tried.clear()
    found = encoder.encode(x)
    assert encoder.batches and tried and all(one.dtype == torch.float32 for one in found)
    for mine, exact in zip(found, several, strict=True):
        apart = (mine - exact).abs().max() / exact.abs().max()
        assert 1e-4 < apart < 0.05, apart
    [single] = encoder.encode(x[:1])
    assert 1e-4 < (single - several[0]).abs().max() / several[0].abs().max() < 0.05


@pytest.mark.parametrize("kind", ENCODERS)
@examples(4)
@given(lengths=st.lists(st.integers(1, 90), min_size=2, max_size=6))
def test_a_batch_is_its_utterances(kind, lengths):
    model = build(kind)
    x = inputs(lengths)
    expected = [alone(model, one) for one in x]
    encoder = Encoder(model, "cpu")
    same(encoder.encode(x), expected)
    assert encoder.batches
    same([alone(model, one) for one in x], expected)  # and the model is what it was


@pytest.mark.parametrize("kind", ENCODERS)
def test_lengths_that_subsampling_cuts_each_way(kind):
    model = build(kind)
    x = inputs([0, *range(1, 20), 40, 41, 42, 43])
    same(Encoder(model, "cpu").encode(x), [alone(model, one) for one in x])


@pytest.mark.parametrize("kind", LEAKING)
def test_a_plain_padded_batch_would_leak(kind):
    """Or else nothing is tested above: stock ESPnet's own batch differs from its utterances."""
    model, x = build(kind), inputs([61, 47, 38, 20])
    with torch.no_grad():
        hs, lengths = model.encode(
            torch.nn.utils.rnn.pad_sequence(x, batch_first=True), torch.tensor([len(one) for one in x])
        )
    hs = hs[0] if isinstance(hs, tuple) else hs
    rows = [row[: int(length)] for row, length in zip(hs, lengths, strict=True)]
    expected = [alone(model, one) for one in x]
    assert any(a.shape != b.shape or (a - b).abs().max() > 1e-4 for a, b in zip(rows, expected, strict=True))


@pytest.mark.parametrize("kind", ALONE)
def test_other_encoders_take_one_after_the_other(kind):
    model, x = build(kind), inputs([50, 33, 41])
    encoder = Encoder(model, "cpu")
    assert not encoder.batches
    same(encoder.encode(x), [alone(model, one) for one in x])


def test_normalisation_by_utterance():
    model, x = build("conformer_legacy", "utterance_mvn"), inputs([70, 33, 52])
    encoder = Encoder(model, "cpu")
    same(encoder.encode(x), [alone(model, one) for one in x])
    assert encoder.batches


def test_waveforms():
    model, x = build("vgg_blstmp", "utterance_mvn", "default"), inputs([9000, 40, 3001, 0, 7777], bins=None)
    encoder = Encoder(model, "cpu")
    got = encoder.encode(x)
    same(got, [alone(model, one) for one in x])
    assert encoder.batches and [one is None for one in got] == [False, True, False, True, False]


def test_inputs_stay_as_they_are():
    model, x = build("pyramid", "utterance_mvn"), inputs([30, 20])
    copies = [one.clone() for one in x]
    encoder = Encoder(model, "cpu")
    for given_inputs in (x, x[:1]):
        encoder.encode(given_inputs)
    assert all(torch.equal(a, b) for a, b in zip(x, copies, strict=True))


def test_a_plan_that_fails_its_trial_is_dropped(caplog):
    """An encoder of a listed type with something in it that no plan knows: it is found out."""
    model = build.__wrapped__("transformer")
    reads_padding = torch.nn.Conv1d(16, 16, 3, padding=1)
    norm = model.encoder.after_norm
    norm.register_forward_hook(
        lambda module, args, out: torch.nn.functional.conv1d(
            out.transpose(1, 2), reads_padding.weight, padding=1
        ).transpose(1, 2)
    )
    x = inputs([60, 31, 44])
    encoder = Encoder(model, "cpu")
    same(encoder.encode(x), [alone(model, one) for one in x])
    assert not encoder.batches and "one by one" in caplog.text


def test_a_loaded_projected_rnn_encoder_has_no_dropout(tmp_path):
    """ESPnet's RNNP drops units in evaluation mode, too; a model to decode with gives one encoding."""
    import yaml

    from kdasr.networks.load import load_model

    given = models.config("location_lstm")
    # Two layers: what it drops is between them.
    given["encoder_conf"] = {**given["encoder_conf"], "num_layers": 2, "subsample": [2, 1], "dropout": 0.5}
    model = register().build_model(argparse.Namespace(**given)).eval()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(given))
    torch.save(model.state_dict(), tmp_path / "valid.acc.ave.pth")
    loaded, _ = load_model(tmp_path)
    [x] = models.features([30])
    assert not torch.equal(*(models.encode(model, [x])[0] for _ in range(2)))
    once, again = (models.encode(loaded, [x])[0] for _ in range(2))
    assert torch.equal(once, again)
    torch.testing.assert_close(once, load_free(model, x), rtol=1e-5, atol=1e-6)


def load_free(model, x):
    """The encoding of the same weights with dropout switched off by hand."""
    for module in model.modules():
        if hasattr(module, "dropout") and isinstance(module.dropout, float):
            module.dropout = 0.0
    return models.encode(model, [x])[0]
