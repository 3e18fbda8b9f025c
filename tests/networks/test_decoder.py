"""The decoder: training, grid steps and ESPnet's scorer interface give the same distribution."""

from itertools import pairwise

import pytest
import torch

from kdasr.networks import decoder as networks
from kdasr.networks.decoder import AttentionDecoder, State
from kdasr.networks.prefixes import prefixes_of


def logits_of(decoder, hs, lens, ys, used=None, share=True):
    """Logits (B, K, L, V) after each step of hypotheses (B, K, L), zero where there is none."""
    used = torch.ones(ys.shape[:2], dtype=torch.bool) if used is None else used
    prefixes = prefixes_of(ys, used, share)
    flat = decoder.forward_prefixes(hs, lens, prefixes)
    return flat[prefixes.path.clamp(min=0)] * (prefixes.path >= 0)[..., None]


@pytest.fixture(params=["gru", "lstm"])
def decoder(request):
    torch.manual_seed(1)
    return AttentionDecoder(
        11, 6, hidden_size=8, num_layers=2, embed_size=5, attention_size=7, kernel_size=5, cell_type=request.param
    ).eval()


def test_steps_equal_training(decoder):
    hs, lens = torch.randn(3, 9, 6), torch.tensor([9, 6, 2])
    ys = torch.randint(0, 11, (3, 4, 5))
    expected = torch.log_softmax(logits_of(decoder, hs, lens, ys), -1)  # (B, K, L, V)
    memory = decoder.remember(hs, lens)
    state = decoder.start(memory, 4)
    for i in range(5):
        logp, state = decoder.step(ys[:, :, i], state, memory)
        torch.testing.assert_close(logp, expected[:, :, i], rtol=1e-5, atol=1e-5)


def test_every_layer_is_handed_what_it_gave(decoder):
    """Hidden state and, of an LSTM, its cell, step after step."""
    seen = [[] for _ in decoder.cells]
    for number, layer in enumerate(decoder.cells):
        layer.register_forward_hook(lambda _, given, gave, number=number: seen[number].append((given[1], gave)))
    memory = decoder.remember(torch.randn(2, 9, 6), torch.tensor([9, 6]))
    state = decoder.start(memory, 1)
    for token in (3, 5, 2):
        _, state = decoder.step(torch.full((2, 1), token), state, memory)
    assert [len(steps) for steps in seen] == [3, 3]
    for steps in seen:
        for (_, gave), (given, _) in pairwise(steps):
            for after, before in zip(
                *(one if isinstance(one, tuple) else (one,) for one in (gave, given)), strict=True
            ):
                torch.testing.assert_close(after, before)
                assert after.abs().sum() > 0


def test_hypotheses_together_equal_each_alone(decoder):
    hs, lens = torch.randn(2, 9, 6), torch.tensor([9, 4])
    ys = torch.randint(0, 11, (2, 3, 5))
    together = logits_of(decoder, hs, lens, ys)
    for k in range(3):
        alone, _ = decoder(hs, lens, ys[:, k], torch.tensor([5, 5]))
        torch.testing.assert_close(together[:, k], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_unused_hypotheses_are_not_computed(layers):
    torch.manual_seed(5)
    decoder = AttentionDecoder(11, 6, hidden_size=8, num_layers=layers, attention_size=7, kernel_size=5).eval()
    hs, lens = torch.randn(3, 9, 6), torch.tensor([9, 4, 7])
    ys = torch.randint(0, 11, (3, 3, 5))
    used = torch.tensor([[True, True, False], [False, True, False], [True, True, True]])
    some, every = logits_of(decoder, hs, lens, ys, used), logits_of(decoder, hs, lens, ys)
    torch.testing.assert_close(some[used], every[used], rtol=1e-5, atol=1e-5)
    assert some[~used].abs().max() == 0
    gradients = [
        torch.autograd.grad((logits * used[..., None, None]).square().sum(), decoder.parameters())
        for logits in (some, every)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_sharing_prefixes_changes_nothing(layers, cell):
    torch.manual_seed(6)
    decoder = AttentionDecoder(11, 6, hidden_size=8, num_layers=layers, cell_type=cell, attention_size=7).eval()
    hs, lens = torch.randn(2, 9, 6), torch.tensor([9, 4])
    one = [[10, 1, 2, 3], [10, 1, 2, 4], [10, 1, -1, -1]]
    ys = torch.tensor([one, [[10, 5, 5, -1], [10, 5, 5, 5], [10, 5, 5, -1]]])
    shared, apart = (logits_of(decoder, hs, lens, ys, share=share) for share in (True, False))
    torch.testing.assert_close(shared, apart, rtol=1e-5, atol=1e-5)
    assert len(prefixes_of(ys, torch.ones(2, 3).bool()).tokens) == 9
    gradients = [
        torch.autograd.grad((logits * torch.arange(11)).square().sum(), decoder.parameters())
        for logits in (shared, apart)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-3)


def test_padding_is_not_attended(decoder):
    hs = torch.randn(1, 9, 6)
    ys = torch.randint(0, 11, (1, 1, 5))
    short = logits_of(decoder, hs[:, :4], torch.tensor([4]), ys)
    padded = logits_of(decoder, hs, torch.tensor([4]), ys)
    torch.testing.assert_close(short, padded, rtol=1e-5, atol=1e-5)


def test_espnet_interface_equals_steps(decoder):
    hs = torch.randn(1, 9, 6)
    memory = decoder.remember(hs, torch.tensor([9]))
    ys = torch.tensor([[10, 3, 4], [10, 5, 1]])
    state = decoder.start(memory, 2)
    states = [None, None]
    for i in range(3):
        logp, state = decoder.step(ys[None, :, i], state, memory)
        scores, states = decoder.batch_score(ys[:, : i + 1], states, hs.expand(2, -1, -1))
        torch.testing.assert_close(scores, logp[0], rtol=1e-5, atol=1e-5)
    one = None
    for i in range(3):
        score, one = decoder.score(ys[1, : i + 1], one, hs[0])
    torch.testing.assert_close(score, scores[1], rtol=1e-5, atol=1e-5)
    assert isinstance(one, State)


@pytest.mark.parametrize("block", [1, 400, 10**9])
def test_a_search_attends_as_training_does(decoder, block, monkeypatch):
    """Without gradients: a sigmoid in place of the tanh, some utterances at once."""
    monkeypatch.setattr(networks, "BLOCK", block)
    torch.manual_seed(8)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0.0, 0.7)
    hs, lens = torch.randn(3, 9, 6), torch.tensor([9, 4, 7])
    found = []
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            memory = decoder.remember(hs, lens)
            state = decoder.start(memory, 2)
            for tokens in torch.tensor([[[10, 10]], [[3, 4]], [[1, 1]], [[7, 2]]]).expand(-1, 3, -1):
                logp, state = decoder.step(tokens, state, memory)
            found.append((logp.detach(), state.align.detach()))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_attention_by_hand():
    """One frame valid: attention has nowhere else to go, whatever the energies."""
    decoder = AttentionDecoder(4, 3, hidden_size=2, attention_size=2, kernel_size=3).eval()
    memory = decoder.remember(torch.randn(1, 5, 3), torch.tensor([1]))
    _, state = decoder.step(torch.tensor([[3]]), decoder.start(memory, 1), memory)
    assert state.align[0, 0].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    torch.testing.assert_close(state.context[0, 0], memory.values[0, 0])


def test_sampling_feeds_own_tokens():
    torch.manual_seed(3)
    decoder = AttentionDecoder(11, 6, hidden_size=8, attention_size=4, sampling_probability=1.0, dropout_rate=0.0)
    hs, lens = torch.randn(1, 9, 6), torch.tensor([9])
    one, other = torch.tensor([[[10, 1, 2, 3]]]), torch.tensor([[[10, 4, 5, 6]]])
    # Always its own token: what the targets say after the first cannot matter.
    torch.testing.assert_close(logits_of(decoder, hs, lens, one), logits_of(decoder, hs, lens, other))
    decoder.eval()
    assert not torch.allclose(logits_of(decoder, hs, lens, one), logits_of(decoder, hs, lens, other))


def test_dropout_is_on_embeddings_and_before_the_output():
    """With a rate of one the output is its bias; with the output's taken away, embeddings do not matter."""
    for layers in (1, 2):
        decoder = AttentionDecoder(11, 6, hidden_size=8, num_layers=layers, dropout_rate=1.0).train()
        hs, lens, ys = torch.randn(1, 9, 6), torch.tensor([9]), torch.tensor([[[10, 1, 2]]])
        logits = logits_of(decoder, hs, lens, ys)
        torch.testing.assert_close(logits[0, 0], decoder.output.bias.expand(3, 11))
        prefixes = prefixes_of(ys, torch.ones(1, 1, dtype=torch.bool))
        decoder.output = torch.nn.Sequential()  # what stands before it, seen with its own dropout undone
        decoder.dropout = HalfOff()
        one = decoder.forward_prefixes(hs, lens, prefixes)
        decoder.embed.weight.data.normal_()
        torch.testing.assert_close(decoder.forward_prefixes(hs, lens, prefixes), one)
    assert AttentionDecoder(11, 6).dropout.p == 0.1 and AttentionDecoder(11, 6, dropout_rate=0.3).dropout.p == 0.3


class HalfOff(torch.nn.Module):
    """Drops all the first time that it is called, nothing the second time, and so on."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * 0 if self.calls % 2 else x


def test_sampling_takes_the_own_token_as_often_as_asked(monkeypatch):
    """Of each prefix of a tree the best token after its own parent, all units of its embedding or none."""
    torch.manual_seed(3)
    decoder = AttentionDecoder(11, 6, hidden_size=8, attention_size=4, sampling_probability=0.3, dropout_rate=0.0)
    hs, lens = torch.randn(2, 9, 6), torch.tensor([9, 7])
    ys = torch.tensor([[[10, 1, 2], [10, 1, 3], [10, 4, 2]], [[10, 5, 5], [10, 6, 5], [10, 7, 1]]])
    prefixes = prefixes_of(ys, torch.ones(2, 3).bool())
    advance, fed = decoder._advance, []

    def told(embedded, state, memory):
        fed.append(embedded[:, 0].detach().clone())
        features = advance(embedded, state, memory)
        given.append(features[0].detach()[:, 0])
        return features

    monkeypatch.setattr(decoder, "_advance", told)
    own = of_target = 0
    for _ in range(60):
        given = []
        fed.clear()
        decoder.forward_prefixes(hs, lens, prefixes)
        start = prefixes.sizes[0]
        for step in (1, 2):
            for row, embedding in enumerate(fed[step]):
                node = start + row
                above = int(prefixes.parent[node]) - (start - prefixes.sizes[step - 1])
                best = int(decoder.output(given[step - 1][above]).argmax())
                target = int(prefixes.tokens[node])
                if best == target:
                    continue
                own += torch.equal(embedding, decoder.embed.weight[best])
                of_target += torch.equal(embedding, decoder.embed.weight[target])
            start += prefixes.sizes[step]
    assert 0.25 < own / (own + of_target) < 0.35 and own + of_target > 400


def test_the_centre_is_where_attention_looked_most(decoder):
    align = torch.tensor([[[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]]])
    state = State(torch.zeros(1, 2, 2, 8), torch.zeros(1, 2, 2, 8), torch.zeros(1, 2, 6), align)
    assert decoder.centre(state).tolist() == [[1, 0]]


def test_behind_the_end_logits_are_zero(decoder):
    hs, lens, ys = torch.randn(2, 9, 6), torch.tensor([9, 4]), torch.randint(0, 11, (2, 5))
    logits, found = decoder(hs, lens, ys, torch.tensor([5, 2]))
    assert logits[1, 2:].abs().max() == 0 and logits[1, :2].abs().min() > 0 and found.tolist() == [5, 2]
    torch.testing.assert_close(logits[1, :2], decoder(hs[1:, :4], lens[1:], ys[1:, :2], torch.tensor([2]))[0][0])


def test_attention_is_its_formula():
    """e = w . tanh(key + query + location of the alignment around each frame), one frame after the other."""
    decoder = AttentionDecoder(7, 3, hidden_size=4, attention_size=5, kernel_size=3).double().eval()
    hs, lens = torch.randn(2, 6, 3).double(), torch.tensor([6, 4])
    memory = decoder.remember(hs, lens)
    align, top = torch.rand(2, 2, 6).double(), torch.randn(2, 2, 4).double()
    context, found = decoder._attend(top, align, memory)
    for b, length in enumerate(lens.tolist()):
        for k in range(2):
            energies = []
            for s in range(length):
                around = torch.tensor([align[b, k, s + d] if 0 <= s + d < 6 else 0.0 for d in (-1, 0, 1)]).double()
                mixed = decoder.key(hs[b, s]) + decoder.query(top[b, k]) + decoder.location(around)
                energies.append(decoder.energy(torch.tanh(mixed)))
            expected = torch.softmax(torch.cat(energies), 0)
            torch.testing.assert_close(found[b, k, :length], expected)
            assert found[b, k, length:].tolist() == [0.0] * (6 - length)
            torch.testing.assert_close(context[b, k], expected @ hs[b, :length])
