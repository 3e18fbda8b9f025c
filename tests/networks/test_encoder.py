"""The encoder: padding reaches nothing, and the reversed layers are packed bidirectional ones."""

import pytest
import torch

from kdasr.networks.encoder import BidirectionalLayer, ConvRNNEncoder, padding, reversal


@pytest.mark.parametrize("rnn_type", ["lstm", "gru"])
@pytest.mark.parametrize("strides", [(2, 2), (3, 1)])
def test_batch_equals_single(rnn_type, strides):
    encoder = ConvRNNEncoder(20, 16, 2, rnn_type, conv_channels=4, time_strides=strides).eval()
    for norm in encoder.norms:  # statistics that make a padded zero visible
        norm.running_mean.uniform_(-1, 1)
        norm.bias.data.uniform_(-1, 1)
    lens = torch.tensor([41, 40, 39, 38, 17, 4, 1])
    x = torch.randn(len(lens), 41, 20)  # noise where the padding is: it must not matter
    batch, out_lens, _ = encoder(x, lens)
    for b, length in enumerate(lens.tolist()):
        single, single_len, _ = encoder(x[b : b + 1, :length], lens[b : b + 1])
        assert out_lens[b] == single_len[0] == single.size(1)
        torch.testing.assert_close(batch[b, : single_len[0]], single[0], rtol=1e-5, atol=1e-5)
        assert (batch[b, single_len[0] :] == 0).all()


def test_layer_is_a_packed_bidirectional_lstm():
    layer = BidirectionalLayer(8, "lstm", 0.0).eval()
    lstm = torch.nn.LSTM(8, 8, batch_first=True, bidirectional=True)
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        getattr(lstm, name).data.copy_(getattr(layer.ahead, name))
        getattr(lstm, name + "_reverse").data.copy_(getattr(layer.back, name))
    x, lens = torch.randn(3, 7, 8), torch.tensor([7, 5, 2])
    packed, _ = lstm(torch.nn.utils.rnn.pack_padded_sequence(x, lens, batch_first=True))
    both, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    expected = layer.norm(x + both[..., :8] + both[..., 8:])
    ours = layer(x, reversal(lens, 7))
    for b, length in enumerate(lens.tolist()):
        torch.testing.assert_close(ours[b, :length], expected[b, :length], rtol=1e-5, atol=1e-5)


def test_maps_of_low_rank_are_their_products():
    """Two maps one after the other are the whole map that is their product, bias and both directions included."""
    low = ConvRNNEncoder(8, 6, 2, conv_channels=3, project_rank=2, input_rank=4).eval()
    whole = ConvRNNEncoder(8, 6, 2, conv_channels=3).eval()
    state = {name: value for name, value in low.state_dict().items() if name in whole.state_dict()}
    first, second = low.project
    state |= {"project.weight": second.weight @ first.weight, "project.bias": second.bias}
    for number, layer in enumerate(low.layers):
        for direction in ("ahead", "back"):
            read = getattr(layer, direction).weight_ih_l0  # (4 * 6, 4)
            state[f"layers.{number}.{direction}.weight_ih_l0"] = read @ layer.reduce.weight
    whole.load_state_dict(state)
    x, lens = torch.randn(3, 30, 8), torch.tensor([30, 22, 5])
    torch.testing.assert_close(low(x, lens)[0], whole(x, lens)[0], rtol=1e-4, atol=1e-5)


def test_sizes_of_the_paper():
    """Mun'im et al. 2018, Table 1: the smaller networks have 37 % and 10 % of the teacher's parameters."""
    sizes = {}
    for name, layers, hidden in (("teacher", 5, 384), ("mid", 4, 256), ("small", 3, 128)):
        encoder = ConvRNNEncoder(80, hidden, layers, "gru")
        sizes[name] = sum(p.numel() for p in encoder.layers.parameters())
        assert sizes[name] == layers * (2 * (2 * 3 * hidden * hidden + 2 * 3 * hidden) + 2 * hidden)
    assert sizes["small"] / sizes["teacher"] < 0.1


def test_dropout_stands_behind_the_projection_and_in_each_layer():
    """With a rate of one nothing of the input is left: a layer is the norm of what it reads, and that is zero."""
    encoder = ConvRNNEncoder(20, 8, 2, conv_channels=2, dropout_rate=1.0).train()
    found, lens, _ = encoder(torch.randn(2, 20, 20), torch.tensor([20, 12]))
    assert lens.tolist() == [5, 3] and found.abs().max() == 0  # nothing was projected, and what is zero has norm zero
    layer = BidirectionalLayer(8, "gru", 1.0).train()
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(layer(x, reversal(torch.tensor([5, 3]), 5)), layer.norm(x))
    assert encoder.output_size() == 8


@pytest.mark.parametrize("strides", [(2, 2), (3, 1), (1, 1), (3, 2)])
def test_lengths_are_rounded_up(strides):
    encoder = ConvRNNEncoder(8, 4, 1, conv_channels=2, time_strides=strides).eval()
    lens = torch.arange(1, 14)
    _, found, _ = encoder(torch.randn(13, 13, 8), lens)
    assert found.tolist() == [-(-(-(-size // strides[0])) // strides[1]) for size in lens.tolist()]


def test_reversal_and_padding_by_hand():
    assert reversal(torch.tensor([3, 1, 4]), 4).tolist() == [[2, 1, 0, 3], [0, 1, 2, 3], [3, 2, 1, 0]]
    assert padding(torch.tensor([0, 2, 3]), 3).tolist() == [[True] * 3, [False, False, True], [False] * 3]


def test_padding_that_no_utterance_needs_is_cut():
    encoder = ConvRNNEncoder(8, 4, 1, conv_channels=2).eval()
    x, lens = torch.randn(2, 40, 8), torch.tensor([17, 9])
    found, frames, _ = encoder(x, lens)
    assert frames.tolist() == [5, 3] and found.shape == (2, 5, 4)
    torch.testing.assert_close(found, encoder(x[:, :17], lens)[0])
