"""The grid's search: stock ESPnet's N-best, whatever the batch."""

from __future__ import annotations

import itertools
import random

import pytest
import search_models as models
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.errors import UserError
from kdasr.search.one_by_one import OneByOne
from kdasr.search.options import SearchOptions
from kdasr.search.rnn_decoders import RnnDecoderScorer
from kdasr.search.scorers import InTensors, decoder_scorer, scorers_of
from kdasr.search.stream import search
from kdasr.search.transformers import TransformerScorer

LENGTHS = [33, 24, 29]


def found(model, encoded, options):
    hs, lengths = models.pad(encoded)
    return search(hs, lengths, scorers_of(model, options), options)


def without_double_end(yseq, eos):
    """ESPnet's token ids; at the last step it appends <eos> to what ends in <eos> already."""
    tokens = yseq[1:-1]
    return tokens[:-1] if tokens and tokens[-1] == eos else tokens


OPTIONS = {
    "default": SearchOptions(),
    "attention": SearchOptions(ctc_weight=0.0),
    "ctc": SearchOptions(ctc_weight=1.0),
    "penalty": SearchOptions(beam=3, penalty=0.5, nbest=10),
    "limits": SearchOptions(beam=4, maxlenratio=0.4, minlenratio=0.3),
    "limit in tokens": SearchOptions(beam=4, maxlenratio=-5, minlenratio=-3),
    "by length": SearchOptions(beam=8, nbest=8, normalize_length=True),
    "retry": SearchOptions(beam=2, minlenratio=0.95, maxlenratio=0.6, ctc_weight=0.5),
}
PAIRS = [(kind, "default") for kind in models.CONFIGS if not kind.startswith("coverage")]
PAIRS += [(kind, which) for kind in ("location_lstm", "kdasr", "conformer") for which in OPTIONS if which != "default"]


@pytest.mark.parametrize(("kind", "which"), PAIRS)
def test_equals_stock_espnet(kind, which):
    model, options = models.build(kind), OPTIONS[which]
    encoded = models.encode(model, models.features(LENGTHS))
    for mine, x in zip(found(model, encoded, options), encoded, strict=True):
        theirs = models.stock(model, x, options)
        assert [hyp.tokens for hyp in mine.hyps] == [without_double_end(hyp["yseq"], model.eos) for hyp in theirs]
        for ours, hyp in zip(mine.hyps, theirs, strict=True):
            assert ours.score == pytest.approx(hyp["score"], abs=1e-3)
            assert ours.scores == pytest.approx(hyp["scores"], abs=1e-3)


@pytest.mark.parametrize("kind", ["kdasr", "location_gru", "transformer", "multi_head_loc"])
def test_a_batch_of_any_size_and_order_equals_each_utterance_alone(kind):
    model, options = models.build(kind), SearchOptions(beam=4, nbest=4)
    encoded = models.encode(model, models.features([21, 33, 17, 26, 9, 29, 12]))
    alone = [found(model, [x], options)[0] for x in encoded]
    order = random.Random(0).sample(range(len(encoded)), len(encoded))
    for size in (3, 7):
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            for number, mine in zip(batch, found(model, [encoded[n] for n in batch], options), strict=True):
                expected = alone[number]
                assert [hyp.tokens for hyp in mine.hyps] == [hyp.tokens for hyp in expected.hyps]
                assert [hyp.score for hyp in mine.hyps] == pytest.approx([h.score for h in expected.hyps], abs=1e-4)
                assert (mine.stop, mine.steps) == (expected.stop, expected.steps)


@examples(8)
@given(
    seed=st.integers(0, 1000),
    beam=st.integers(2, 9),
    ctc_weight=st.sampled_from([0.0, 0.2, 0.5]),
    penalty=st.sampled_from([0.0, 0.3, -0.2]),
    lengths=st.lists(st.integers(4, 24), min_size=1, max_size=3),
)
def test_random_models_and_searches_equal_stock_espnet(seed, beam, ctc_weight, penalty, lengths):
    model = models.build("location_gru", seed=seed, sharp=4.0)
    options = SearchOptions(beam=beam, nbest=3, ctc_weight=ctc_weight, penalty=penalty)
    encoded = models.encode(model, models.features(lengths, seed=seed))
    for mine, x in zip(found(model, encoded, options), encoded, strict=True):
        # What CTC calls impossible (more tokens than frames, say) scores about -1e9, where float32 has no order.
        theirs = [hyp for hyp in models.stock(model, x, options) if hyp["score"] > -1e8]
        ours = [hyp for hyp in mine.hyps if hyp.score > -1e8]
        assert [hyp.score for hyp in ours] == pytest.approx([hyp["score"] for hyp in theirs], abs=1e-3)
        if all(a["score"] - b["score"] > 1e-3 for a, b in itertools.pairwise(theirs)):  # else the order is a tie
            assert [h.tokens for h in ours] == [without_double_end(h["yseq"], model.eos) for h in theirs]


@pytest.mark.parametrize("kind", ["location_gru", "kdasr", "transformer"])
def test_a_beam_wider_than_the_vocabulary_finds_every_hypothesis(kind):
    # At the first step there are fewer hypotheses (18) than places (400), which stock ESPnet's search refuses.
    model = models.build(kind)
    encoded = models.encode(model, models.features([33, 9]))
    options = SearchOptions(beam=400, nbest=400, ctc_weight=0.0, maxlenratio=-2)
    others = [index for index in range(len(models.TOKENS)) if index != model.eos]
    every = [[], *([one] for one in others), *([one, two] for one in others for two in others)]
    for mine, x in zip(found(model, encoded, options), encoded, strict=True):
        scores = {tuple(hyp.tokens): hyp.score for hyp in mine.hyps}
        assert len(mine.hyps) == len(scores) and set(scores) == set(map(tuple, every))
        assert [hyp.score for hyp in mine.hyps] == sorted(scores.values(), reverse=True)
        with torch.no_grad():
            for tokens in random.Random(0).sample(every, 40):
                prefix, state, total = [model.sos], model.decoder.init_state(x), 0.0
                # <eos> counts where the hypothesis ended by itself, not where the limit of two ended it
                for token in (*tokens, model.eos)[:2]:
                    logp, state = model.decoder.score(torch.tensor(prefix), state, x)
                    total += float(logp[token])
                    prefix.append(token)
                assert scores[tuple(tokens)] == pytest.approx(total, abs=1e-3)
    for ctc_weight in (0.3, 1.0):
        wide = SearchOptions(beam=400, nbest=400, ctc_weight=ctc_weight, maxlenratio=-2)
        narrow = SearchOptions(beam=18, nbest=18, ctc_weight=ctc_weight, maxlenratio=-2)
        for all_of_them, some in zip(found(model, encoded, wide), found(model, encoded, narrow), strict=True):
            scores = {tuple(hyp.tokens): hyp.score for hyp in all_of_them.hyps}
            assert len(all_of_them.hyps) == len(scores) == len(every)
            assert {tuple(h.tokens): h.score for h in some.hyps} == pytest.approx(
                {tuple(h.tokens): scores[tuple(h.tokens)] for h in some.hyps}, abs=1e-3
            )


def test_all_ways_to_stop_and_to_end_occur():
    # so that the comparisons above have met them
    greedy = SearchOptions(ctc_weight=0.0, beam=1)
    cases = [
        ("location_lstm", SearchOptions(), [61, 40]),
        ("location_lstm", greedy, [20]),
        ("location_gru", greedy, [9]),
    ]
    stops, ended = set(), set()
    for kind, options, lengths in cases:
        model = models.build(kind)
        encoded = models.encode(model, models.features(lengths))
        for one, x in zip(found(model, encoded, options), encoded, strict=True):
            stops.add(one.stop)
            ended.update(hyp.ended for hyp in one.hyps)
            theirs = models.stock(model, x, options)
            assert [hyp.tokens for hyp in one.hyps] == [without_double_end(hyp["yseq"], model.eos) for hyp in theirs]
    assert stops == {"end detected", "maxlen", "beam empty"}
    assert ended == {"eos", "maxlen"}


@pytest.mark.parametrize("kind", ["location_lstm", "location_gru", "dot", "add", "noatt"])
def test_native_rnn_scorer_equals_the_fallback(kind):
    model = models.build(kind)
    hs, lengths = models.pad(models.encode(model, models.features(LENGTHS)))
    parents = torch.tensor([[2, 0, 0], [1, 1, 2], [2, 2, 2]])
    rows = torch.tensor([2, 0])
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 17, (6, 3, 3), generator=generator)
    outputs = []
    with torch.no_grad():
        for scorer in (InTensors(RnnDecoderScorer(model.decoder)), OneByOne(model.decoder)):
            memory = scorer.remember(hs, lengths)
            state = scorer.start(memory, 3)
            logps = []
            for step in range(3):
                logp, state = scorer.step(tokens[step], state, memory)
                logps.append(logp)
                state = scorer.reorder(state, parents)
            memory, state = scorer.keep(memory, rows), scorer.keep(state, rows)
            for step in range(3, 6):
                logp, state = scorer.step(tokens[step][rows], state, memory)
                logps.append(logp)
            outputs.append(torch.cat([logp.flatten() for logp in logps]))
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-5, rtol=1e-5)


def test_hypotheses_of_coverage_attention_do_not_see_their_siblings():
    model, options = models.build("coverage"), SearchOptions(beam=3, nbest=3)
    encoded = models.encode(model, models.features([24, 16]))
    mine = found(model, encoded, options)
    for one, x in zip(mine, encoded, strict=True):
        for hyp in one.hyps[:2]:
            decoder = OneByOne(model.decoder)._own()
            with torch.no_grad():
                state, total = decoder.init_state(x), 0.0
                prefix = torch.tensor([model.sos, *hyp.tokens])
                targets = [*hyp.tokens, model.eos] if hyp.ended == "eos" else hyp.tokens
                for i, token in enumerate(targets, 1):
                    logp, state = decoder.score(prefix[:i], state, x)
                    total += float(logp[token])
            assert hyp.scores["decoder"] == pytest.approx(total, abs=1e-3)


def test_which_scorer_a_decoder_gets():
    kinds = {"location_lstm": RnnDecoderScorer, "conformer": TransformerScorer}
    for kind, scorer in kinds.items():
        got, batched = decoder_scorer(models.build(kind))
        assert isinstance(got.step.__self__, scorer)
        assert batched is (kind == "conformer")
    assert isinstance(decoder_scorer(models.build("location2d"))[0], OneByOne)
    assert decoder_scorer(models.build("kdasr"))[1] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (SearchOptions(beam=0), "--beam 0"),
        (SearchOptions(ctc_weight=1.5), "--ctc_weight 1.5"),
        (SearchOptions(maxlenratio=-0.5), "--maxlenratio"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        scorers_of(models.build("dot"), options)
