"""The decoder against an enumeration of every path; what its weights do."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.frames import grams
from kdasr.frames.states import START
from kdasr.frames.states import build as build_states
from kdasr.frames.viterbi import Weights, build, decode

TEXTS = ["ab", "abb", "ba", "cab", "c"]


def case(tokens, positions, frames, seed, sharp=1.0):
    """States with some of pairs, counts, a trigram, and random predictions."""
    sequences = [[one for one in text if one in tokens] for text in TEXTS]
    states = build_states(sequences, positions, 2)
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 50, len(states))
    table = grams.count(sequences).table()
    log_probs = sharp * generator.normal(size=(frames, len(states)))
    log_probs[:, 0] += sharp * generator.choice([0, 2], frames)  # silence here and there
    log_probs -= np.log(np.exp(log_probs).sum(1, keepdims=True))
    return states, counts, tokens, table, log_probs


def ways(frames, least):
    """All lengths of segments of so many frames together, each at least as long as `least` says."""
    spare = frames - sum(least)
    for cuts in itertools.combinations(range(spare + len(least) - 1), len(least) - 1):
        ends = [-1, *cuts, spare + len(least) - 1]
        yield [low + b - a - 1 for low, a, b in zip(least, ends, ends[1:], strict=False)]


def enumerated(states, counts, tokens, table, log_probs, weights):
    """The best (score, tokens) by looking at every path there is."""
    log_priors = np.log(np.maximum(counts, 1) / np.maximum(counts, 1).sum())
    acoustic = log_probs - weights.prior_weight * log_priors
    border = len(tokens)
    found = []
    for length in range(len(log_probs) // states.positions + 1):
        for said in itertools.product(range(border), repeat=length):
            score = weights.insertion * length
            history = [border, border, *said, border]
            score += weights.lm_weight * sum(
                table[history[k], history[k + 1], history[k + 2]] for k in range(length + 1)
            )
            segments, least = [0], [0]  # states in a row, silence wherever it may be
            for before, one in zip([border, *said], said, strict=False):
                first = states.of(([*tokens, START])[before], tokens[one])
                segments += [first + position for position in range(states.positions)] + [0]
                least += [1] * states.positions + [0]
            for lengths in ways(len(log_probs), least):
                path = np.repeat(segments, lengths)
                found.append((score + acoustic[np.arange(len(path)), path].sum(), list(said)))
    return max(found)


@examples(60)
@given(
    st.sampled_from(
        [("ab", 1, 6), ("abc", 1, 4), ("ab", 2, 7), ("ab", 3, 7), ("abc", 3, 8), ("abc", 2, 5), ("abc", 3, 2)]
    ),
    st.integers(0, 10**6),
    st.floats(0.1, 3),  # at 0, a token said twice may be worth as much as once
    st.floats(0, 1.5),
    st.floats(-3, 6),
)
def test_the_best_of_all_paths(size, seed, lm_weight, prior_weight, insertion):
    tokens, positions, frames = size
    states, counts, tokens, table, log_probs = case(tokens, positions, frames, seed, sharp=4.0)
    weights = Weights(lm_weight, prior_weight, insertion)
    said, score = decode(build(states, counts, tokens, table), log_probs, weights)
    best, sequence = enumerated(states, counts, tokens, table, log_probs, weights)
    assert score == pytest.approx(best)
    assert said == sequence


def slowly(states, tokens, table, acoustic, weights):
    """Viterbi in loops with the whole path in each state, by the rule for equal scores."""
    border, positions = len(tokens), states.positions
    paths = {(positions, border, border): (0.0, [])}  # (position, token before, token) -> score, tokens said
    none = (-np.inf, [])

    def leaving(left, token):
        """From the token rather than from the silence after it."""
        ends = [paths.get((place, left, token), none) for place in (positions - 1, positions)]
        return max(ends, key=lambda found: found[0])

    for emission in acoustic:
        new = {}
        for left in range(border + 1):
            for token in range(border):
                first = states.of([*tokens, START][left], tokens[token])
                entered = []  # by the token before the last one, in its order
                for before in range(border + 1):
                    score, said = leaving(before, left)
                    cost = weights.lm_weight * table[before, left, token] + weights.insertion
                    entered.append((score + cost, [*said, token]))
                sources = [max(entered, key=lambda found: found[0])]
                sources += [paths.get((place, left, token), none) for place in range(positions)]
                for place in range(positions):  # staying rather than moving
                    best = max(paths.get((place, left, token), none), sources[place], key=lambda found: found[0])
                    new[place, left, token] = (best[0] + emission[first + place], best[1])
                stay = paths.get((positions, left, token), none)
                best = max(stay, paths.get((positions - 1, left, token), none), key=lambda found: found[0])
                new[positions, left, token] = (best[0] + emission[0], best[1])
        score, said = paths[positions, border, border]
        new[positions, border, border] = (score + emission[0], said)
        paths = new
    ends = []
    for left in range(border + 1):
        for token in range(border + 1):
            score, said = leaving(left, token)
            ends.append((score + weights.lm_weight * table[left, token, border], said))
    return max(ends, key=lambda found: found[0])


@examples(100)
@given(
    st.sampled_from([("ab", 1, 5), ("abc", 1, 4), ("ab", 2, 6), ("abc", 2, 5)]),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 1.0, 2.0]),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([-1.0, 0.0, 1.0]),
)
def test_equally_good_paths_are_told_apart_by_the_rule(size, seed, lm_weight, prior_weight, insertion):
    """Whole numbers everywhere, so that many paths are equally good."""
    tokens, positions, frames = size
    states, _, _, _, _ = case(tokens, positions, frames, seed)
    generator = np.random.default_rng(seed)
    table = generator.integers(-2, 1, [len(tokens) + 1] * 3).astype(float)
    log_probs = generator.integers(-1, 1, (frames, len(states))).astype(float)
    graph = build(states, [1] * len(states), tokens, table)
    log_priors = generator.integers(-2, 1, len(states)).astype(float)
    graph = dataclasses.replace(graph, log_priors=log_priors)
    weights = Weights(lm_weight, prior_weight, insertion)
    expected, said = slowly(states, tokens, table, log_probs - prior_weight * log_priors, weights)
    assert decode(graph, log_probs, weights) == (said, expected)


def test_scores_are_in_double_precision():
    """Log probabilities of half precision, a weight that single precision does not hold."""
    states, counts, tokens, table, log_probs = case("abc", 3, 200, 1)
    graph, weights = build(states, counts, tokens, table), Weights(0.0, 0.1, -1e6)  # nothing but silence
    half = log_probs.astype(np.float16)
    said, score = decode(graph, half, weights)
    expected = sum(float(one) for one in half[:, 0]) - 200 * 0.1 * float(graph.log_priors[0])
    assert said == [] and score == pytest.approx(expected, rel=1e-12)


def test_defaults_of_the_weights():
    assert Weights() == Weights(lm_weight=1.0, prior_weight=0.5, insertion=0.0)


def test_what_is_there_is_found():
    """Frames that leave no doubt, silences among them, and a pair with states of its own."""
    states, counts, tokens, table, _ = case("abc", 3, 0, 0)
    assert ("a", "b") in states.units and ("c", "a") not in states.units
    path = [0, 0]
    for left, token in ((START, "c"), ("c", "a"), ("a", "b")):
        first = states.of(left, token)
        path += [first, first, first + 1, first + 2] + ([0] if token == "c" else [])
    log_probs = np.full((len(path), len(states)), -20.0)
    log_probs[np.arange(len(path)), path] = 0.0
    graph = build(states, counts, tokens, table)
    said, score = decode(graph, log_probs, Weights(0.0, 0.0, 0.25))
    assert [tokens[one] for one in said] == ["c", "a", "b"]
    assert score == pytest.approx(0.75)
    assert decode(graph, log_probs.astype(np.float16), Weights(0.0, 0.0, 0.25))[0] == said


def test_insertion_makes_more_tokens_and_none_without_frames():
    states, counts, tokens, table, log_probs = case("abc", 3, 30, 5)
    graph = build(states, counts, tokens, table)
    lengths = [len(decode(graph, log_probs, Weights(1.0, 0.5, value))[0]) for value in (-50.0, 0.0, 3.0, 50.0)]
    assert lengths == sorted(lengths) and lengths[0] == 0 and lengths[-1] == 10
    assert decode(graph, log_probs[:0], Weights())[0] == []
    assert decode(graph, log_probs[:2], Weights(1.0, 0.5, 50.0))[0] == []  # too short for a token


def test_states_never_seen_have_the_prior_of_one_frame():
    states, _, tokens, table, _ = case("ab", 1, 0, 0)
    counts = np.array([6, 0, *[1] * (len(states) - 2)])
    expected = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    assert np.exp(build(states, counts, tokens, table).log_priors) == pytest.approx(expected)
