"""Tiny translation models with random weights and sharp decisions, as ESPnet's MT task makes them; and a data set."""

from __future__ import annotations

import argparse
import random

import torch
import yaml

from kdasr.data.kaldi_dir import put_dir
from kdasr.networks.load import register_mt

SOURCE = ["<blank>", "<unk>", *"abcdefgh", "<sos/eos>"]
TARGET = ["<blank>", "<unk>", *"STUVWXYZ", "<space>", "<sos/eos>"]
ATTENTION = {"attention_heads": 2, "linear_units": 12, "num_blocks": 2}
TRANSFORMER = {"encoder": "transformer", "encoder_conf": {**ATTENTION, "output_size": 8, "input_layer": None}}
LINEAR = {"encoder": "transformer", "encoder_conf": {**ATTENTION, "output_size": 8, "input_layer": "linear"}}
RNN = {"encoder": "rnn", "encoder_conf": {"num_layers": 1, "hidden_size": 8, "output_size": 8, "subsample": [1]}}
OWN = {
    "frontend": "lookup",
    "frontend_conf": {"embed_dim": 6},
    "encoder": "text_rnn",
    "encoder_conf": {"hidden_size": 8, "num_layers": 1},
}
STOCK = {"frontend": "embed", "frontend_conf": {"embed_dim": 8}}
TO_RNN = {
    "decoder": "rnn",
    "decoder_conf": {"num_layers": 1, "hidden_size": 10, "att_conf": {"adim": 8, "aconv_chans": 3, "aconv_filts": 4}},
}
TO_DOT = {"decoder": "rnn", "decoder_conf": {"rnn_type": "gru", "hidden_size": 10, "att_conf": {"atype": "dot"}}}
TO_TRANSFORMER = {"decoder": "transformer", "decoder_conf": ATTENTION}
TO_LUONG = {"decoder": "luong", "decoder_conf": {"hidden_size": 9, "num_layers": 2, "embed_size": 7}}
TO_FED = {
    "decoder": "luong",
    "decoder_conf": {
        "hidden_size": 9,
        "num_layers": 1,
        "embed_size": 7,
        "rnn_type": "gru",
        "input_feeding": True,
        "tie_output": True,
    },
}
MODELS = {
    "rnn_rnn": {**STOCK, **RNN, **TO_RNN},
    "rnn_dot": {**STOCK, **RNN, **TO_DOT},
    "rnn_transformer": {**STOCK, **RNN, **TO_TRANSFORMER},
    "transformer_transformer": {**STOCK, **TRANSFORMER, **TO_TRANSFORMER},
    "linear_rnn": {**STOCK, **LINEAR, **TO_RNN},
    "own_luong": {**OWN, **TO_LUONG},
    "own_fed": {**OWN, **TO_FED},
    "transformer_luong": {**STOCK, **TRANSFORMER, **TO_LUONG},
}


def options(kind: str, task=None, **changes: object) -> argparse.Namespace:
    """ESPnet's options of one of MODELS."""
    args = vars((task or register_mt()).get_parser().parse_args([]))
    args |= {"src_token_list": SOURCE, "src_token_type": "char", "token_list": TARGET, "token_type": "char"}
    args |= {"model_conf": {"report_bleu": False}, **MODELS[kind], **changes}
    return argparse.Namespace(**args)


def build(kind: str, seed: int = 0, sharp: float = 4.0, task=None, **changes: object):
    """One of MODELS with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    model = (task or register_mt()).build_model(options(kind, task, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(1.5)
        output = model.decoder.output if hasattr(model.decoder, "output") else model.decoder.output_layer
        output.weight.mul_(sharp / 1.5)
        output.bias.normal_()
        output.bias[-1] += 0.5  # an end of some probability everywhere, so that hypotheses end at all lengths
    return model


def write_model(directory, kind: str, seed: int = 0):
    """A model directory as ESPnet writes it."""
    directory.mkdir(parents=True)
    (directory / "config.yaml").write_text(yaml.safe_dump(vars(options(kind))))
    torch.save(build(kind, seed).state_dict(), directory / "valid.acc.ave.pth")
    return directory


def draw(count: int, longest: int = 12, seed: int = 3) -> dict[str, tuple[str, str]]:
    """Sentences by name: source and target, of all lengths from one; a source letter that no model knows among them."""
    drawn = random.Random(seed)
    return {
        f"u{n:02}": (
            "".join(drawn.choice("abcdefghq") for _ in range(1 + n % longest)),
            "".join(drawn.choice("STUVWXYZ") for _ in range(drawn.randint(1, longest))),
        )
        for n in range(count)
    }


def write_data(directory, sentences: dict[str, tuple[str, str]]):
    """A data directory of them."""
    put_dir(
        directory,
        {
            "utt2spk": {key: key for key in sentences},
            "text.src": {key: source for key, (source, _) in sentences.items()},
            "text": {key: target for key, (_, target) in sentences.items()},
        },
    )
    return directory
