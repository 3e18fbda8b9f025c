"""Tiny ESPnet models with random weights and sharp decisions, and stock ESPnet's search of them."""

from __future__ import annotations

import argparse

import torch

from kdasr.espnet import name
from kdasr.networks.load import register, register_lm

TOKENS = ["<blank>", "<unk>", "<space>", *"abcdefghijklmn", "<sos/eos>"]

RNN = {"encoder": "rnn", "encoder_conf": {"hidden_size": 12, "output_size": 14, "num_layers": 1, "subsample": [2]}}
CONFIGS = {
    "location_lstm": {
        **RNN,
        "decoder": "rnn",
        "decoder_conf": {
            "num_layers": 2,
            "hidden_size": 10,
            "att_conf": {"adim": 8, "aconv_chans": 3, "aconv_filts": 4},
        },
    },
    "location_gru": {
        **RNN,
        "decoder": "rnn",
        "decoder_conf": {"rnn_type": "gru", "hidden_size": 10, "context_residual": True, "att_conf": {"adim": 8}},
    },
    "dot": {**RNN, "decoder": "rnn", "decoder_conf": {"hidden_size": 10, "att_conf": {"atype": "dot", "adim": 8}}},
    "add": {**RNN, "decoder": "rnn", "decoder_conf": {"hidden_size": 10, "att_conf": {"atype": "add", "adim": 8}}},
    "noatt": {**RNN, "decoder": "rnn", "decoder_conf": {"hidden_size": 10, "att_conf": {"atype": "noatt"}}},
    "coverage": {
        **RNN,
        "decoder": "rnn",
        "decoder_conf": {"hidden_size": 10, "att_conf": {"atype": "coverage", "adim": 8}},
    },
    "multi_head_loc": {
        **RNN,
        "decoder": "rnn",
        "decoder_conf": {"hidden_size": 10, "att_conf": {"atype": "multi_head_loc", "adim": 8, "aheads": 2}},
    },
    **{
        kind: {
            **RNN,
            "decoder": "rnn",
            "decoder_conf": {
                "hidden_size": 10,
                "att_conf": {"atype": kind, "adim": 8, "aheads": 2, "aconv_chans": 3, "aconv_filts": 5},
            },
        }
        for kind in (
            *("multi_head_dot", "multi_head_add", "multi_head_multi_res_loc"),
            *("location2d", "location_recurrent", "coverage_location"),
        )
    },
    "transformer": {
        "encoder": "transformer",
        "encoder_conf": {"output_size": 16, "attention_heads": 2, "linear_units": 20, "num_blocks": 1},
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 20, "num_blocks": 2},
    },
    "conformer": {
        "encoder": "conformer",
        "encoder_conf": {"output_size": 16, "attention_heads": 2, "linear_units": 20, "num_blocks": 1},
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 4, "linear_units": 20, "num_blocks": 1},
    },
    "e_branchformer": {
        "encoder": "e_branchformer",
        "encoder_conf": {
            **{"output_size": 16, "attention_heads": 2, "attention_layer_type": "rel_selfattn"},
            **{"pos_enc_layer_type": "rel_pos", "rel_pos_type": "latest", "linear_units": 20, "num_blocks": 1},
            **{"cgmlp_linear_units": 24, "cgmlp_conv_kernel": 5, "use_ffn": True, "macaron_ffn": True},
        },
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 4, "linear_units": 20, "num_blocks": 1},
    },
    "kdasr": {
        "encoder": "conv_rnn",
        "encoder_conf": {"hidden_size": 12, "num_layers": 1, "conv_channels": 3},
        "decoder": "attention_gru",
        "decoder_conf": {"hidden_size": 12, "embed_size": 6, "attention_size": 8},
    },
}


def config(kind: str, bins: int = 8) -> dict:
    """The config.yaml, as a dictionary, of one of CONFIGS."""
    given = register().get_default_config()
    given.update(CONFIGS[kind], token_list=TOKENS, token_type="char", input_size=bins, specaug=None, normalize=None)
    return given


def shaped(kind: str, units: int, layers: int, heads: int) -> dict:
    """The network options of one of CONFIGS in other sizes: decoder units (a multiple of heads), layers, heads."""
    options = {key: dict(value) if isinstance(value, dict) else value for key, value in CONFIGS[kind].items()}
    decoder = options["decoder_conf"]
    if options["decoder"] == "transformer":
        options["encoder_conf"] |= {"output_size": units, "attention_heads": heads}
        decoder |= {"attention_heads": heads, "num_blocks": layers, "linear_units": 2 * units}
    else:
        decoder |= {"hidden_size": units, "num_layers": layers}
        if options["decoder"] == "rnn":
            decoder["att_conf"] = decoder.get("att_conf", {}) | {"adim": units // 2}
            if "aheads" in decoder["att_conf"]:
                decoder["att_conf"]["aheads"] = heads
        else:
            decoder["attention_size"] = units // 2
    return options


def build(
    kind: str,
    seed: int = 0,
    sharp: float = 6.0,
    bins: int = 8,
    shape: tuple[int, int, int] | None = None,
    changes: dict | None = None,
):
    """A model of CONFIGS, of another `shape` or with `changes` of its config if given, with random weights.

    Output layers are scaled up, so that no two scores are near.
    """
    torch.manual_seed(seed)
    given = config(kind, bins) | (shaped(kind, *shape) if shape else {}) | (changes or {})
    model = register().build_model(argparse.Namespace(**given)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(1.5)
        outputs = [getattr(model.decoder, n) for n in ("output", "output_layer") if hasattr(model.decoder, n)]
        for layer in [*outputs, *([] if model.ctc is None else [model.ctc.ctc_lo])]:
            layer.weight.mul_(sharp / 1.5)
            layer.bias.normal_()
        # An end token of some probability everywhere, so that hypotheses end at all lengths.
        if outputs:
            outputs[0].bias[-1] += 1.0
    return model


LMS = {
    "lstm": {"lm": "seq_rnn", "lm_conf": {"unit": 10, "nhid": 12, "nlayers": 2}},
    "gru": {"lm": "seq_rnn", "lm_conf": {"unit": 10, "nlayers": 1, "rnn_type": "gru"}},
    "tanh": {"lm": "seq_rnn", "lm_conf": {"unit": 10, "nlayers": 2, "rnn_type": "rnn_tanh", "tie_weights": True}},
    "transformer": {
        "lm": "transformer",
        "lm_conf": {"embed_unit": 6, "att_unit": 8, "head": 2, "unit": 12, "layer": 2},
    },
    "sinusoidal": {
        "lm": "transformer",
        "lm_conf": {"pos_enc": "sinusoidal", "embed_unit": 6, "att_unit": 8, "head": 2, "unit": 12, "layer": 1},
    },
    "awd": {"lm": "awd_lstm", "lm_conf": {"embed": 6, "hidden": 10, "last": 8, "layers": 2, "experts": 3}},
}


def lm_config(kind: str) -> dict:
    """The config.yaml, as a dictionary, of one of LMS."""
    return {**LMS[kind], "token_list": TOKENS, "token_type": "char", "init": None, "model": "lm", "model_conf": {}}


def build_lm(kind: str, seed: int = 0, sharp: float = 4.0):
    """A language model of LMS with random weights, as ESPnet's task makes it (its `lm` is the scorer)."""
    torch.manual_seed(seed)
    model = register_lm().build_model(argparse.Namespace(**lm_config(kind))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(1.5)
        output = model.lm.out if kind == "awd" else model.lm.decoder
        output.weight.mul_(sharp / 1.5)
        output.bias.normal_()
    return model


def features(lengths, bins: int = 8, seed: int = 1):
    """Random inputs (T, bins) of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, bins, generator=generator) for n in lengths]


@torch.no_grad()
def encode(model, inputs):
    """Encoder outputs (T, E), each utterance alone."""
    return [model.encode(x[None], torch.tensor([len(x)]))[0][0] for x in inputs]


def pad(encoded):
    """Encoder outputs as (B, T, E), padded with rubbish, and lengths (B,)."""
    lengths = torch.tensor([len(x) for x in encoded])
    hs = torch.full((len(encoded), int(lengths.max()), encoded[0].shape[1]), 7.0)
    for row, x in zip(hs, encoded, strict=True):
        row[: len(x)] = x
    return hs, lengths


@torch.no_grad()
def stock(model, encoded, options, lm=None):
    """Stock ESPnet's N-best of an encoded utterance (T, E), with the search that asr_inference sets up."""
    interface = name("espnet.nets.scorer_interface:BatchScorerInterface")
    scorers = {
        "decoder": model.decoder,
        "ctc": name("espnet.nets.scorers.ctc:CTCPrefixScorer")(ctc=model.ctc, eos=model.eos),
        "length_bonus": name("espnet.nets.scorers.length_bonus:LengthBonus")(len(TOKENS)),
    }
    weights = {"decoder": 1 - options.ctc_weight, "ctc": options.ctc_weight, "length_bonus": options.penalty}
    if lm is not None:
        scorers["lm"] = lm
        weights["lm"] = options.lm_weight
    beam = name("espnet.nets.beam_search:BeamSearch")(
        beam_size=options.beam,
        weights=weights,
        scorers=scorers,
        sos=model.sos,
        eos=model.eos,
        vocab_size=len(TOKENS),
        token_list=TOKENS,
        pre_beam_score_key=None if options.ctc_weight == 1.0 else "full",
        normalize_length=options.normalize_length,
    )
    if all(isinstance(scorer, interface) for scorer in beam.full_scorers.values()):
        beam.__class__ = name("espnet.nets.batch_beam_search:BatchBeamSearch")
    beam.eval()
    found = beam(encoded, maxlenratio=options.maxlenratio, minlenratio=options.minlenratio)
    return [hyp.asdict() for hyp in found[: options.nbest]]
