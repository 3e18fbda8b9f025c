"""Graphs against torch: encoders, decoders and front ends of every kind that can be exported, in onnxruntime."""

import numpy as np
import onnxruntime
import pytest
import torch
from mt_models import MODELS as TRANSLATORS
from mt_models import OWN, SOURCE, STOCK, TO_FED, TO_LUONG
from mt_models import build as build_translator
from search_models import CONFIGS, build, config

from kdasr.errors import UserError
from kdasr.export import graphs
from kdasr.export.compare import check
from kdasr.networks.load import register
from kdasr.search.encode import Encoder
from kdasr.search.scorers import decoder_scorer

OTHERS = {"coverage", "location2d", "location_recurrent", "coverage_location"}  # attentions with a longer history
KINDS = sorted(CONFIGS.keys() - OTHERS)
BINS = 24
ATTENTIVE = {"output_size": 16, "attention_heads": 2, "linear_units": 20, "num_blocks": 2}
CHANGES = {
    "lstm student": {"encoder_conf": {"hidden_size": 12, "num_layers": 2, "conv_channels": 3, "rnn_type": "gru"},
                     "decoder_conf": {"cell_type": "lstm", "num_layers": 2, "hidden_size": 10, "attention_size": 6}},
    "low rank": {"encoder_conf": {"hidden_size": 12, "num_layers": 2, "conv_channels": 3, "input_rank": 4,
                                  "project_rank": 5}},
    "three strides": {"encoder_conf": {"hidden_size": 8, "num_layers": 1, "conv_channels": 2, "time_strides": [1, 3]}},
    "munim": {"encoder": "munim_rnn", "encoder_conf": {"hidden_size": 10, "num_layers": 2},
              "decoder": "munim_gru", "decoder_conf": {"hidden_size": 10}},
    "vgg": {"encoder": "vgg_rnn", "encoder_conf": {"hidden_size": 8, "output_size": 9, "num_layers": 2}},
    "vgg plain": {"encoder": "vgg_rnn", "encoder_conf": {"hidden_size": 8, "output_size": 9, "use_projection": False}},
    "rnn": {"encoder": "rnn", "encoder_conf": {"hidden_size": 8, "num_layers": 3, "subsample": [1, 3, 2]}},
    "one way": {"encoder": "rnn", "encoder_conf": {"bidirectional": False, "rnn_type": "gru", "num_layers": 2}},
    "legacy": {"encoder": "conformer", "encoder_conf": {**ATTENTIVE, "rel_pos_type": "legacy", "zero_triu": True}},
    "latest": {"encoder": "conformer",
               "encoder_conf": {**ATTENTIVE, "rel_pos_type": "latest", "macaron_style": True, "cnn_module_kernel": 7}},
    "conv1d2": {"encoder": "transformer", "encoder_conf": {**ATTENTIVE, "input_layer": "conv1d2"}},
    "conv2d6": {"encoder": "transformer", "encoder_conf": {**ATTENTIVE, "input_layer": "conv2d6"}},
    "linear": {"encoder": "transformer",
               "encoder_conf": {**ATTENTIVE, "input_layer": "linear", "normalize_before": False}},
    "scaled": {"encoder": "conformer",
               "encoder_conf": {**ATTENTIVE, "input_layer": "conv2d2", "pos_enc_layer_type": "scaled_abs_pos",
                                "selfattention_layer_type": "selfattn", "rel_pos_type": "latest"}},
    "conditioned": {"encoder": "conformer",
                    "encoder_conf": {**ATTENTIVE, "interctc_layer_idx": [1], "interctc_use_conditioning": True},
                    "model_conf": {"interctc_weight": 0.3}},
    "post norm": {"decoder": "transformer",
                  "decoder_conf": {"attention_heads": 2, "linear_units": 20, "num_blocks": 2,
                                   "normalize_before": False}},
    "ctc alone": {"model_conf": {"ctc_weight": 1.0}},
}  # fmt: skip


def model_of(kind):
    if kind in CHANGES:
        return build("kdasr", seed=3, bins=BINS, changes=CHANGES[kind])
    return build(kind, seed=3, bins=BINS)


def written(model, directory, bins=BINS):
    made = graphs.graphs_of(model, "m", bins)
    graphs.write_encoder(made, directory / "e.onnx")
    if made.decoder is not None:
        graphs.write_decoder(made, directory / "d.onnx")
    return made


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options)


@pytest.mark.parametrize("kind", [*KINDS, *CHANGES])
@torch.no_grad()
def test_graphs_compute_what_the_search_computes(kind, tmp_path):
    model = model_of(kind)
    made = written(model, tmp_path)
    encoder, decoder = session(tmp_path / "e.onnx"), session(tmp_path / "d.onnx") if made.decoder else None
    for frames, hypotheses in ((150, 1), (61, 4)):
        x = torch.randn(frames, BINS, generator=torch.Generator().manual_seed(frames))
        hs = Encoder(model, "cpu").encode([x])[0]
        values = dict(zip(made.outputs, encoder.run(list(made.outputs), {"x": x.numpy()}), strict=True))
        right = model.ctc.log_softmax(hs[None])[0].numpy()
        np.testing.assert_allclose(values["ctc"], right, atol=2e-4)
        if decoder is None:
            continue
        scorer, _ = decoder_scorer(model)
        memory = scorer.remember(hs[None], torch.tensor([len(hs)]))
        state = scorer.start(memory, hypotheses)
        own = {name: np.repeat(values[name], hypotheses, 0) for name in made.outputs if name.startswith("state")}
        given = {name: values[name] for name in made.outputs if name.startswith("memory")}
        there = {one.name for one in decoder.get_inputs()}
        tokens = torch.arange(2, 2 + hypotheses)
        for step in range(6):
            logp, state = scorer.step(tokens[None], state, memory)
            feed = {name: value for name, value in (given | own).items() if name in there}
            found, *after = decoder.run(None, {"tokens": tokens.numpy(), **feed})
            np.testing.assert_allclose(found, logp[0].numpy(), atol=5e-4, err_msg=f"step {step}")
            # Hypotheses change places, as in a beam: what is of one has to move with it.
            parents = torch.arange(hypotheses).flip(0)
            own = {f"state_{i}": value[parents.numpy()] for i, value in enumerate(after)}
            state = scorer.reorder(state, parents[None])
            tokens = logp[0].argmax(1)[parents] if step % 2 else (tokens + 3) % 17


MORE_TRANSLATORS = {
    "gru": {**OWN, **TO_LUONG, "encoder_conf": {"hidden_size": 6, "num_layers": 2, "rnn_type": "gru"}},  # no projection
    "tied": {**OWN, **TO_FED, "decoder_conf": {**TO_FED["decoder_conf"], "input_feeding": False, "num_layers": 2}},
    "fed lstm": {**OWN, **TO_FED,
                 "decoder_conf": {**TO_LUONG["decoder_conf"], "input_feeding": True, "rnn_type": "lstm"}},
    "halved": {**STOCK, **TO_LUONG, "encoder": "rnn", "encoder_conf": {"num_layers": 3, "hidden_size": 8}},
}  # fmt: skip


@pytest.mark.parametrize("kind", [*TRANSLATORS, *MORE_TRANSLATORS])
@torch.no_grad()
def test_graphs_of_translators(kind, tmp_path):
    """As the search computes, of sentences of one token and of many, <sos> in front."""
    if kind in MORE_TRANSLATORS:
        model = build_translator("own_luong", **MORE_TRANSLATORS[kind])
    else:
        model = build_translator(kind)
    made = written(model, tmp_path, None)
    check(made, model, tmp_path / "e.onnx", tmp_path / "d.onnx", "m")
    encoder, decoder = session(tmp_path / "e.onnx"), session(tmp_path / "d.onnx")
    scorer, _ = decoder_scorer(model)
    there = {one.name for one in decoder.get_inputs()}
    for length, hypotheses in ((1, 2), (2, 1), (19, 4)):
        x = torch.randint(0, len(SOURCE), (length,), generator=torch.Generator().manual_seed(length))
        hs = Encoder(model, "cpu").encode([x])[0]
        values = encoder.run(list(made.outputs), {"x": np.array([len(SOURCE) - 1, *x.tolist()])})
        values = dict(zip(made.outputs, values, strict=True))
        assert values["frames"].shape == (len(hs),)
        memory = scorer.remember(hs[None], torch.tensor([len(hs)]))
        state = scorer.start(memory, hypotheses)
        own = {name: np.repeat(values[name], hypotheses, 0) for name in made.outputs if name.startswith("state")}
        given = {name: values[name] for name in made.outputs if name.startswith("memory")}
        tokens = torch.arange(2, 2 + hypotheses)
        for step in range(5):
            logp, state = scorer.step(tokens[None], state, memory)
            feed = {name: value for name, value in (given | own).items() if name in there}
            found, *after = decoder.run(None, {"tokens": tokens.numpy(), **feed})
            np.testing.assert_allclose(found, logp[0].numpy(), atol=1e-4, err_msg=f"{length} tokens, step {step}")
            parents = torch.arange(hypotheses).flip(0)
            own = {f"state_{i}": value[parents.numpy()] for i, value in enumerate(after)}
            state = scorer.reorder(state, parents[None])
            tokens = logp[0].argmax(1)[parents] if step % 2 else (tokens + 3) % 10


def test_a_tied_matrix_is_stored_once(tmp_path):
    words = ["<blank>", "<unk>", *map(str, range(397)), "<sos/eos>"]
    model = build_translator("own_fed", token_list=words)
    written(model, tmp_path, None)
    weights = 4 * sum(weight.numel() for weight in model.decoder.parameters())
    assert (tmp_path / "d.onnx").stat().st_size < weights + 10_000 < weights + 4 * model.decoder.embed.weight.numel()


@pytest.mark.parametrize("kind", ["own_luong", "rnn_rnn", "transformer_transformer"])
def test_an_encoder_that_differs_is_refused_without_ctc(kind, tmp_path):
    model = build_translator(kind)
    made = written(model, tmp_path, None)
    with torch.no_grad():
        model.frontend.embed[0].weight[:, 0] += 0.5
    with pytest.raises(UserError, match=r"m: its encoder has values .* apart in ONNX"):
        check(made, model, tmp_path / "e.onnx", tmp_path / "d.onnx", "m")


@pytest.mark.parametrize("conf", [{}, {"n_fft": 400, "hop_length": 160, "win_length": 320, "n_mels": 24},
                                  {"center": False, "window": "hamming", "normalized": True, "htk": True}])  # fmt: skip
@pytest.mark.parametrize("norm", ["utterance_mvn", None])
@torch.no_grad()
def test_a_waveform_front_end(conf, norm, tmp_path):
    changes = {"input_size": None, "frontend": "default", "frontend_conf": {"fs": 16000, "n_mels": 20} | conf}
    if norm:
        changes |= {"normalize": norm, "normalize_conf": {"norm_vars": True}}
    model = build("kdasr", seed=1, changes=changes)
    made = written(model, tmp_path, None)
    check(made, model, tmp_path / "e.onnx", tmp_path / "d.onnx", "m")
    assert (tmp_path / "e.onnx").stat().st_size < 300_000  # no stored table of sines


def test_global_statistics_are_in_the_graph(tmp_path):
    generator = np.random.default_rng(0)
    rows = generator.normal(3.0, 2.0, (50, BINS))
    np.savez(tmp_path / "s.npz", count=50, sum=rows.sum(0), sum_square=(rows**2).sum(0))
    changes = {"normalize": "global_mvn", "normalize_conf": {"stats_file": str(tmp_path / "s.npz")}}
    model = build("kdasr", seed=1, bins=BINS, changes=changes)
    made = written(model, tmp_path)
    x = torch.randn(80, BINS) * 2 + 3
    with torch.no_grad():
        right = model.ctc.log_softmax(model.encode(x[None].clone(), torch.tensor([80]))[0])[0].numpy()
    found = session(tmp_path / "e.onnx").run(["ctc"], {"x": x.numpy()})[0]
    np.testing.assert_allclose(found, right, atol=1e-4)
    assert made.has_ctc


def test_without_ctc_the_frames_are_counted(tmp_path):
    model = build("kdasr", bins=BINS)
    model.ctc = None
    made = written(model, tmp_path)
    assert made.outputs[0] == "frames"
    found = session(tmp_path / "e.onnx").run(["frames"], {"x": np.zeros((81, BINS), np.float32)})[0]
    assert found.shape == (21,)


@pytest.mark.parametrize("kind, changes, said", [
    ("coverage", {}, "its decoder RNNDecoder with AttCov cannot be exported"),
    ("kdasr", {"encoder": "branchformer", "encoder_conf": {"output_size": 16, "attention_heads": 2}},
     "its encoder BranchformerEncoder cannot be exported; known are conv_rnn"),
    ("conformer", {"encoder_conf": {**ATTENTIVE, "interctc_layer_idx": [1], "ctc_trim": True}},
     "its encoder drops frames by CTC"),
    ("kdasr", {"preencoder": "linear", "preencoder_conf": {"input_size": BINS, "output_size": 9}},
     "its preencoder LinearProjection cannot be exported"),
    ("kdasr", {"input_size": None, "frontend": "sliding_window", "frontend_conf": {}},
     "its front end SlidingWindow cannot be exported"),
])  # fmt: skip
def test_what_cannot_be_exported_is_named(kind, changes, said):
    model = build(kind, bins=BINS, changes=changes)
    with pytest.raises(UserError, match=f"^here: {said}"):
        graphs.graphs_of(model, "here", None if model.frontend is not None else BINS)


def test_a_graph_that_differs_is_refused(tmp_path):
    model = build("kdasr", bins=BINS)
    made = written(model, tmp_path)
    check(made, model, tmp_path / "e.onnx", tmp_path / "d.onnx", "m")
    with torch.no_grad():
        model.ctc.ctc_lo.weight[3, 0] += 0.1
    with pytest.raises(UserError, match=r"m: its encoder has values .* apart in ONNX"):
        check(made, model, tmp_path / "e.onnx", tmp_path / "d.onnx", "m")


def test_the_tests_know_every_exported_network():
    from kdasr.export import espnet_encoders, own

    tested = {type(model_of(kind).encoder) for kind in (*KINDS, *CHANGES)}
    tested |= {type(build_translator(kind).encoder) for kind in TRANSLATORS}
    assert {kind.__name__ for kind in tested} >= {
        *(path.partition(":")[2] for path in espnet_encoders.ENCODERS),
        *(kind.__name__ for kind in own.ENCODERS),
    }
    assert config("kdasr")["encoder"] == "conv_rnn" and register()
