"""A stream of utterances: whoever sits beside whom, and in whatever order, each gets what it gets alone."""

from __future__ import annotations

import random

import pytest
import search_models as models
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from toy_search import Table, toy_model, toy_scorer

from kdasr.errors import UserError
from kdasr.search import stream as streams
from kdasr.search.options import SearchOptions
from kdasr.search.scorers import scorers_of
from kdasr.search.stream import Utterance, stream

KINDS = ["location_lstm", "location2d", "conformer", "kdasr"]  # native, one by one, cached, kdasr's own
LENGTHS = [40, 37, 36, 33, 30, 30, 24, 19]  # input frames


@pytest.fixture(scope="module", params=KINDS)
def place(request):
    model = models.build(request.param)
    return model, models.encode(model, models.features(LENGTHS))


@pytest.fixture(scope="module")
def alone(place):
    """What is found for each utterance alone."""
    return run(*place, SearchOptions(beam=4, nbest=4, ctc_weight=0.3), slots=1)


def run(model, encoded, options, order=None, **how):
    order = range(len(encoded)) if order is None else order
    waiting = [Utterance(number, (encoded[number],)) for number in order]
    found = dict(stream(waiting, scorers_of(model, options), options, **how))
    assert sorted(found) == sorted(order)
    return [found[number] for number in sorted(found)]


def same(one, other, tolerance=1e-4):
    for a, b in zip(one, other, strict=True):
        assert (a.stop, a.steps) == (b.stop, b.steps)
        assert [h.tokens for h in a.hyps] == [h.tokens for h in b.hyps]
        assert [h.ended for h in a.hyps] == [h.ended for h in b.hyps]
        for x, y in zip(a.hyps, b.hyps, strict=True):
            assert x.score == pytest.approx(y.score, abs=tolerance)
            assert x.scores == pytest.approx(y.scores, abs=tolerance)


@pytest.mark.parametrize("look", [1, 5])
@pytest.mark.parametrize("slots", [2, 3, 8])
@pytest.mark.parametrize("refill", [True, False])
def test_company_changes_nothing(place, alone, slots, refill, look, monkeypatch):
    """Refilled or not, looked at every step (as on a CPU) or seldom (as on a GPU)."""
    model, encoded = place
    options = SearchOptions(beam=4, nbest=4, ctc_weight=0.3)
    assert len({found.steps for found in alone}) > 2  # or nobody ever leaves before the others
    monkeypatch.setattr(streams, "LOOK_CPU", look)
    same(run(model, encoded, options, slots=slots, refill=refill), alone)


def test_a_row_is_taken_over(place):
    """Fewer steps with refill for the same work: who waits does not wait for the slowest."""
    model, encoded = place
    options = SearchOptions(beam=3, nbest=3, ctc_weight=0.3)
    watch = streams.Watch()
    run(model, encoded, options, slots=3, watch=watch)
    filled = streams.Watch()
    run(model, encoded, options, slots=3, watch=filled, refill=False)
    assert watch.alive == filled.alive and watch.steps < filled.steps


def test_who_is_as_long_as_the_grid_sits_down():
    """Six of one length, the first of which ends at once and the second never, in two rows."""
    rows = [[-50.0, -1.0, 0.0]], [[-50.0, 0.0, -60.0]]

    class Two(Table):
        def after(self, tokens, state, context):
            logp = [torch.tensor(one[0]) for one in rows]
            return torch.where(context > 0, logp[0], logp[1]).expand(*tokens.shape, 3), state

        def remember(self, hs, hlens):
            return hs[:, 0, :1]

    encoded = [torch.full((9, 3), float(n != 1)) for n in range(6)]
    watch = streams.Watch()
    model, options = toy_model(3, toy_scorer(True, rows[0], kind=Two)), SearchOptions(beam=1, ctc_weight=0.0)
    found = run(model, encoded, options, slots=2, watch=watch)
    assert [one.steps for one in found] == [1, 9, 1, 1, 1, 1]
    assert (watch.steps, watch.rows, watch.alive) == (9, 14, 14)
    # Of eight rows one that is done stays where it is, and is computed for nothing.
    encoded, watch = [torch.full((9, 3), float(n == 0)) for n in range(8)], streams.Watch()
    run(model, encoded, options, slots=8, watch=watch)
    assert (watch.steps, watch.rows, watch.alive) == (9, 72, 64)


@examples(20)
@given(
    data=st.data(),
    kind=st.sampled_from(KINDS),
    beam=st.integers(1, 6),
    nbest=st.integers(1, 5),
    ctc_weight=st.sampled_from([0.0, 0.3, 1.0]),
    penalty=st.sampled_from([0.0, 0.7]),
    maxlenratio=st.sampled_from([0.0, 0.6, -3]),
    minlenratio=st.sampled_from([0.0, 0.2]),
    normalize_length=st.booleans(),
)
def test_any_model_any_company_any_options(data, kind, **options):
    heads = data.draw(st.sampled_from([1, 2, 4]), label="heads")
    width, layers = data.draw(st.integers(2, 4), label="width"), data.draw(st.integers(1, 3), label="layers")
    seed = data.draw(st.integers(0, 3), label="seed")
    model = models.build(kind, seed=seed, shape=(2 * heads * width, layers, heads))
    lengths = data.draw(st.lists(st.integers(8, 40), min_size=2, max_size=7), label="lengths")
    encoded = models.encode(model, models.features(lengths))
    order = list(range(len(encoded)))
    random.Random(0).shuffle(order)
    options = SearchOptions(**options)
    slots = data.draw(st.integers(1, 4), label="slots")
    same(run(model, encoded, options, order, slots=slots), run(model, encoded, options, slots=1))


def test_utterances_that_do_not_fit_wait_for_the_next_grid(place):
    """Shortest first: nobody can sit down beside a shorter one, and still nothing changes."""
    model, encoded = place
    options = SearchOptions(beam=3, nbest=2, ctc_weight=0.3)
    backwards = list(reversed(range(len(encoded))))
    same(run(model, encoded, options, backwards, slots=2), run(model, encoded, options, slots=1))


@pytest.mark.parametrize("kind", ["location_lstm", "kdasr"])
def test_a_ctc_window_that_holds_all_frames_changes_nothing_and_a_narrow_one_does(kind):
    model = models.build(kind)
    encoded = models.encode(model, models.features(LENGTHS))
    whole = run(model, encoded, SearchOptions(beam=4, nbest=3, ctc_weight=0.5), slots=3)
    same(run(model, encoded, SearchOptions(beam=4, nbest=3, ctc_weight=0.5, ctc_window=40), slots=3), whole)
    narrow = SearchOptions(beam=4, nbest=3, ctc_weight=0.5, ctc_window=1)
    found = run(model, encoded, narrow, slots=3)
    assert [h.score for f in found for h in f.hyps] != [h.score for f in whole for h in f.hyps]
    same(found, run(model, encoded, narrow, slots=1))


def test_a_ctc_window_needs_somewhere_to_look():
    with pytest.raises(UserError, match="--ctc_window 5: needs one model with a recurrent attention decoder"):
        scorers_of(models.build("conformer"), SearchOptions(ctc_window=5))
