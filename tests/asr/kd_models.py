"""Small models that learn from hypotheses, and their batches."""

import argparse

import torch

from kdasr.asr.task import KDTask

OWN = {
    "encoder": "conv_rnn",
    "encoder_conf": {"hidden_size": 8, "num_layers": 1, "conv_channels": 2, "dropout_rate": 0.0},
    "decoder": "attention_gru",
    "decoder_conf": {"hidden_size": 8, "attention_size": 4, "dropout_rate": 0.0},
}
STOCK = {
    "encoder": "transformer",
    "encoder_conf": {
        "output_size": 8,
        "attention_heads": 2,
        "linear_units": 8,
        "num_blocks": 1,
        "dropout_rate": 0.0,
        "positional_dropout_rate": 0.0,
        "attention_dropout_rate": 0.0,
    },
    "decoder": "transformer",
    "decoder_conf": {
        "attention_heads": 2,
        "linear_units": 8,
        "num_blocks": 1,
        "dropout_rate": 0.0,
        "positional_dropout_rate": 0.0,
        "self_attention_dropout_rate": 0.0,
        "src_attention_dropout_rate": 0.0,
    },
}


RNN = {
    "decoder": "rnn",
    "decoder_conf": {"rnn_type": "lstm", "num_layers": 1, "hidden_size": 8, "att_conf": {"atype": "location"}},
}


def build(networks, ctc_weight=0.4, seed=0, smoothing=0.1):
    args = vars(KDTask.get_parser().parse_args([]))
    args.update(
        networks,
        token_list=["<blank>", "<unk>", *"abcd", "<sos/eos>"],
        input_size=20,
        normalize=None,
        model_conf={"ctc_weight": ctc_weight, "lsm_weight": smoothing},
    )
    torch.manual_seed(seed)
    return KDTask.build_model(argparse.Namespace(**args)).train()


def batch_of(hypotheses, weights):
    """Collated as ESPnet collates: flat ids, lengths, weights, padded with -1 and 0."""
    flat = [[token for hypothesis in one for token in hypothesis] for one in hypotheses]
    pad = lambda rows, value: torch.tensor([row + [value] * (max(map(len, rows)) - len(row)) for row in rows])  # noqa: E731
    return {
        "kd_hyps": pad(flat, -1),
        "kd_hyp_lens": pad([[len(h) for h in one] for one in hypotheses], -1),
        "kd_weights": pad(weights, 0.0),
    }
