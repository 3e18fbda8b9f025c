"""Any search of any utterances: stock ESPnet's N-best with its order and scores, and it stops when ESPnet does."""

from __future__ import annotations

import functools
import itertools
import logging

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from properties import examples
from toy_search import Plain, Table, Toy, spelt, stock_search, toy_model, toy_scorer

from kdasr.espnet import name
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import scorers_of
from kdasr.search.stream import Utterance, stream

logging.getLogger("espnet").setLevel(logging.ERROR)


def logits(lengths, vocab, seed, spread=2.0):
    """Encoder outputs (T, vocab), which a toy model's CTC takes as they are."""
    generator = torch.Generator().manual_seed(seed)
    return [spread * torch.randn(n, vocab, generator=generator) for n in lengths]


def found(model, encoded, options, lm=None, slots=4):
    waiting = [Utterance(number, (x,)) for number, x in enumerate(encoded)]
    got = dict(stream(waiting, scorers_of(model, options, lm), options, slots))
    assert sorted(got) == list(range(len(encoded)))
    return [got[number] for number in sorted(got)]


def assert_stock(model, encoded, options, lm=None, slots=4, exact=False):
    """Everything that was found is what ESPnet finds in each utterance alone, and it stopped when ESPnet stops."""
    assert encoded
    for mine, x in zip(found(model, encoded, options, lm, slots), encoded, strict=True):
        search, theirs = stock_search(model, x, options, lm)
        assume(search.nearest > 1e-4)  # else what is chosen is a matter of rounding
        if search.impossible:  # what CTC gives -1e10 was in the beam: ESPnet's float32 has no order of these
            continue
        theirs = theirs[: options.nbest]
        assert (mine.stop, mine.steps) == (search.stop, search.steps)
        keys = [h["score"] / (len(h["yseq"]) - 1 if options.normalize_length else 1) for h in theirs]
        assume(exact or all(a - b > 1e-4 for a, b in itertools.pairwise(keys)))
        assert [hyp.tokens for hyp in mine.hyps] == [spelt(hyp["yseq"], model.eos) for hyp in theirs]
        limit = search.maxlen
        assert [hyp.ended for hyp in mine.hyps] == ["maxlen" if len(h.tokens) == limit else "eos" for h in mine.hyps]
        for one, hyp in zip(mine.hyps, theirs, strict=True):
            assert one.score == pytest.approx(hyp["score"], abs=2e-4, rel=1e-5)
            assert one.scores == pytest.approx(hyp["scores"], abs=2e-4, rel=1e-5)


@st.composite
def searches(draw):
    """A vocabulary, lengths of utterances, and options."""
    beam = draw(st.integers(1, 5), label="beam")
    # One token more than CTC is asked for, as many, many more: the edges of the pre-beam.
    vocab = max(3, beam, int(1.5 * beam) + draw(st.sampled_from([1, 1, 0, 2, 5]), label="more tokens"))
    options = SearchOptions(
        beam=beam,
        nbest=draw(st.integers(1, 6), label="nbest"),
        ctc_weight=draw(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), label="ctc_weight"),
        penalty=draw(st.sampled_from([0.0, 0.7, -0.4, -3.0, -4.0, 2.0]), label="penalty"),
        maxlenratio=draw(st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.01, 0.4, 1.0, 1.5, -1, -3]), label="maxlenratio"),
        minlenratio=draw(st.sampled_from([0.0, 0.0, 0.0, 0.095, 0.1, 0.3, 0.55, 1.0, -2]), label="minlenratio"),
        normalize_length=draw(st.booleans(), label="normalize_length"),
        lm_weight=draw(st.sampled_from([0.0, 0.0, 0.5, 1.0, -0.2]), label="lm_weight"),
    )
    lengths = draw(st.lists(st.integers(1, 13), min_size=1, max_size=3), label="lengths")
    return vocab, lengths, options


@examples(100)
@given(
    drawn=searches(),
    seed=st.integers(0, 1000),
    sharp=st.sampled_from([1.0, 3.0, 6.0]),
    end=st.sampled_from([-2.0, 0.0, 1.0, 3.0]),
    batched=st.tuples(st.booleans(), st.booleans()),
    kinds=st.tuples(*[st.sampled_from([Toy, Toy, Plain])] * 2),
    units=st.integers(1, 5),
    slots=st.integers(1, 3),
)
def test_any_search_is_stock_espnets(drawn, seed, sharp, end, batched, kinds, units, slots):
    vocab, lengths, options = drawn
    model = toy_model(vocab, toy_scorer(batched[0], vocab, vocab, units, seed, sharp, end, kind=kinds[0]))
    lm = toy_scorer(batched[1], vocab, vocab, units, seed + 1, sharp, kind=kinds[1])
    # ESPnet's CTC of one hypothesis breaks where there are more tokens than frames.
    assume(options.ctc_weight == 0.0 or all(options.limits(n)[0] <= n for n in lengths))
    assert_stock(model, logits(lengths, vocab, seed), options, lm, slots)


ATT = {"adim": 4, "aheads": 2, "aconv_chans": 2, "aconv_filts": 2}
DECODERS = {
    "location": ("rnn", {"num_layers": 2, "hidden_size": 5}),
    "dot": ("rnn", {"rnn_type": "gru", "context_residual": True, "hidden_size": 3}),
    "multi_head_loc": ("rnn", {"rnn_type": "gru", "num_layers": 2, "hidden_size": 4}),
    "one head": ("transformer", {"attention_heads": 1, "linear_units": 3, "num_blocks": 1}),
    "two heads": ("transformer", {"attention_heads": 2, "linear_units": 6, "num_blocks": 2}),
    "after": ("transformer", {"attention_heads": 2, "linear_units": 4, "num_blocks": 1, "normalize_before": False}),
}


@functools.cache
def espnets_decoder(kind, vocab, seed):
    """A decoder of a few units over encoder outputs (T, 2 * vocab), with weights large enough to choose."""
    which, conf = DECODERS[kind]
    module = {"rnn": "rnn_decoder:RNNDecoder", "transformer": "transformer_decoder:TransformerDecoder"}[which]
    if which == "rnn":
        conf = {**conf, "att_conf": {"atype": kind, **ATT}}
    torch.manual_seed(seed)
    decoder = name(f"espnet2.asr.decoder.{module}")(vocab, 2 * vocab, **conf).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(0.0, 0.7)
    return decoder


@examples(30)
@given(drawn=searches(), kind=st.sampled_from(list(DECODERS)), seed=st.integers(0, 3), slots=st.integers(1, 3))
def test_any_search_with_espnets_decoders(drawn, kind, seed, slots):
    vocab, lengths, options = drawn
    model = toy_model(vocab, espnets_decoder(kind, vocab, seed))
    assume(options.ctc_weight == 0.0 or all(options.limits(n)[0] <= n for n in lengths))
    assert_stock(model, logits([min(n, 8) for n in lengths], 2 * vocab, seed), options, None, slots)


def at_the_edge(ends, others=(0.0,), maxlenratio=0.0):
    """An example of `test_ends_of_any_scores_are_espnets`."""
    given = dict(ends=ends, others=list(others), maxlenratio=maxlenratio, minlenratio=0.0, normalize_length=False)
    return example(**given, frames=12, beam=2, batched=False)


QUARTERS = [-0.5, -1.25, -9.0, -9.75, -10.0, -10.5, -10.75, -10.75, -12.0, -20.0, -41.0]


@examples(100)
@given(
    ends=st.lists(st.sampled_from(QUARTERS), min_size=4, max_size=12),
    others=st.lists(st.sampled_from([0.0, -0.25, -1.0]), min_size=1, max_size=10),
    frames=st.integers(6, 14),
    beam=st.integers(2, 3),
    maxlenratio=st.sampled_from([0.0, 0.0, 0.0, 0.8, -9]),
    minlenratio=st.sampled_from([0.0, 0.0, 0.2]),
    normalize_length=st.booleans(),
    batched=st.booleans(),
)
@at_the_edge(ends=[-0.5, -10.5, -10.5, -10.5, -10.5])  # not worse by more than 10
@at_the_edge(ends=[-0.5, -10.75, -10.75, -10.75, -10.75])
@at_the_edge(ends=[-0.5, -10.75, -10.75, -10.75, -10.75], maxlenratio=1.0)
@at_the_edge(ends=[-0.5, -10.75, -10.75, -10.75, -10.75], maxlenratio=-11)
@at_the_edge(ends=[-0.5, -10.75, -10.75, -41.0, -10.75, -10.75, -10.75])
@at_the_edge(ends=[-1.0, -0.5, 0.0], others=[-0.5, -0.5, -9.0])  # ties
def test_ends_of_any_scores_are_espnets(ends, others, frames, beam, batched, **options):
    """Scores that are exact in float32, so that ties and what is worse by the margin exactly are met."""
    steps = max(len(ends), len(others))
    pad = [[part[min(i, len(part) - 1)] for part in (ends, others)] for i in range(steps)]
    rows = [[-30.5 - 0.125 * i, other, end] for i, (end, other) in enumerate(pad)]
    table = toy_scorer(batched, rows, kind=Table)
    options = SearchOptions(beam=beam, nbest=8, ctc_weight=0.0, **options)
    assert_stock(toy_model(3, table), [torch.zeros(frames, 3), torch.zeros(frames - 3, 3)], options, exact=True)


def test_at_equal_scores_what_ended_first_comes_first():
    rows = [[-99.0, -0.5, -1.0], [-99.0, -0.5, -0.5], [-99.0, -9.0, 0.0]]
    model = toy_model(3, toy_scorer(True, rows, kind=Table))
    for nbest in (1, 2, 3):
        options = SearchOptions(beam=2, nbest=nbest, ctc_weight=0.0, maxlenratio=-4)
        [one] = found(model, [torch.zeros(5, 3)], options)
        assert [(hyp.tokens, hyp.score) for hyp in one.hyps] == [([], -1.0), ([1], -1.0), ([1, 1], -1.0)][:nbest]
        _, theirs = stock_search(model, torch.zeros(5, 3), options)
        assert [hyp["yseq"][1:-1] for hyp in theirs][:nbest] == [hyp.tokens for hyp in one.hyps]


@pytest.mark.parametrize(
    ("minlenratio", "frames", "tokens"),
    [
        (0.1, 10, [[]]),  # at least one token is searched for, none is allowed: again with none at least
        (0.09, 20, None),  # below 0.1 there is no second search
        (0.35, 10, [[]]),  # 0.35, 0.25, 0.15, 0.05
        (-1, 10, None),
        (0.0, 10, [[]]),
    ],
)
def test_a_second_search_is_for_a_tenth_less(minlenratio, frames, tokens):
    """The only hypothesis ends at once, so that it is found where the shortest output is none."""
    model = toy_model(3, toy_scorer(False, [[-50.0, -9.0, 0.0]], kind=Table))
    options = SearchOptions(beam=1, ctc_weight=0.0, maxlenratio=0.5, minlenratio=minlenratio)
    [one] = found(model, [torch.zeros(frames, 3)], options)
    _, theirs = stock_search(model, torch.zeros(frames, 3), options)
    assert [hyp.tokens for hyp in one.hyps] == (tokens or []) == [hyp["yseq"][1:-1] for hyp in theirs]


@pytest.mark.parametrize("batched", [True, False])
def test_what_the_pre_beam_leaves_out_is_not_found(batched):
    """CTC says the token that the decoder puts last: of four tokens three are asked for with a beam of 2."""
    model = toy_model(4, toy_scorer(batched, [[-3.0, -1.0, -4.0, -2.0]], kind=Table))
    encoded = [torch.tensor([[1.0, 0.5, 6.0, 0.0]] * 5)]
    for beam, there in ((2, False), (3, True)):
        options = SearchOptions(beam=beam, nbest=5, ctc_weight=0.6, maxlenratio=0.5)
        [one] = found(model, encoded, options)
        assert any(2 in hyp.tokens for hyp in one.hyps) is there
        _, theirs = stock_search(model, encoded[0], options)
        assert [hyp.tokens for hyp in one.hyps[:1]] == [spelt(hyp["yseq"], model.eos) for hyp in theirs[:1]]
