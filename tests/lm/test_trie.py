"""Scores of a tree of prefixes against each hypothesis by itself."""

import argparse

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.errors import UserError
from kdasr.espnet import name
from kdasr.lm import piece, trie
from kdasr.lm.trie import AwdNetwork, batches, network_of, score_lists
from kdasr.networks.awd import AwdLstm

WORDS = 11  # the last one is <sos/eos>
SMALL = {"embed": 6, "hidden": 8, "last": 5, "layers": 3, "experts": 4}
LISTS = [
    [[3, 1, 4], [3, 1, 5], [3, 1], [], [3, 1, 4]],  # ends within another, nothing said, twice the same
    [[3]],
    [[3, 1, 4, 1, 5, 9, 2, 6], [10, 10], [3, 1, 4, 1, 5, 9, 2, 7]],  # <sos/eos> as a word
    [[word] for word in range(1, 8)],
]


def network(seed=0, **changes):
    """Distributions that are far from even."""
    torch.manual_seed(seed)
    model = AwdLstm(WORDS, **(SMALL | changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)
    return model


@torch.no_grad()
def alone(models, hyp):
    """Log P of a hypothesis: whole distributions, one hypothesis at a time."""
    words = torch.tensor([[WORDS - 1, *hyp]])
    probs = sum(model(words, None)[0][0].double().exp() for model in models) / len(models)  # (T + 1, V)
    return float(probs[range(len(hyp) + 1), [*hyp, WORDS - 1]].log().sum())


def close(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("changes", [{}, {"experts": 1, "last": 6}, {"layers": 1, "tie": False}])
@pytest.mark.parametrize("count", [1, 3])
def test_scores_are_those_of_each_hypothesis_alone(changes, count):
    models = [network(seed, **changes) for seed in range(count)]
    found, _ = score_lists([network_of(model, "lm") for model in models], LISTS)
    close(found, [[alone(models, hyp) for hyp in hyps] for hyps in LISTS])


def test_slices_and_batches_change_nothing(monkeypatch):
    """Softmaxes of two rows, steps of three nodes, batches of one utterance; and no larger ones are made."""
    model = network()
    expected, work = score_lists([AwdNetwork(model)], LISTS)
    monkeypatch.setattr(piece, "SLICE", 2 * model.experts * WORDS)
    rows, nodes = [], []
    model.out.register_forward_hook(lambda _module, given, _out: rows.append(len(given[0])))
    model.embed.register_forward_hook(lambda _module, given, _out: nodes.append(len(given[0])))
    cut = AwdNetwork(model)
    cut.rows = 3
    found, same = score_lists([cut], LISTS)
    close(found, expected)
    assert same == work
    assert max(rows) == 2 * model.experts and sum(rows) == work.tree * model.experts
    assert max(nodes) == 3 and sum(nodes) == work.tree
    monkeypatch.setattr(trie, "STATES", 1)
    found, apart = score_lists([cut], LISTS)
    close(found, expected)
    assert apart.steps == work.steps and apart.tree > work.tree  # the root, and 3 1 4 of two lists


def test_work_is_counted_by_hand():
    networks = [AwdNetwork(network())]
    told = []
    _, work = score_lists(networks, [[[1, 2, 3], [1, 2, 4], [1, 2]]], progress=told.append)
    assert work == (4 + 4 + 3, 5)  # "", 1, 1 2, 1 2 3, 1 2 4
    assert sum(told) == work.steps
    _, work = score_lists(networks, [[[1, 2, 3], [1, 2, 4], [1, 2]], [[1, 2], [5]]])
    assert work == (11 + 3 + 2, 6)
    assert score_lists(networks, []) == ([], (0, 0))


def test_a_batch_has_as_many_hypotheses_as_the_states_of_two_levels_allow(monkeypatch):
    """Of (8 + 8 + 5) hidden and as many cells, four bytes each; of two models, of both."""
    one = [AwdNetwork(network())]
    node = 2 * (8 + 8 + 5) * 4
    for networks, size in ((one, node), (one * 2, 2 * node)):
        monkeypatch.setattr(trie, "STATES", 2 * size * 7)
        assert trie.most_hypotheses(networks) == 7
        monkeypatch.setattr(trie, "STATES", 2 * size * 7 - 1)
        assert trie.most_hypotheses(networks) == 6
        monkeypatch.setattr(trie, "STATES", 1)
        assert trie.most_hypotheses(networks) == 1
    monkeypatch.setattr(trie, "STATES", 1 << 60)
    assert trie.most_hypotheses(one) == 1 << 16


def test_batches_end_with_utterances():
    assert list(batches([3, 3, 9, 1, 1, 4], 6)) == [(0, 2), (2, 3), (3, 6)]
    assert list(batches([], 6)) == []


some_lists = st.lists(st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=1, max_size=8), min_size=1, max_size=4)


@examples(30)
@given(some_lists)
def test_a_batch_is_its_utterances(lists):
    networks = [AwdNetwork(network())]
    together, work = score_lists(networks, lists)
    each = [score_lists(networks, [hyps]) for hyps in lists]
    close(together, [found[0] for found, _ in each])
    assert work.steps == sum(one.steps for _, one in each)
    prefixes = {tuple(hyp[:k]) for hyps in lists for hyp in hyps for k in range(len(hyp) + 1)}
    assert work.tree == len(prefixes)


@examples(30)
@given(some_lists, st.randoms(use_true_random=False))
def test_permuted_hypotheses_have_permuted_scores(lists, random):
    """Exactly: it is the same tree."""
    networks = [AwdNetwork(network())]
    found, _ = score_lists(networks, lists)
    orders = [random.sample(range(len(hyps)), len(hyps)) for hyps in lists]
    other, _ = score_lists(networks, [[hyps[k] for k in order] for hyps, order in zip(lists, orders, strict=True)])
    for one, order, permuted in zip(found, orders, other, strict=True):
        assert one[order].tolist() == permuted.tolist()


# ------------------------------------------------------------------------------------- histories joined


def joined(model, hyps, history):
    """The definition: what a node has heard is what the first hypothesis that came by had heard."""
    heard, scores = {}, []
    for hyp in hyps:
        told, total = (), 0.0
        for k in range(len(hyp) + 1):
            if k:
                told = heard.setdefault((k, tuple(hyp[max(0, k - history) : k])), (*told, hyp[k - 1]))
            with torch.no_grad():
                logp, _ = model(torch.tensor([[WORDS - 1, *told]]), None)
            total += float(logp[0, -1, [*hyp, WORDS - 1][k]])
        scores.append(total)
    return scores, len(heard) + 1


@examples(30)
@given(some_lists, st.integers(1, 3))
def test_joined_histories_are_those_of_the_first_hypothesis(lists, history):
    model = network()
    found, work = score_lists([AwdNetwork(model)], lists, history)
    expected = [joined(model, hyps, history) for hyps in lists]
    close(found, [scores for scores, _ in expected])
    assert work.tree == sum(nodes for _, nodes in expected)


def test_a_history_of_all_words_is_exact():
    networks = [AwdNetwork(network())]
    close(score_lists(networks, LISTS, history=8)[0], score_lists(networks, LISTS)[0])
    inexact = score_lists(networks, LISTS, history=1)[0]
    assert abs(inexact[2][2] - score_lists(networks, LISTS)[0][2][2]) < 1e-4  # 6 and 7 follow one history
    lists = [[[3, 1, 4, 1], [5, 1, 4, 1]]]
    (exact,), _ = score_lists(networks, lists)
    (short,), work = score_lists(networks, lists, history=2)
    assert work.tree == 7 and abs(short[0] - exact[0]) < 1e-4 and abs(short[1] - exact[1]) > 1e-3


# ------------------------------------------------------------------------------------- ESPnet's models


def espnet_lm(**conf):
    kind = conf.pop("lm", "seq_rnn")
    tokens = ["<blank>", "<unk>", *"abcdefgh", "<sos/eos>"]
    config = {"lm": kind, "lm_conf": conf, "token_list": tokens, "token_type": "char", "init": None}
    torch.manual_seed(0)
    task = name("espnet2.tasks.lm:LMTask")
    return task.build_model(argparse.Namespace(**config, model="lm", model_conf={})).eval().lm


@pytest.mark.parametrize(
    "conf",
    [
        {"unit": 10, "nhid": 12, "nlayers": 2},
        {"unit": 10, "nlayers": 1, "rnn_type": "gru"},
        {"unit": 10, "nlayers": 2, "rnn_type": "rnn_tanh", "tie_weights": True},
    ],
)
def test_espnets_recurrent_models(conf):
    """Against their own `score`, as ESPnet's search calls it; in steps of four nodes."""
    lm = espnet_lm(**conf)
    tree = network_of(lm, "lm")
    tree.rows = 4
    found, work = score_lists([tree], LISTS)
    expected = []
    for hyps in LISTS:
        expected.append([])
        for hyp in hyps:
            state, total, said = None, 0.0, [WORDS - 1, *hyp]
            for k, word in enumerate([*hyp, WORDS - 1]):
                with torch.no_grad():
                    logp, state = lm.score(torch.tensor(said[: k + 1]), state, None)
                total += float(logp[word])
            expected[-1].append(total)
    close(found, expected)
    assert work.tree < work.steps


def test_models_of_two_kinds_are_averaged():
    lm, awd = espnet_lm(unit=10, nhid=12, nlayers=1), network()
    (found,), _ = score_lists([network_of(lm, "a"), network_of(awd, "b")], [[[3, 1]]])
    words = torch.tensor([[WORDS - 1, 3, 1]])
    with torch.no_grad():
        probs = awd(words, None)[0][0].exp() + torch.softmax(lm(words, None)[0][0], -1)
    assert found[0] == pytest.approx(float((probs / 2)[range(3), [3, 1, WORDS - 1]].log().sum()), abs=1e-5)


def test_a_model_without_a_state_is_refused_by_name():
    lm = espnet_lm(lm="transformer", embed_unit=6, att_unit=8, head=2, unit=12, layer=1)
    with pytest.raises(UserError, match="exp/lm: a language model of type transformer; name one of type awd_lstm"):
        network_of(lm, "exp/lm", "transformer")
