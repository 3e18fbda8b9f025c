"""The search in numpy against kdasr.search, on tiny models with drawn options; CTC against torch's."""

import functools
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from search_models import TOKENS, build, encode, features, pad

from kdasr.export import graphs
from kdasr.export.graphs import run_encoder
from kdasr.runtime.ctc import Ctc
from kdasr.runtime.search import Search, Sound, Vocabulary, largest, search
from kdasr.search import tree
from kdasr.search.ctc import CtcPrefixScorer
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import decoder_scorer, is_batched, scorers_of
from kdasr.search.stream import search as grid_search

KINDS = ("kdasr", "transformer", "location_lstm")


@functools.cache
def model_of(kind):
    return build(kind, seed=5)


@functools.cache
def graphs_of(kind):
    return graphs.graphs_of(model_of(kind), kind, 8)


@torch.no_grad()
def sound_of(kind, x):
    """An input (T, F), encoded and stepped by the graphs in torch: the search alone is what differs."""
    made = graphs_of(kind)
    logp, memory, state = run_encoder(made, x)

    @torch.no_grad()
    def step(tokens, states):
        logp, *after = made.decoder(torch.from_numpy(tokens), *memory, *map(torch.from_numpy, states))
        return logp.numpy(), [one.numpy() for one in after]

    return Sound(len(logp), logp.numpy(), step, [one.numpy() for one in state])


def vocabulary_of(model, options):
    eos_always = options.ctc_weight == 1.0 or is_batched(model.decoder)
    return Vocabulary(len(TOKENS), model.blank_id, model.sos, model.eos, eos_always)


OPTIONS = st.builds(
    SearchOptions,
    beam=st.integers(1, 7),
    nbest=st.integers(1, 6),
    ctc_weight=st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0]),
    penalty=st.sampled_from([0.0, 0.4, -0.7]),
    maxlenratio=st.sampled_from([0.0, 0.0, 0.5, 1.5, -4.0]),
    minlenratio=st.sampled_from([0.0, 0.0, 0.3, 0.9, -3.0]),
    normalize_length=st.booleans(),
)


@examples(60)
@given(kind=st.sampled_from(KINDS), options=OPTIONS, frames=st.integers(9, 90), seed=st.integers(0, 50))
def test_as_the_grid_finds_them(kind, options, frames, seed):
    model = model_of(kind)
    [x] = features([frames], seed=seed)
    [hs] = encode(model, [x])
    [right] = grid_search(*pad([hs]), scorers_of(model, options), options)
    found = search(sound_of(kind, x), vocabulary_of(model, options), options)
    # Where no path is possible all scores are -1e10 and no order is meant.
    possible = [hyp for hyp in right.hyps if hyp.score > -1e9]
    assert [list(hyp.tokens) for hyp in found][: len(possible)] == [hyp.tokens for hyp in possible]
    assert len(found) == len(right.hyps)
    for ours, theirs in zip(found, possible, strict=False):
        assert ours.score == pytest.approx(theirs.score, abs=1e-4)
        assert ours.scores == pytest.approx(theirs.scores, abs=1e-4)
        assert ours.ended == theirs.ended


def test_gains_are_the_decoders_own():
    model, options = model_of("kdasr"), SearchOptions(beam=3, nbest=2, ctc_weight=0.3)
    [x] = features([60])
    [hs] = encode(model, [x])
    for hyp in search(sound_of("kdasr", x), vocabulary_of(model, options), options):
        scorer, _ = decoder_scorer(model)
        memory = scorer.remember(hs[None], torch.tensor([len(hs)]))
        state, right = scorer.start(memory, 1), []
        for last, token in itertools.pairwise([model.sos, *hyp.tokens, model.eos]):
            with torch.no_grad():
                logp, state = scorer.step(torch.tensor([[last]]), state, memory)
            right.append(float(logp[0, 0, token]))
        assert hyp.gains == pytest.approx(right[:-1], abs=1e-5)
        assert hyp.scores["decoder"] == pytest.approx(sum(right), abs=1e-4)


@pytest.mark.parametrize("sharp", [1.0, 30.0, 400.0])  # the last: sums of probabilities that no float holds
@pytest.mark.parametrize("vocab", [6, 1005])
def test_ctc_as_torch_scores_it(sharp, vocab):
    generator = torch.Generator().manual_seed(int(sharp))
    frames, beam = 23, 4
    logp = (torch.randn(frames, vocab, generator=generator) * sharp).log_softmax(1)
    theirs = CtcPrefixScorer(lambda hs: hs, 0, vocab - 1, vocab - 1)
    memory = theirs.remember(logp[None], torch.tensor([frames]))
    ours = Ctc(logp.numpy(), 0, vocab - 1, vocab - 1)
    state, own = theirs.start(memory, 1), ours.start()
    for step in range(8):
        rows = len(own.last)
        candidates = torch.randint(0, vocab, (1, rows, 5), generator=generator)
        candidates[0, :, 0] = own.last[0] if step else 2  # a repetition
        candidates[0, :, 1] = vocab - 1
        for given_ in (candidates, None):
            right = theirs.score(state, memory, given_)[0].numpy()
            found = ours.score(own, None if given_ is None else given_[0].numpy())
            np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-5)
        parents = torch.arange(beam) % rows
        tokens = torch.tensor([2, 3, 2, 4]) if step % 3 else torch.tensor([2, 2, 3, 3])
        scores = theirs.score(state, memory, None)[0][parents, tokens]
        moved = tree.walk(state, lambda tensor: tensor[:, parents])
        state = theirs.advance(moved, memory, tokens[None], scores[None])
        own = ours.advance(own, parents.numpy(), tokens.numpy(), scores.numpy())
        np.testing.assert_allclose(own.blank, state.blank[0].numpy(), rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(own.prefix, state.prefix[0].numpy(), rtol=1e-9)


def test_the_end_is_detected_after_three_lengths():
    """By hand, of blank, a, <eos>: the empty text has -0.01, and what ends later is worse by more than ten.

    ESPnet's end_detect counts <sos> and <eos> with a text, but not with the step: what ends in steps 1, 2, 3 (from 0)
    is looked at in steps 3, 4, 5.
    """
    calls = []

    def step(tokens, states):
        calls.append(len(tokens))
        end = -0.01 if len(calls) == 1 else -20.0
        return np.tile(np.array([[-1000.0, -5.0, end]], np.float32), (len(tokens), 1)), states

    sound = Sound(50, None, step, [np.zeros((1, 1), np.float32)])
    options = SearchOptions(beam=2, nbest=9, ctc_weight=0.0)
    found = search(sound, Vocabulary(3, 0, 2, 2, True), options)
    assert calls == [1] * 6
    assert [hyp.tokens for hyp in found] == [(1,) * n for n in range(6)]
    assert [hyp.score for hyp in found] == pytest.approx([-0.01, -25.0, -30.0, -35.0, -40.0, -45.0])


def test_the_largest_are_in_order_and_the_first_of_equals_comes_first():
    values = np.array([1.0, 3.0, -np.inf, 3.0, 2.0])
    assert largest(values, 3).tolist() == [1, 3, 4]
    many = np.zeros(300)
    many[[7, 250, 100]] = [1.0, 2.0, 1.0]
    assert largest(many, 4).tolist() == [250, 7, 100, 0]


def test_candidates_of_many_tokens_are_those_of_a_full_sort():
    options = SearchOptions(beam=4)
    sound = Sound(5, None, lambda tokens, states: (tokens, states), [])
    one = Search(sound, Vocabulary(500, 0, 499, 499, True), options)
    gain = np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)
    gain[1, 499] = 9.0
    candidates, excluded = one.candidates(gain)
    assert candidates[:, :-1].tolist() == np.argsort(-gain, 1)[:, :6].tolist()
    assert (candidates[:, -1] == 499).all() and excluded.tolist() == [False, True, False]
