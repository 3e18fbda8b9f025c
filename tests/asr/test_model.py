"""KDModel against stock ESPnet: one hypothesis of weight one is a reference; K are the weighted sum."""

import argparse

import pytest
import torch

from kdasr.asr.model import unpack, with_sos_eos
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


def build(networks, ctc_weight=0.4):
    args = vars(KDTask.get_parser().parse_args([]))
    args.update(
        networks,
        token_list=["<blank>", "<unk>", *"abcd", "<sos/eos>"],
        input_size=20,
        normalize=None,
        model_conf={"ctc_weight": ctc_weight, "lsm_weight": 0.1},
    )
    torch.manual_seed(0)
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


def test_unpack_undoes_collation():
    data = batch_of([[[2, 3], [4]], [[5]]], [[0.75, 0.25], [1.0]])
    targets, weights = unpack(data["kd_hyps"], data["kd_hyp_lens"], data["kd_weights"])
    assert targets.tolist() == [[[2, 3], [4, -1]], [[5, -1], [-1, -1]]]
    assert weights.tolist() == [[0.75, 0.25], [1.0, 0.0]]


def test_with_sos_eos():
    ys_in, ys_out = with_sos_eos(torch.tensor([[[2, 3], [4, -1]]]), 6, 6)
    assert ys_in.tolist() == [[[6, 2, 3], [6, 4, 6]]]
    assert ys_out.tolist() == [[[2, 3, 6], [4, 6, -1]]]


@pytest.mark.parametrize("networks", [OWN, STOCK], ids=["own", "stock"])
@pytest.mark.parametrize("ctc_weight", [0.0, 0.4, 1.0])
def test_one_hypothesis_is_a_reference(networks, ctc_weight):
    model = build(networks, ctc_weight)
    speech, lens = torch.randn(2, 60, 20), torch.tensor([60, 50])
    text, text_lens = torch.tensor([[2, 3, 4], [5, 2, -1]]), torch.tensor([3, 2])
    reference, stats, _ = model(speech, lens, text.clone(), text_lens)
    loss, kd_stats, weight = model(speech, lens, text, text_lens, **batch_of([[[2, 3, 4]], [[5, 2]]], [[1.0], [1.0]]))
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    assert weight == 2
    if ctc_weight < 1:
        assert kd_stats["acc"].item() == pytest.approx(float(stats["acc"]))


@pytest.mark.parametrize("networks", [OWN, STOCK], ids=["own", "stock"])
def test_k_hypotheses_are_the_weighted_sum_of_references(networks):
    model = build(networks)
    for module in model.modules():  # batch statistics would tie an utterance to its batch mates
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    # Equal lengths: the stock encoder's convolutions read padding.
    speech, lens = torch.randn(2, 60, 20), torch.tensor([60, 60])
    hypotheses, weights = [[[2, 3, 4], [2, 4], [5]], [[5, 2], [3]]], [[0.5, 0.3, 0.2], [0.6, 0.4]]
    text, text_lens = torch.tensor([[2], [2]]), torch.tensor([1, 1])
    together, _, _ = model(speech, lens, text, text_lens, **batch_of(hypotheses, weights))
    apart = 0.0
    for b in range(2):
        for hypothesis, weight in zip(hypotheses[b], weights[b], strict=True):
            loss, _, _ = model(
                speech[b : b + 1, : lens[b]],
                lens[b : b + 1],
                torch.tensor([hypothesis]),
                torch.tensor([len(hypothesis)]),
            )
            apart = apart + weight * loss / 2
    assert together.item() == pytest.approx(apart.item(), rel=1e-4)
    gradients = [
        torch.autograd.grad(value, list(model.parameters()), retain_graph=True, allow_unused=True)
        for value in (together, apart)
    ]
    for one, other in zip(*gradients, strict=True):
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_the_checkpoint_is_a_stock_one():
    model = build(OWN)
    from espnet2.asr.espnet_model import ESPnetASRModel

    stock = build(OWN)
    stock.__class__ = ESPnetASRModel
    assert model.state_dict().keys() == stock.state_dict().keys()
