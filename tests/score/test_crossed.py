"""Intervals over seeds and utterances: by hand, by simulation with known variances, and between Welch's and paired."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from scipy import stats

from kdasr.score.crossed import Linearised, difference, gap_closed, of_errors
from kdasr.score.intervals import paired, seeds_apart


def drawn(generator, runs, words, rate=0.3, seed=0.0, utterance=1.0, rest=0.7, alike=None):
    """Errors (S, U) of a system by the model, and its utterances' effects; those of another system may be alike."""
    own = generator.standard_normal(len(words))
    effect = own if alike is None else 0.8 * alike + 0.6 * own
    rates = rate + seed * generator.standard_normal((runs, 1))
    errors = rates * words + utterance * effect + rest * generator.standard_normal((runs, len(words)))
    return errors, effect


def width(joint):
    return joint.high - joint.low


def test_a_tiny_case_by_hand():
    """Two seeds each, three utterances of ten words: every number below was computed with a pencil."""
    words = [10, 10, 10]
    first = of_errors([[1, 2, 3], [3, 4, 5]], words)  # rates 20 and 40, influence -10 0 10 in both: no rest
    second = of_errors([[1, 0, 2], [0, 3, 0]], words)  # rates 10 and 10; influence 0 -10 10 and -10 20 -10
    assert first.scores == pytest.approx([20, 40]) and second.scores == pytest.approx([10, 10])
    assert second.influence == pytest.approx(np.array([[0, -10, 10], [-10, 20, -10]]))
    found = difference(first, second)
    # Welch: 200 / 2 = 100, and 0. Rest: 0, and 2 (25 + 225 + 100) / (1 * 2) = 350, / (2 * 3) = 58.33.
    # Utterances: means of influence -10 0 10 and -5 5 0, the difference 5 5 -10, variance 75, / 3 = 25 < 58.33.
    variance = 100 + 350 / 6
    freedom = variance**2 / ((350 / 6) ** 2 / 2 + 100**2 / 1 + (350 / 6) ** 2 / 1)
    half = stats.t.ppf(0.975, freedom) * variance**0.5
    assert found.value == pytest.approx(-20)
    assert (found.freedom, found.low, found.high) == pytest.approx((freedom, -20 - half, -20 + half))
    assert found.of_seeds == pytest.approx(1.0)


def test_utterances_count_beside_seeds():
    """As above, but with utterances that differ by more than the rest explains."""
    first, second = of_errors([[0, 0, 9], [1, 1, 10]], [10] * 3), of_errors([[9, 0, 0], [9, 0, 0]], [10] * 3)
    found = difference(first, second)
    # Welch: rates 30 and 40, 50 / 2 = 25; no rest. Influence -30 -30 60 and 60 -30 -30: 90 0 -90, 8100 / 3 = 2700.
    assert found.value == pytest.approx(-5)
    assert found.freedom == pytest.approx(2725**2 / (2700**2 / 2 + 25**2))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, found.freedom) * 2725**0.5)
    assert found.of_seeds == pytest.approx(25 / 2725)


@pytest.mark.parametrize(("seed", "runs"), [(0.0, 5), (0.01, 5), (0.03, 5), (0.1, 5), (0.01, 3), (0.03, 3)])
def test_the_interval_covers_the_truth(seed, runs):
    """600 experiments whose truth is no difference, with other seeds and other utterances each time."""
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(600):
        words = generator.integers(4, 12, 200)
        first, effect = drawn(generator, runs, words, seed=seed)
        second, _ = drawn(generator, runs, words, seed=seed, alike=effect)
        covered += not difference(of_errors(first, words), of_errors(second, words)).beyond_noise
    # of 600, 95 % are within 1.8 points of 95 % by chance (two deviations); few seeds that are all alike cost coverage
    assert 0.93 <= covered / 600 <= 0.975


def test_the_share_of_a_gap_is_covered():
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(250):
        words = generator.integers(4, 12, 300)
        control, effect = drawn(generator, 5, words, rate=0.5, seed=0.03)
        system, _ = drawn(generator, 5, words, rate=0.38, seed=0.03, alike=effect)
        goal, _ = drawn(generator, 5, words, rate=0.3, seed=0.03, alike=effect)
        found = gap_closed(*(of_errors(errors, words) for errors in (control, system, goal)))
        covered += found is not None and found.low <= 0.6 <= found.high
    assert 0.92 <= covered / 250 <= 0.98


def test_seeds_that_do_not_differ_leave_the_paired_interval():
    generator = np.random.default_rng(3)
    words = generator.integers(4, 12, 500)
    first, effect = drawn(generator, 12, words)
    second, _ = drawn(generator, 12, words, rate=0.25, alike=effect)
    alone = paired(first.mean(axis=0), second.mean(axis=0), words)
    found = difference(of_errors(first, words), of_errors(second, words))
    assert found.value == pytest.approx(alone.difference)
    assert width(found) == pytest.approx(alone.high - alone.low, rel=0.06)
    assert found.of_seeds < 0.25


def test_many_utterances_leave_welchs_interval():
    generator = np.random.default_rng(4)
    words = generator.integers(4, 12, 50_000)
    first, effect = drawn(generator, 4, words, seed=0.05)
    second, _ = drawn(generator, 5, words, seed=0.02, alike=effect)
    one, two = of_errors(first, words), of_errors(second, words)
    assert (difference(one, two).low, difference(one, two).high) == pytest.approx(
        seeds_apart(one.scores, two.scores), abs=0.03
    )
    assert difference(one, two).of_seeds > 0.99


runs_of = st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), min_size=2, max_size=4)


@examples(60)
@given(runs_of, runs_of)
def test_it_is_antisymmetric_and_no_narrower_than_either_alone(first, second):
    words = [3, 5, 2, 9]
    one, two = of_errors(first, words), of_errors(second, words)
    found, back = difference(one, two), difference(two, one)
    assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))
    assert 0 <= found.of_seeds <= 1 + 1e-9
    if width(found) == 0:
        return
    error = width(found) / 2 / stats.t.ppf(0.975, found.freedom)
    welch = np.var(one.scores, ddof=1) / len(first) + np.var(two.scores, ddof=1) / len(second)
    moved = two.influence.mean(axis=0) - one.influence.mean(axis=0)
    assert error**2 >= max(welch, np.var(moved, ddof=1) / 4) * (1 - 1e-9)


def test_long_utterances_of_one_rate_are_no_noise():
    """A rate is a ratio: where each run errs at its own rate everywhere, nothing depends on the utterances drawn."""
    words = np.array([5, 50, 500])
    one, two = of_errors([words * 0.2, words * 0.4], words), of_errors([words * 0.2, words * 0.2], words)
    assert np.abs(one.influence).max() == pytest.approx(0, abs=1e-9)
    assert (difference(one, two).low, difference(one, two).high) == pytest.approx(
        (-10 - stats.t.ppf(0.975, 1) * 10, -10 + stats.t.ppf(0.975, 1) * 10)
    )


def test_a_system_and_itself():
    one = of_errors([[1, 2, 3], [1, 2, 3]], [9, 9, 9])
    found = difference(one, one)
    assert (found.value, found.low, found.high, found.of_seeds) == (0, 0, 0, 0) and not found.beyond_noise


def test_of_one_seed_there_is_no_interval():
    one, two = of_errors([[1, 2, 3]], [9, 9, 9]), of_errors([[1, 2, 3], [2, 2, 2]], [9, 9, 9])
    assert difference(one, two) is None and difference(two, one) is None
    assert gap_closed(one, two, two) is None and gap_closed(two, one, two) is None
    assert difference(*[of_errors([[1], [2]], [9])] * 2) is None  # nor of one utterance


def without_noise(*scores):
    """Linearised that differ by seeds alone."""
    return Linearised(np.array(scores, dtype=float), np.zeros((len(scores), 1000)))


def test_fiellers_interval_by_hand():
    """Control 30 ± 1, student 20 ± 1, a goal of one run at 10: half of the gap, whose ends solve a quadratic.

    The share g is inside where (10 - 20 g)^2 <= t^2 ((1 - g)^2 + 1) / 4, seeds having variance 1 and there being 4.
    """
    spread = np.array([-1, -1, 1, 1]) * (3 / 4) ** 0.5  # of variance 1
    found = gap_closed(without_noise(*(30 + spread)), without_noise(*(20 + spread)), without_noise(10))
    assert found.value == pytest.approx(0.5)
    for end in (found.low, found.high):
        first, second = (1 - end) ** 2 / 4, 1 / 4
        freedom = (first + second) ** 2 / (first**2 / 3 + second**2 / 3)
        reach = stats.t.ppf(0.975, freedom) * (first + second) ** 0.5
        assert abs(10 - 20 * end) == pytest.approx(reach, rel=1e-6)
    assert found.low < 0.5 < found.high and found.beyond_noise
    assert found.high - 0.5 < 0.5 - found.low  # a smaller gap is a larger share: the interval leans


def test_no_share_of_a_gap_that_is_noise():
    spread = np.array([-1, -1, 1, 1])
    control, student = without_noise(*(30 + spread)), without_noise(*(20 + spread))
    assert gap_closed(control, student, without_noise(*(29 + spread))) is None
    assert gap_closed(control, student, without_noise(*(25 + spread))) is not None
    # a goal of several runs is as random as the others
    one, many = (gap_closed(control, student, goal) for goal in (without_noise(25), without_noise(*(25 + spread))))
    assert width(many) > width(one)
