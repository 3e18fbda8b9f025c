"""CTC prefix scores against their definition (all paths), and against ESPnet's two implementations."""

from __future__ import annotations

import collections
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.espnet import name
from kdasr.search import ctc as ctc_module
from kdasr.search import tree
from kdasr.search.ctc import CtcPrefixScorer

BLANK, SOS = 0, 5


def scorer():
    return CtcPrefixScorer(lambda x: x.log_softmax(2), BLANK, SOS, SOS)


def logits(lengths, vocab=6, spread=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(len(lengths), max(lengths), vocab, generator=generator)


def collapse(path):
    return tuple(token for token, _ in itertools.groupby(path) if token != BLANK)


def spellings(probabilities):
    """The sum over all paths that spell it, of each spelling."""
    rows, sums = probabilities.tolist(), collections.Counter()
    for path in itertools.product(range(len(rows[0])), repeat=len(rows)):
        sums[collapse(path)] += math.prod(row[token] for row, token in zip(rows, path, strict=True))
    return sums


def by_definition(sums, prefix, whole):
    """Log of the sum over all paths that spell exactly `prefix` (whole), or anything that begins with it."""
    if whole:
        return math.log(sums[prefix])
    return math.log(sum(value for spelt, value in sums.items() if spelt[: len(prefix)] == prefix))


def follow(ctc, memory, prefixes):
    """The state (B, K) after each hypothesis' prefix; all prefixes of one length."""
    state = ctc.start(memory, prefixes.shape[1])
    for i in range(prefixes.shape[2]):
        tokens = prefixes[:, :, i]
        gained = ctc.score(state, memory, tokens.unsqueeze(2)).squeeze(2)
        state = ctc.advance(state, memory, tokens, gained)
    return state


@pytest.mark.parametrize("prefix", [(), (1,), (2, 2), (1, 3), (3, 1, 3)])
def test_scores_are_the_sums_over_all_paths(prefix):
    x = logits([5])
    ctc = scorer()
    memory = ctc.remember(x, torch.tensor([5]))
    state = follow(ctc, memory, torch.tensor([[prefix]], dtype=torch.int64))
    scores = ctc.score(state, memory, None)[0, 0]
    sums = spellings(x[0].softmax(1))
    # <eos> has a column of its own in the softmax, which paths may pass through as any token
    for token in range(1, 5):
        assert float(state.prefix + scores[token]) == pytest.approx(
            by_definition(sums, (*prefix, token), whole=False), abs=1e-5
        )
    assert float(state.prefix + scores[SOS]) == pytest.approx(by_definition(sums, prefix, whole=True), abs=1e-5)
    assert float(scores[BLANK]) < -1e9


@examples(100)
@given(
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    vocab=st.integers(3, 4),
    size=st.integers(0, 3),
    spread=st.sampled_from([0.0, 1.0, 8.0]),
    in_logs=st.booleans(),
    dense=st.sampled_from([1000, 2]),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_any_prefix_in_any_company_is_the_sum_over_all_paths(lengths, vocab, size, spread, in_logs, dense, seed, data):
    """Utterances of one frame, prefixes that fill all frames or do not fit, candidates in any order and twice."""
    end = vocab - 1
    ctc = CtcPrefixScorer(lambda x: x.log_softmax(2), BLANK, end, end, in_logs=in_logs)
    x = logits(lengths, vocab, spread, seed)
    tokens = st.lists(st.integers(1, max(1, vocab - 2)), min_size=2 * size, max_size=2 * size)
    prefixes = torch.tensor([data.draw(tokens) for _ in lengths]).view(len(lengths), 2, size).long()
    candidates = torch.randint(vocab, (len(lengths), 2, 3), generator=torch.Generator().manual_seed(seed))
    usual, ctc_module.DENSE = ctc_module.DENSE, dense
    try:
        memory = ctc.remember(x, torch.tensor(lengths))
        state = follow(ctc, memory, prefixes)
        scores = ctc.score(state, memory, None)
        some = ctc.score(state, memory, candidates)
    finally:
        ctc_module.DENSE = usual
    torch.testing.assert_close(some, scores.gather(2, candidates), atol=1e-5, rtol=1e-9)
    for b, length in enumerate(lengths):
        sums = spellings(x[b, :length].softmax(1))
        for k, prefix in enumerate(tuple(each) for each in prefixes[b].tolist()):
            for token in range(1, vocab):
                spells = prefix if token == end else (*prefix, token)
                repeats = sum(a == b for a, b in itertools.pairwise(spells))
                got = float(state.prefix[b, k] + scores[b, k, token])
                if len(spells) + repeats > length:
                    assert got < ctc_module.NEVER / 2
                else:
                    assert got == pytest.approx(by_definition(sums, spells, whole=token == end), abs=1e-5)
            assert float(state.prefix[b, k] + scores[b, k, BLANK]) < ctc_module.NEVER / 2


@pytest.mark.parametrize("spread", [1.0, 30.0, 1000.0])
def test_equals_espnets_batched_scorer_in_float64(spread):
    lengths = [40, 25, 31]
    x = logits(lengths, spread=spread).double()
    logp = x.log_softmax(2)
    hyps, steps = 4, 12
    generator = torch.Generator().manual_seed(3)
    theirs = name("espnet.nets.ctc_prefix_score:CTCPrefixScoreTH")(logp.clone(), torch.tensor(lengths), BLANK, SOS)
    ours = CtcPrefixScorer(lambda x: x, BLANK, SOS, SOS)
    memory = ours.remember(logp, torch.tensor(lengths))
    state, their_state = ours.start(memory, hyps), None
    prefixes = torch.full((len(lengths) * hyps, 1), SOS)
    for _ in range(steps):
        candidates = torch.stack([torch.randperm(6, generator=generator)[:4] for _ in range(len(prefixes))])
        expected, new = theirs(prefixes, their_state, candidates)
        got = ours.score(state, memory, candidates.view(len(lengths), hyps, -1)).flatten(0, 1)
        torch.testing.assert_close(got, expected.gather(1, candidates), atol=1e-4, rtol=1e-6)
        full = ours.score(state, memory, None).flatten(0, 1)
        torch.testing.assert_close(full.gather(1, candidates), got, atol=1e-4, rtol=1e-6)
        # each hypothesis goes on from a random one of its utterance, with a candidate that is a token
        parents = torch.randint(hyps, (len(lengths), hyps), generator=generator)
        rows = tree.flat_rows(parents)
        place = ((candidates[rows] != BLANK) & (candidates[rows] != SOS)).int().argmax(1)
        tokens = candidates[rows].gather(1, place[:, None]).squeeze(1)
        their_state = theirs.index_select_state(new, (parents * 6 + tokens.view(len(lengths), hyps)))
        gained = got[rows].gather(1, place[:, None]).view(len(lengths), hyps)
        state = ours.advance(tree.reorder(state, parents), memory, tokens.view(len(lengths), hyps), gained)
        prefixes = torch.cat((prefixes[rows], tokens[:, None]), 1)


def test_equals_espnets_scorer_of_one_hypothesis():
    x = logits([30])
    logp = x.log_softmax(2)
    theirs = name("espnet.nets.ctc_prefix_score:CTCPrefixScore")(logp[0].numpy(), BLANK, SOS, np)
    ours = scorer()
    memory = ours.remember(x, torch.tensor([30]))
    prefix, their_state, their_score = [SOS], theirs.initial_state(), 0.0
    state = ours.start(memory, 1)
    tokens = np.array([1, 2, 3, 4, 5])
    for token in (2, 2, 1, 4, 4, 3, 1):
        scores, states = theirs(prefix, tokens, their_state)
        got = ours.score(state, memory, torch.tensor(tokens).view(1, 1, -1))[0, 0]
        np.testing.assert_allclose(got.numpy(), scores - their_score, atol=1e-4)
        their_score, their_state = scores[token - 1], states[token - 1]
        prefix.append(token)
        state = ours.advance(state, memory, torch.tensor([[token]]), got[token - 1].view(1, 1))


def test_padding_and_other_utterances_change_nothing():
    lengths = [17, 40, 1]
    x = logits(lengths, spread=10.0)
    generator = torch.Generator().manual_seed(1)
    prefixes = torch.randint(1, 5, (3, 4, 6), generator=generator)
    ctc = scorer()
    memory = ctc.remember(x, torch.tensor(lengths))
    together = ctc.score(follow(ctc, memory, prefixes), memory, None)
    for b, length in enumerate(lengths):
        alone = ctc.remember(x[b : b + 1, :length], torch.tensor([length]))
        single = ctc.score(follow(ctc, alone, prefixes[b : b + 1]), alone, None)
        torch.testing.assert_close(together[b], single[0], atol=1e-6, rtol=0)
        if length < 6:  # six tokens in one frame are impossible: no score is left to lose
            assert (single[0] == 0).all()


def test_a_repeated_token_needs_a_blank_between():
    ctc = scorer()
    memory = ctc.remember(logits([2]), torch.tensor([2]))
    state = follow(ctc, memory, torch.tensor([[[3]]]))
    scores = ctc.score(state, memory, torch.tensor([[[3, 2]]]))[0, 0]
    assert float(scores[0]) < -1e9  # two frames cannot spell 3 3
    assert float(scores[1]) > -50


@pytest.mark.parametrize("vocab", [6, 60])
@pytest.mark.parametrize("spread", [1.0, 30.0])
@pytest.mark.parametrize("dense", [1000, 5])
def test_sums_of_probabilities_equal_sums_in_the_log_domain(vocab, spread, dense, monkeypatch):
    """The CPU's way, with float64 (dense) and float32 probabilities, and the GPU's, whole and in chunks."""
    monkeypatch.setattr(ctc_module, "DENSE", dense)
    monkeypatch.setattr(ctc_module, "CHUNK", 1000)
    lengths, generator = [30, 12, 25], torch.Generator().manual_seed(2)
    x = logits(lengths, vocab=vocab, spread=spread)
    fast = CtcPrefixScorer(lambda x: x.log_softmax(2), BLANK, vocab - 1, vocab - 1, in_logs=False)
    logs = CtcPrefixScorer(lambda x: x.log_softmax(2), BLANK, vocab - 1, vocab - 1, in_logs=True)
    memory, other = (ctc.remember(x, torch.tensor(lengths)) for ctc in (fast, logs))
    state = fast.start(memory, 4)
    for _ in range(9):
        candidates = torch.stack([torch.randperm(vocab, generator=generator)[:5] for _ in range(12)]).view(3, 4, 5)
        candidates[:, 0, 0] = state.last[:, 0]  # a repeated token has a sum of its own
        for asked in (candidates, None):
            got, expected = fast.score(state, memory, asked), logs.score(state, other, asked)
            possible = (state.prefix.unsqueeze(2) + expected) > ctc_module.NEVER / 2
            torch.testing.assert_close(got[possible], expected[possible], atol=1e-5, rtol=1e-6)
            assert ((state.prefix.unsqueeze(2) + got) > ctc_module.NEVER / 2).equal(possible)
        tokens = torch.randint(1, vocab - 1, (3, 4), generator=generator)
        gained = fast.score(state, memory, tokens.unsqueeze(2)).squeeze(2)
        state = fast.advance(state, memory, tokens, gained)


def windowed(logp, prefix, centres, token, window, end):
    """Log score with its prefix of `token`, or of the prefix as a whole, frame by frame in plain numbers.

    Each token of the prefix is said within `window` frames of its centre, and so is `token`.
    """
    frames, p = len(logp), logp.exp()
    n, b = np.zeros(frames + 1), np.cumprod(np.r_[1.0, p[:, BLANK]])  # (T + 1,)
    last = None
    for c, centre in zip(prefix, centres, strict=False):
        phi, inside = b if c == last else n + b, within(centre, window, frames)
        n, b = np.zeros(frames + 1), np.zeros(frames + 1)
        for t in range(inside[0], frames + 1):
            if t in inside:
                n[t] = (n[t - 1] + phi[t - 1]) * p[t - 1, c]
            b[t] = (b[t - 1] + n[t - 1]) * p[t - 1, BLANK]
        last = c
    if end:
        return math.log(n[-1] + b[-1])
    phi = b if token == last else n + b
    return math.log(sum(phi[t - 1] * p[t - 1, token] for t in within(centres[-1], window, frames)))


def within(centre, window, frames):
    """Frames, counted from 1, of a window that is moved inwards at the edges."""
    first = min(max(centre - window, 0), frames - 2 * window - 1)
    return range(first + 1, first + 2 * window + 2)


@pytest.mark.parametrize("in_logs", [True, False])
@pytest.mark.parametrize("dense", [1000, 5])
@pytest.mark.parametrize("size", [3, 11])  # of 24 frames the second leaves out one
def test_a_window_sums_over_its_frames_alone(in_logs, dense, size, monkeypatch):
    monkeypatch.setattr(ctc_module, "DENSE", dense)
    x = logits([24, 24], spread=2.0)
    ctc = CtcPrefixScorer(lambda x: x.log_softmax(2), BLANK, SOS, SOS, in_logs=in_logs, window=size)
    memory = ctc.remember(x, torch.tensor([24, 24]))
    prefixes = torch.tensor([[[1, 3, 3], [2, 4, 1]], [[3, 3, 2], [4, 1, 2]]])  # (B, K, L)
    centres = torch.tensor([[[1, 7, 10], [4, 9, 23]], [[0, 3, 4], [12, 14, 15]]])  # (B, K, L)
    now = torch.tensor([[13, 22], [6, 16]])  # (B, K)
    state = ctc.start(memory, 2)
    for i in range(3):
        gained = ctc.score(state, memory, prefixes[:, :, i, None], centres[:, :, i]).squeeze(2)
        state = ctc.advance(state, memory, prefixes[:, :, i], gained, centres[:, :, i])
    candidates = torch.tensor([3, 1, 2, SOS]).expand(2, 2, 4)
    got = state.prefix.unsqueeze(2) + ctc.score(state, memory, candidates, now)
    logp = x.log_softmax(2).double()
    for b, k in itertools.product(range(2), range(2)):
        at = (*centres[b, k].tolist(), int(now[b, k]))
        for s, token in enumerate(candidates[b, k].tolist()):
            theirs = windowed(logp[b], prefixes[b, k].tolist(), at, token, size, end=token == SOS)
            assert float(got[b, k, s]) == pytest.approx(theirs, abs=1e-5)


def test_a_window_as_wide_as_the_utterance_changes_nothing():
    x = logits([20, 13])
    whole, wide = scorer(), CtcPrefixScorer(lambda x: x.log_softmax(2), BLANK, SOS, SOS, window=10)
    memory = whole.remember(x, torch.tensor([20, 13]))
    state = follow(whole, memory, torch.tensor([[[1, 2]], [[3, 3]]]))
    centre = torch.tensor([[4], [9]])
    assert wide.score(state, memory, None, centre).equal(whole.score(state, memory, None))
