"""The front end and encoder for text: a batch is its sentences alone; both directions by torch's own LSTM."""

import pytest
import torch

from kdasr.networks.text import Lookup, TextEncoder


@pytest.mark.parametrize("rnn_type", ["lstm", "gru"])
@pytest.mark.parametrize("bins", [8, 5])
def test_a_batch_is_its_sentences_alone(rnn_type, bins):
    torch.manual_seed(0)
    front, encoder = Lookup(20, bins).eval(), TextEncoder(bins, 8, 2, rnn_type).eval()
    assert (front.output_size(), encoder.output_size()) == (bins, 8)
    tokens, lens = torch.randint(0, 20, (3, 9)), torch.tensor([9, 4, 1])
    hs, hlens, _ = encoder(*front(tokens, lens))
    assert hlens.tolist() == [9, 4, 1]
    for b, length in enumerate(lens.tolist()):
        alone, _, _ = encoder(*front(tokens[b : b + 1, :length], torch.tensor([length])))
        torch.testing.assert_close(hs[b, :length], alone[0], rtol=1e-5, atol=1e-6)
        assert (hs[b, length:] == 0).all()


def test_a_token_sees_both_sides():
    torch.manual_seed(0)
    encoder = TextEncoder(4, 4, 1).eval()
    x = torch.randn(1, 6, 4, requires_grad=True)
    hs, _, _ = encoder(x, torch.tensor([6]))
    (gradient,) = torch.autograd.grad(hs[0, 3].pow(2).sum(), x)
    assert (gradient[0].abs().sum(1) > 0).all()


def test_embeddings_without_positions():
    front = Lookup(20, 4, dropout_rate=0.5)
    tokens, lens = torch.tensor([[3, 3, 5]]), torch.tensor([3])
    x, same = front.eval()(tokens, lens)
    assert torch.equal(x[0], front.embed[0].weight[tokens[0]])
    assert same is lens
    assert (front.train()(tokens, lens)[0] == 0).any() or (front(tokens, lens)[0] == 0).any()
