"""The network against a plain reading of the papers: loops, one word at a time."""

import math

import pytest
import torch

from kdasr.networks.awd import AwdLstm

SMALL = {"embed": 6, "hidden": 8, "last": 5, "layers": 3, "experts": 4}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return AwdLstm(11, **SMALL).eval()


def by_hand(model, words):
    """log P (T, V) after each word of one stream: LSTM cells and mixtures written out."""
    states = [(torch.zeros(layer.hidden_size), torch.zeros(layer.hidden_size)) for layer in model.layers]
    result = []
    for word in words:
        x = model.embed.weight[word]
        for number, layer in enumerate(model.layers):
            h, c = states[number]
            gates = layer.weight_ih_l0 @ x + layer.bias_ih_l0 + layer.weight_hh_l0 @ h + layer.bias_hh_l0
            i, f, g, o = gates.chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states[number] = (h, c)
            x = h
        prior = torch.softmax(model.prior.weight @ x, 0)
        mixture = torch.zeros(model.out.out_features)
        for k, vector in enumerate(torch.tanh(model.latent(x)).chunk(model.experts)):
            mixture = mixture + prior[k] * torch.softmax(model.embed.weight @ vector + model.out.bias, 0)
        result.append(mixture.log())
    return torch.stack(result)


def test_network_is_the_papers(model):
    words = torch.tensor([3, 1, 4, 1, 5])
    logp, state = model(words[None], None)
    torch.testing.assert_close(logp[0], by_hand(model, words), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logp.exp().sum(-1), torch.ones(1, 5))
    more, _ = model(torch.tensor([[9]]), state)
    torch.testing.assert_close(more[0], by_hand(model, [*words, 9])[-1:], rtol=1e-5, atol=1e-5)


def test_one_expert_is_a_plain_tied_softmax():
    torch.manual_seed(0)
    model = AwdLstm(11, embed=6, hidden=8, last=6, experts=1).eval()
    x, _, _ = model.hidden(torch.tensor([[3, 1]]), model.zero(1))
    expected = torch.log_softmax(x[0] @ model.embed.weight.T + model.out.bias, -1)
    torch.testing.assert_close(model(torch.tensor([[3, 1]]), None)[0][0], expected)
    assert model.out.weight is model.embed.weight
    with pytest.raises(ValueError, match="as wide as the embedding"):
        AwdLstm(11, embed=6, hidden=8, last=5, experts=1)


@pytest.mark.parametrize(
    ("vocabulary", "sizes", "millions"),
    [  # Shi et al. 2019: Penn Treebank teacher and student, WSJ teacher and student
        (10_001, {"embed": 280, "hidden": 960, "last": 620, "experts": 15}, 21.5),
        (10_001, {"embed": 200, "hidden": 480, "last": 300, "experts": 15}, 7.0),
        (40_000, {"embed": 900, "hidden": 1150, "last": 650, "experts": 7}, 64.9),
        (40_000, {"embed": 250, "hidden": 250, "last": 250, "experts": 7}, 12.0),
    ],
)
def test_parameter_counts_are_the_papers(vocabulary, sizes, millions):
    with torch.device("meta"):
        model = AwdLstm(vocabulary, **sizes)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_streams_do_not_see_each_other_and_pieces_join(model):
    words = torch.randint(11, (3, 7))
    together, _ = model(words, None)
    for row in range(3):
        torch.testing.assert_close(model(words[row : row + 1], None)[0][0], together[row], rtol=1e-5, atol=1e-5)
    first, state = model(words[:, :4], None)
    second, _ = model(words[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), together, rtol=1e-5, atol=1e-5)


def test_scores_for_espnets_search_are_those_of_the_whole(model):
    ys = torch.tensor([[10, 3, 1], [10, 2, 7]])
    expected, _ = model(ys, None)
    states = [None, None]
    for length in (1, 2, 3):
        logp, states = model.batch_score(ys[:, :length], states, None)
        torch.testing.assert_close(logp, expected[:, length - 1], rtol=1e-5, atol=1e-5)
    state = None
    for length in (1, 2, 3):
        logp, state = model.score(ys[0, :length], state, None)
    torch.testing.assert_close(logp, expected[0, 2], rtol=1e-5, atol=1e-5)
    memory = model.remember(torch.zeros(1, 4, 3), torch.tensor([4]))
    state = model.start(memory, 2)
    for step in range(3):
        logp, state = model.step(ys[None, :, step], state, memory)
        torch.testing.assert_close(logp[0], expected[:, step], rtol=1e-5, atol=1e-5)


def dropped(model, kind, share=0.5):
    model.drop[kind] = share
    return model.train()


def test_variational_dropout_is_alike_for_all_words(model):
    x = torch.ones(4, 9, 50)
    torch.manual_seed(1)
    out = dropped(model, "input")._locked(x, "input")
    assert set(out.unique().tolist()) == {0.0, 2.0}
    assert (out == out[:, :1]).all() and not (out[0] == out[1]).all()
    assert (model.eval()._locked(x, "input") == x).all()
    mask = dropped(model, "latent").latent_mask(3, 5).view(3, 5, -1)
    assert set(mask.unique().tolist()) == {0.0, 2.0} and (mask == mask[:, :1]).all()


SHARES = {"input": 0.2, "hidden": 0.3, "output": 0.4, "latent": 0.5, "embed": 0.15, "weight": 0.6}


@pytest.mark.parametrize("kinds", [*([one] for one in SHARES), list(SHARES)])
def test_every_dropout_is_the_papers(model, kinds):
    """The same masks drawn here, in the order of the network, and cells written out: where each of them applies."""
    model.drop = dict.fromkeys(SHARES, 0.0) | {kind: SHARES[kind] for kind in kinds}
    words = torch.tensor([[3, 1, 4, 1], [9, 3, 0, 3]])
    torch.manual_seed(5)
    x, state, raw = model.train().hidden(words, model.zero(2))
    logp = model.log_probs(x.flatten(0, 1), model.latent_mask(2, 4)).view(2, 4, -1)

    torch.manual_seed(5)

    def mask(kind, *shape):
        return torch.empty(shape).bernoulli_(1 - SHARES[kind]) / (1 - SHARES[kind]) if kind in kinds else 1.0

    table = model.embed.weight * mask("embed", 11, 1)
    seen = [table[words[:, step]] for step in range(4)]
    locked = mask("input", 2, 1, 6)
    for number, layer in enumerate(model.layers):
        seen = [one * locked if isinstance(locked, float) else one * locked[:, 0] for one in seen]
        recurrent, size = layer.weight_hh_l0, layer.hidden_size
        if "weight" in kinds:
            recurrent = recurrent * torch.nn.functional.dropout(torch.ones_like(recurrent), SHARES["weight"])
        h = c = torch.zeros(2, size)
        for step in range(4):
            gates = seen[step] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ recurrent.T + layer.bias_hh_l0
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            seen[step] = h
        torch.testing.assert_close(state[number], (h, c), rtol=1e-4, atol=1e-5)
        locked = mask("output" if number == 2 else "hidden", 2, 1, size)
    torch.testing.assert_close(raw, torch.stack(seen, 1), rtol=1e-4, atol=1e-5)
    seen = torch.stack(seen, 1) * locked
    torch.testing.assert_close(x, seen, rtol=1e-4, atol=1e-5)
    vectors = (torch.tanh(model.latent(seen)) * mask("latent", 2, 1, 24)).view(2, 4, 4, 6)
    mixture = torch.softmax(vectors @ model.embed.weight.T + model.out.bias, -1)  # (B, T, K, V)
    expected = (torch.softmax(seen @ model.prior.weight.T, -1)[..., None] * mixture).sum(2).log()
    torch.testing.assert_close(logp, expected, rtol=1e-4, atol=1e-5)
    model.eval()  # nothing is dropped
    torch.testing.assert_close(model(words, None)[0][0], by_hand(model, words[0]), rtol=1e-4, atol=1e-4)
    assert model.latent_mask(2, 4) is None


def test_words_of_their_own_in_the_output_unless_tied():
    tied, apart = (AwdLstm(11, **SMALL, tie=tie) for tie in (True, False))
    assert sum(p.numel() for p in apart.parameters()) - sum(p.numel() for p in tied.parameters()) == 11 * 6
    assert apart.out.weight is not apart.embed.weight and apart.out.weight.abs().max() <= 0.1
    assert (apart.out.bias == 0).all() and (tied.out.bias == 0).all()


def test_embedding_dropout_takes_whole_words(model):
    torch.manual_seed(1)
    words = torch.arange(11).repeat(2)
    out = dropped(model, "embed")._embedded(words)
    gone = (out == 0).all(-1)
    assert 0 < gone.sum() < 22 and (gone[:11] == gone[11:]).all()
    torch.testing.assert_close(out[~gone], 2 * model.embed.weight[words[~gone]])


def test_dropconnect_takes_recurrent_weights_only(model):
    """With all recurrent weights gone (as good as), the last word alone decides, but for the cell."""
    torch.manual_seed(1)
    dropped(model, "weight", 1 - 1e-9)
    _, state, _ = model.hidden(torch.tensor([[3]]), model.zero(1))
    model.eval()
    _, expected, _ = model.hidden(torch.tensor([[3]]), model.zero(1))
    for (h, c), (other_h, other_c) in zip(state, expected, strict=True):  # from zero there is nothing to drop
        torch.testing.assert_close((h, c), (other_h, other_c))
    before = [layer.weight_hh_l0.clone() for layer in model.layers]
    model.train().hidden(torch.tensor([[3, 4]]), model.zero(1))
    assert all((one == layer.weight_hh_l0).all() for one, layer in zip(before, model.layers, strict=True))
    with torch.no_grad():
        for layer in model.layers:
            layer.weight_hh_l0.zero_()
    plain = model.eval().hidden(torch.tensor([[3, 4]]), model.zero(1))[0]
    with torch.no_grad():
        for one, layer in zip(before, model.layers, strict=True):
            layer.weight_hh_l0.copy_(one)
    torch.testing.assert_close(model.train().hidden(torch.tensor([[3, 4]]), model.zero(1))[0], plain)


def test_uniform_start_costs_about_the_vocabulary(model):
    logp, _ = model(torch.randint(11, (2, 50)), None)
    assert logp.mean().item() == pytest.approx(-math.log(11), rel=0.05)
