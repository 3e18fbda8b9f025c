"""Luong's decoder: its equations by hand; training, grid steps and ESPnet's scorer interface give the same."""

import pytest
import torch
from torch.nn.functional import linear

from kdasr.networks.luong import LuongDecoder
from kdasr.networks.prefixes import prefixes_of

KINDS = [
    {"rnn_type": kind, "input_feeding": feeding, "tie_output": tied}
    for kind, feeding, tied in (
        ("lstm", False, False),
        ("lstm", True, True),
        ("gru", False, True),
        ("gru", True, False),
        ("lstm", True, False),
    )
]


@pytest.fixture(params=KINDS, ids=["-".join(map(str, kind.values())) for kind in KINDS])
def decoder(request):
    torch.manual_seed(1)
    made = LuongDecoder(11, 6, hidden_size=8, num_layers=2, embed_size=5, **request.param).eval()
    with torch.no_grad():
        made.output.bias.normal_()
    return made


def cell_by_hand(decoder, layer, x, h, c):
    """One layer's next (h, c), as torch documents LSTM and GRU."""
    weights = [getattr(decoder.rnn, f"{name}_l{layer}") for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
    given, before = linear(x, *weights[:2]), linear(h, *weights[2:])
    if isinstance(decoder.rnn, torch.nn.LSTM):
        i, f, g, o = (given + before).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    (r, z, n), (hr, hz, hn) = given.chunk(3), before.chunk(3)
    n = torch.tanh(n + (r + hr).sigmoid() * hn)
    z = (z + hz).sigmoid()
    return (1 - z) * n + z * h, c


def by_hand(decoder, hs, ys):
    """Logits (L, V) after each step of one hypothesis (L,) of one source (S, E)."""
    first = torch.tanh(decoder.begin(hs.mean(0))).split(8)
    h, c = list(first[:2]), list(first[2:]) or [None, None]
    fed, logits = torch.zeros(decoder.output.weight.shape[1]), []
    for token in ys:
        x = decoder.embed.weight[token]
        if decoder.input_feeding:
            x = torch.cat([x, fed])
        for layer in range(2):
            x, c[layer] = cell_by_hand(decoder, layer, x, h[layer], c[layer])
            h[layer] = x
        align = torch.softmax(torch.stack([x @ decoder.key.weight @ one for one in hs]), 0)
        context = sum(weight * one for weight, one in zip(align, hs, strict=True))
        fed = torch.tanh(decoder.mix.weight @ torch.cat([x, context]))
        logits.append(decoder.output.weight @ fed + decoder.output.bias)
    return torch.stack(logits)


@torch.no_grad()
def test_the_equations_by_hand(decoder):
    hs, lens = torch.randn(2, 7, 6), torch.tensor([7, 4])
    ys = torch.randint(0, 11, (2, 5))
    logits, _ = decoder(hs, lens, ys, torch.tensor([5, 5]))
    for b in range(2):
        torch.testing.assert_close(logits[b], by_hand(decoder, hs[b, : lens[b]], ys[b]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_prefixes_equal_hypotheses_alone(decoder):
    hs, lens = torch.randn(3, 7, 6), torch.tensor([7, 4, 1])
    ys = torch.tensor(
        [[[10, 3, 4, 5], [10, 3, 4, -1], [10, 3, 6, 2]], [[10, 2, -1, -1], [10, 3, 3, 3], [10, 2, 2, -1]]]
    )
    ys = torch.cat([ys, ys[:1]])  # (3, 3, 4)
    used = torch.tensor([[True, True, True], [True, True, True], [False, True, False]])
    prefixes = prefixes_of(ys, used)
    flat = decoder.forward_prefixes(hs, lens, prefixes)
    assert len(flat) == len(prefixes.tokens) == 5 + 7 + 3
    for b, k in used.nonzero().tolist():
        length = int((ys[b, k] >= 0).sum())
        alone = by_hand(decoder, hs[b, : lens[b]], ys[b, k, :length])
        torch.testing.assert_close(flat[prefixes.path[b, k, :length]], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_steps_and_espnets_interface_equal_training(decoder):
    hs, lens = torch.randn(2, 7, 6), torch.tensor([7, 4])
    hs[1, 4:] = 7.0
    ys = torch.randint(0, 11, (2, 3, 4))
    memory = decoder.remember(hs, lens)
    state = decoder.start(memory, 3)
    states = [[None] * 3, [None] * 3]
    for i in range(4):
        logp, state = decoder.step(ys[:, :, i], state, memory)  # (B, K, V)
        assert [tuple(part.shape[:2]) for part in state] == [(2, 3)] * 4
        torch.testing.assert_close(state.align.sum(2), torch.ones(2, 3))
        assert (state.align[1, :, 4:] == 0).all()
        assert torch.equal(decoder.centre(state), state.align.argmax(2))
        for b in range(2):
            own = hs[b : b + 1, : lens[b]]
            stock, states[b] = decoder.batch_score(ys[b, :, : i + 1], states[b], own.expand(3, -1, -1))
            torch.testing.assert_close(stock, logp[b], rtol=1e-4, atol=1e-5)
            for k in range(3):
                expected = torch.log_softmax(by_hand(decoder, own[0], ys[b, k, : i + 1])[-1], -1)
                torch.testing.assert_close(logp[b, k], expected, rtol=1e-4, atol=1e-5)


def test_a_tied_matrix_is_one(decoder):
    tied = decoder.output.weight is decoder.embed.weight
    assert tied == (decoder.output.weight.shape[1] == 5)
    counted = sum(weight.numel() for weight in decoder.parameters())
    assert counted == sum(weight.numel() for weight in decoder.state_dict().values()) - tied * 11 * 5


def test_what_is_fed_is_learnt_from_and_dropped_out(decoder):
    decoder.train()
    hs, lens = torch.randn(2, 7, 6), torch.tensor([7, 4])
    ys = torch.randint(0, 11, (2, 5))
    one, other = (decoder(hs, lens, ys, torch.tensor([5, 5]))[0] for _ in range(2))
    assert not torch.equal(one, other)
    one.sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in decoder.parameters())
