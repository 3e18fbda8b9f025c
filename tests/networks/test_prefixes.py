"""Prefixes: each once, in a tree; any decoder gives after them what it gives after whole hypotheses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kd_models import OWN, RNN, STOCK, build

from kdasr.networks.prefixes import PADDING, chains, decode_prefixes, prefixes_of, with_sos_eos
from kdasr.targets.files import distinct_prefixes


def test_with_sos_eos():
    ys_in, ys_out = with_sos_eos(torch.tensor([[[2, 3], [4, -1]]]), 6, 6)
    assert ys_in.tolist() == [[[6, 2, 3], [6, 4, -1]]]
    assert ys_out.tolist() == [[[2, 3, 6], [4, 6, -1]]]


def test_a_tree_by_hand():
    """ab, ac and a of one utterance; b of another."""
    ys_in, _ = with_sos_eos(torch.tensor([[[2, 3], [2, 4], [2, -1]], [[3, -1], [-1, -1], [-1, -1]]]), 9, 9)
    used = torch.tensor([[True, True, True], [True, False, False]])
    tree = prefixes_of(ys_in, used)
    assert tree.sizes == (2, 2, 2)
    assert tree.tokens.tolist() == [9, 9, 2, 3, 3, 4]
    assert tree.owner.tolist() == [0, 1, 0, 1, 0, 0]
    assert tree.parent.tolist() == [-1, -1, 0, 1, 2, 2]
    assert tree.path[0].tolist() == [[0, 2, 4], [0, 2, 5], [0, 2, -1]]
    assert tree.path[1].tolist() == [[1, 3, -1], [-1, -1, -1], [-1, -1, -1]]
    apart = prefixes_of(ys_in, used, share=False)
    assert apart.sizes == (4, 4, 2)


hypotheses = st.lists(st.lists(st.integers(2, 4), max_size=5), min_size=1, max_size=4)


@given(st.lists(hypotheses, min_size=1, max_size=3), st.data())
def test_every_prefix_is_there_once(batch, data):
    most, longest = max(map(len, batch)), max(len(h) for one in batch for h in one)
    targets = torch.full((len(batch), most, longest), PADDING)
    used = torch.zeros(len(batch), most, dtype=torch.bool)
    for b, one in enumerate(batch):
        for k, tokens in enumerate(one):
            targets[b, k, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            used[b, k] = data.draw(st.booleans()) or k == 0
    ys_in, _ = with_sos_eos(targets, 9, 9)
    tree = prefixes_of(ys_in, used)
    spelled = []  # each prefix, by following parents
    for node in range(len(tree.tokens)):
        above = spelled[tree.parent[node]][1] if tree.parent[node] >= 0 else ()
        spelled.append((int(tree.owner[node]), (*above, int(tree.tokens[node]))))
    assert len(set(spelled)) == len(spelled)
    wanted = {
        (b, (9, *tokens[:end]))
        for b, one in enumerate(batch)
        for k, tokens in enumerate(one)
        if used[b, k]
        for end in range(len(tokens) + 1)
    }
    assert set(spelled) == wanted
    for b, one in enumerate(batch):
        some = [tokens for k, tokens in enumerate(one) if used[b, k]]
        count = distinct_prefixes([token for tokens in some for token in tokens], list(map(len, some)))
        assert count == (tree.owner == b).sum()
        for k, tokens in enumerate(one):
            nodes = tree.path[b, k].tolist()
            assert nodes[len(tokens) + 1 :] == [-1] * (longest - len(tokens))
            if used[b, k]:
                assert [spelled[node][1] for node in nodes[: len(tokens) + 1]] == [
                    (9, *tokens[:end]) for end in range(len(tokens) + 1)
                ]
            else:
                assert set(nodes) == {-1}
    assert torch.equal(tree.path.flatten()[tree.place], torch.arange(len(spelled)))


def test_chains_by_hand():
    """One token, three, one; an utterance that does not count comes last."""
    ys_in = torch.tensor([[[9, 2, -1, -1]], [[9, 3, -1, -1]], [[9, 4, 5, 6]], [[9, 7, -1, -1]]])
    prefixes = prefixes_of(ys_in, torch.tensor([[True], [False], [True], [True]]))
    assert prefixes.tokens.tolist() == [9, 9, 9, 2, 4, 7, 5, 6]
    order, utterances, rank = chains(prefixes)
    assert utterances.tolist() == [2, 0, 3, 1]
    assert prefixes.tokens[order].tolist() == [9, 9, 9, 4, 2, 7, 5, 6]
    assert rank.tolist() == [0, 1, 2, 0, 1, 2, 0, 0]


@pytest.mark.parametrize("networks", [OWN, STOCK, {**STOCK, **RNN}], ids=["own", "transformer", "rnn"])
def test_any_decoder_gives_what_it_gives_after_whole_hypotheses(networks):
    model = build(networks).eval()
    encoded, frames = torch.randn(2, 7, 8), torch.tensor([7, 5])
    batch = [[[2, 3, 4, 5], [2, 3, 5], [2]], [[5, 2], [5, 2, 4], []]]
    targets = torch.full((2, 3, 4), PADDING)
    for b, one in enumerate(batch):
        for k, tokens in enumerate(one):
            targets[b, k, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
    ys_in, _ = with_sos_eos(targets, model.sos, model.eos)
    used = torch.tensor([[True, True, True], [True, True, False]])
    logits, path, place = decode_prefixes(model.decoder, encoded, frames, ys_in, used)
    for b, one in enumerate(batch):
        for k, tokens in enumerate(one):
            if used[b, k]:
                ys = torch.tensor([[model.sos, *tokens]])
                lens = torch.tensor([ys.size(1)])
                alone, _ = model.decoder(encoded[b : b + 1, : frames[b]], frames[b : b + 1], ys, lens)
                torch.testing.assert_close(logits[path[b, k, : len(tokens) + 1]], alone[0], rtol=1e-4, atol=1e-5)
    # each place is a step that the logits of its own prefix stand behind
    steps = [(path == node).flatten().nonzero()[:, 0].tolist() for node in range(len(logits))]
    found = path.flatten()[place].tolist()
    valid = [node for node in found if node >= 0]
    assert sorted(set(valid)) == sorted({node for node in path.flatten().tolist() if node >= 0})
    assert all(int(at) in steps[node] for at, node in zip(place, found, strict=True) if node >= 0)
    if networks["decoder"] != "rnn":
        assert len(logits) == 6 + 4
