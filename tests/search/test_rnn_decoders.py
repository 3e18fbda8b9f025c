"""RNN attention decoders over a grid: ESPnet's own decoder's scores, whoever is whose sibling."""

from __future__ import annotations

import pytest
import search_models as models
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.espnet import name
from kdasr.search import rnn_decoders
from kdasr.search.one_by_one import OneByOne, _unshared
from kdasr.search.options import SearchOptions
from kdasr.search.rnn_decoders import ATTENTIONS, TILE, RnnDecoderScorer, families_of, tiles_of
from kdasr.search.scorers import InTensors, scorers_of
from kdasr.search.stream import search

ATT = {"adim": 8, "aheads": 3, "aconv_chans": 3, "aconv_filts": 7}
KINDS = {
    "location": {"rnn_type": "gru", "num_layers": 2},
    "add": {"context_residual": True},
    "dot": {"rnn_type": "gru"},
    "noatt": {},
    "multi_head_loc": {"num_layers": 2},
    "multi_head_add": {"rnn_type": "gru", "context_residual": True},
    "multi_head_dot": {},
    "multi_head_multi_res_loc": {"rnn_type": "gru"},
}


def decoder(atype, seed=0, **conf):
    """An RNN decoder with this attention, of weights large enough to attend to something."""
    torch.manual_seed(seed)
    kind = name("espnet2.asr.decoder.rnn_decoder:RNNDecoder")(
        11, 6, hidden_size=5, att_conf={"atype": atype, **ATT}, **conf
    ).eval()
    with torch.no_grad():
        for parameter in kind.parameters():
            parameter.normal_(0.0, 0.7)
    return kind


def follow(scorer, hs, lengths, tokens, parents):
    """Log probabilities at each step (B, K, V), hypotheses being replaced by children of `parents` in between."""
    memory = scorer.remember(hs, lengths)
    state = scorer.start(memory, tokens.shape[2])
    logps = []
    for spelt, chosen in zip(tokens, parents, strict=True):
        logp, state = scorer.step(spelt, state, memory)
        state = scorer.reorder(state, chosen)
        logps.append(logp)
    return torch.stack(logps)


@pytest.mark.parametrize("atype", KINDS)
@examples(8)
@given(data=st.data())
def test_any_family_tree_equals_espnets_decoder(atype, data):
    native = decoder(atype, data.draw(st.integers(0, 50), label="seed"), **KINDS[atype])
    lengths = data.draw(st.lists(st.integers(1, 2 * TILE + 3), min_size=1, max_size=3), label="lengths")
    beam, steps = data.draw(st.integers(1, 5), label="beam"), 5
    hs, padded = models.pad([torch.randn(n, 6) for n in lengths])
    shape = (steps, len(lengths), beam)
    number = st.lists(
        st.integers(0, beam - 1), min_size=steps * len(lengths) * beam, max_size=steps * len(lengths) * beam
    )
    parents = torch.tensor(data.draw(number, label="parents")).view(shape)
    tokens = torch.randint(11, shape)
    assert RnnDecoderScorer.fits(native)
    with torch.no_grad():
        expected = follow(OneByOne(native), hs, padded, tokens, parents)
    got = follow(InTensors(RnnDecoderScorer(native)), hs, padded, tokens, parents)
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("atype", KINDS)
@pytest.mark.parametrize("block", [1, 100])
def test_families_and_blocks_change_nothing(atype, block, monkeypatch):
    """Siblings computed once or each for itself (as on a GPU), in blocks of any size."""
    native = decoder(atype, **KINDS[atype])
    hs, lengths = models.pad([torch.randn(n, 6) for n in (40, 31)])
    tokens, parents = torch.randint(11, (6, 2, 4)), torch.randint(4, (6, 2, 4))
    expected = follow(InTensors(RnnDecoderScorer(native)), hs, lengths, tokens, parents)
    monkeypatch.setattr(rnn_decoders, "BLOCK", block)
    torch.testing.assert_close(follow(InTensors(RnnDecoderScorer(native)), hs, lengths, tokens, parents), expected)
    monkeypatch.setattr(rnn_decoders, "families_of", lambda parent: None)
    got = follow(InTensors(RnnDecoderScorer(native)), hs, lengths, tokens, parents)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_families():
    families = families_of(torch.tensor([[3, 1, 1, 3], [0, 0, 0, 0], [3, 2, 1, 0]]))
    assert families.counts == [2, 1, 4]
    assert families.of.tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [3, 2, 1, 0]]
    assert (
        families.first[2].tolist() == [3, 2, 1, 0] and families.first[0, 0] in (1, 2) and families.first[0, 1] in (0, 3)
    )


@pytest.mark.parametrize(("frames", "reach"), [(1, 3), (TILE, 0), (5 * TILE + 1, 3), (20, 100)])
def test_tiles_are_the_convolution(frames, reach):
    kernel, x = torch.randn(4, 2 * reach + 1), torch.randn(3, frames)
    expected = torch.conv1d(x[:, None], kernel[:, None], padding=reach).transpose(1, 2)  # (N, T, C)
    got = rnn_decoders._located(tiles_of(kernel), x)
    torch.testing.assert_close(got[..., :-1], expected, atol=1e-5, rtol=1e-5)
    assert (got[..., -1] == 0).all()


def test_what_has_a_longer_history_is_not_native():
    for atype in ("coverage", "location2d", "location_recurrent", "coverage_location"):
        assert not RnnDecoderScorer.fits(decoder(atype))
    assert len(ATTENTIONS) == len(KINDS)


@pytest.mark.parametrize("atype", ["location2d", "location_recurrent", "coverage", "coverage_location"])
def test_the_others_equal_stock_espnet_one_by_one(atype, monkeypatch):
    """In stock ESPnet hypotheses under coverage attention append to one list; here each gets its own before."""
    conf = {"hidden_size": 10, "att_conf": {"atype": atype, "adim": 8, "aconv_chans": 3, "aconv_filts": 5}}
    monkeypatch.setitem(models.CONFIGS, "it", {**models.RNN, "decoder": "rnn", "decoder_conf": conf})
    model, options = models.build("it"), SearchOptions(beam=4, nbest=4)
    encoded = models.encode(model, models.features([33, 24]))
    hs, lengths = models.pad(encoded)
    mine = search(hs, lengths, scorers_of(model, options), options)
    score = type(model.decoder).score
    monkeypatch.setattr(type(model.decoder), "score", lambda self, ys, state, x: score(self, ys, _unshared(state), x))
    for found, x in zip(mine, encoded, strict=True):
        theirs = models.stock(model, x, options)
        assert [hyp.score for hyp in found.hyps] == pytest.approx([hyp["score"] for hyp in theirs], abs=1e-3)
        ends = [hyp["yseq"][1:-1] for hyp in theirs]
        assert [hyp.tokens for hyp in found.hyps] == [ids[:-1] if ids[-1:] == [model.eos] else ids for ids in ends]


def test_the_centre_is_where_all_heads_look_on_average():
    attended = torch.tensor([[[[0.6, 0.4, 0.0], [0.0, 0.4, 0.6]], [[0.2, 0.1, 0.7], [0.5, 0.2, 0.3]]]])  # (1, 2, 2, 3)
    state = rnn_decoders.RnnState(torch.zeros(1), torch.zeros(1), attended, torch.zeros(1))
    assert RnnDecoderScorer.centre(state).tolist() == [[1, 2]]
