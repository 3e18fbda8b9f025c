"""Transformer decoders and language models over a grid: ESPnet's own scores, whoever is a child, leaves or comes."""

from __future__ import annotations

import pytest
import search_models as models
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.espnet import name
from kdasr.search import transformers
from kdasr.search.one_by_one import OneByOne
from kdasr.search.transformers import Past, TransformerLmScorer, TransformerScorer, compact

VOCAB, WIDTH = 7, 8


def loud(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0.0, 0.5)
    return network.eval()


def decoder(heads=2, blocks=1, **conf):
    make = name("espnet2.asr.decoder.transformer_decoder:TransformerDecoder")
    return loud(make(VOCAB, WIDTH, attention_heads=heads, linear_units=5, num_blocks=blocks, **conf))


def language_model(heads=2, blocks=1, **conf):
    make = name("espnet2.lm.transformer_lm:TransformerLM")
    sizes = {"embed_unit": 3, "att_unit": WIDTH, "unit": 5}
    return loud(make(VOCAB, head=heads, layer=blocks, **sizes, **conf))


def follow(scorer, hs, lengths, events, beam):
    """Log probabilities at each step, while hypotheses change slots and utterances leave and come.

    Args:
        scorer: a full scorer.
        hs, lengths: of all utterances.
        events: a step each: (tokens (B, K), parents (B, K), who stays (rows), who is replaced (row or None)).
        beam: K.
    """
    memory = scorer.remember(hs, lengths)
    state, logps = scorer.start(memory, beam), []
    there = torch.arange(len(hs))
    for tokens, parents, stay, fresh in events:
        logp, state = scorer.step(tokens[there], state, memory)
        state = scorer.reorder(state, parents[there])
        logps.append(logp.flatten())
        rows = torch.tensor([row for row, number in enumerate(there.tolist()) if number in stay])
        if 0 < len(rows) < len(there):
            memory, state, there = scorer.keep(memory, rows), scorer.keep(state, rows), there[rows]
        if fresh is not None and fresh < len(there):
            row, number = torch.tensor([fresh]), there[fresh]
            new = scorer.remember(hs[number : number + 1], lengths[number : number + 1])
            memory, state = scorer.put(memory, row, new), scorer.put(state, row, scorer.start(new, beam))
    return torch.cat(logps)


NETWORKS = {
    "decoder": (decoder, TransformerScorer, {}),
    "decoder, norms behind": (decoder, TransformerScorer, {"normalize_before": False}),
    "language model": (language_model, TransformerLmScorer, {"pos_enc": None}),
    "language model with positions": (language_model, TransformerLmScorer, {"pos_enc": "sinusoidal"}),
}


@pytest.mark.parametrize("kind", NETWORKS)
@examples(15)
@given(data=st.data())
def test_any_tree_and_company_equals_espnets_own(kind, data):
    make, native, conf = NETWORKS[kind]
    torch.manual_seed(data.draw(st.integers(0, 50), label="seed"))
    network = make(data.draw(st.sampled_from([1, 2, 4]), label="heads"), data.draw(st.integers(1, 2)), **conf)
    lengths = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=3), label="lengths")
    beam, steps = data.draw(st.integers(1, 3), label="beam"), data.draw(st.integers(1, 7), label="steps")
    room, transformers.GROWTH = transformers.GROWTH, data.draw(st.sampled_from([1, 2, 16]), label="growth")
    hs, padded = models.pad([torch.randn(n, WIDTH) for n in lengths])
    shape = (len(lengths), beam)
    events = [
        (
            torch.randint(VOCAB, shape),
            torch.randint(beam, shape),
            data.draw(st.sets(st.integers(0, 2), min_size=1)),
            data.draw(st.sampled_from([None, None, 0, 1])),
        )
        for _ in range(steps)
    ]
    assert native.fits(network)
    try:
        with torch.no_grad():
            got = follow(native(network), hs, padded, events, beam)
            expected = follow(OneByOne(network), hs, padded, events, beam)
    finally:
        transformers.GROWTH = room
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-4)


def test_a_finished_utterance_that_is_computed_on_changes_no_other():
    """It has had more steps than there is room for: its row is rubbish, that of the other is not."""
    network = decoder()
    hs, lengths = models.pad([torch.randn(3, WIDTH), torch.randn(5, WIDTH)])
    scorer = TransformerScorer(network)
    with torch.no_grad():
        memory = scorer.remember(hs, lengths)
        state = scorer.start(memory, 2)
        for _ in range(5):
            _, state = scorer.step(torch.full((2, 2), 3), state, memory)
        new, row = scorer.remember(hs[1:], lengths[1:]), torch.tensor([1])
        memory, state = scorer.put(memory, row, new), scorer.put(state, row, scorer.start(new, 2))
        alone = scorer.start(new, 2)
        for step in range(20):
            tokens = torch.full((1, 2), 1 + step % 5)
            logp, state = scorer.step(tokens.expand(2, -1), state, memory)
            expected, alone = scorer.step(tokens, alone, new)
            torch.testing.assert_close(logp[1:], expected, atol=1e-5, rtol=1e-5)


def test_unusual_ones_are_not_native():
    assert TransformerScorer.fits(decoder()) and not TransformerLmScorer.fits(decoder())
    assert TransformerLmScorer.fits(language_model()) and not TransformerScorer.fits(language_model())
    assert not TransformerScorer.fits(decoder(concat_after=True))
    assert not TransformerScorer.fits(decoder(use_output_layer=False))
    assert not TransformerScorer.fits(decoder(input_layer="linear"))


def test_a_full_cache_drops_the_places_of_hypotheses_that_are_gone():
    own = torch.tensor([[[1, 0, 0, 1, 0], [1, 0, 0, 0, 0]], [[0, 1, 1, 0, 0], [0, 0, 1, 0, 1]]], dtype=torch.bool)
    keys = torch.arange(2 * 3 * 5).view(2, 1, 3, 5, 1).float()  # (B, J, G, P, D)
    found = compact(Past(keys, keys + 100, own, torch.tensor([2, 2]), torch.tensor([4, 5]), 2, 5))
    assert found.filled.tolist() == [2, 3] and found.used == 3 and found.steps == 2
    assert found.own.tolist() == [
        [[True, True, False], [True, False, False]],
        [[True, True, False], [False, True, True]],
    ]
    assert found.keys[0, 0, :, :2, 0].tolist() == [[0, 3], [5, 8], [10, 13]]
    assert found.values[1, 0, :, :, 0].tolist() == [[116, 117, 119], [121, 122, 124], [126, 127, 129]]
