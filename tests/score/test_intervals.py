import numpy as np
import pytest
from scipy import stats

from kdasr.score.intervals import interval, over_seeds, paired, seeds_apart


def test_interval_agrees_with_the_normal_approximation_and_repeats():
    generator = np.random.default_rng(1)
    words = generator.integers(5, 30, 2000)
    errors = generator.binomial(words, 0.1)
    low, high = interval(errors.tolist(), words.tolist())
    rate = errors.sum() / words.sum()
    half = 1.96 * np.sqrt(np.sum((errors - rate * words) ** 2)) / words.sum()  # the ratio estimator's deviation
    assert low == pytest.approx(100 * (rate - half), abs=0.03)
    assert high == pytest.approx(100 * (rate + half), abs=0.03)
    assert interval(errors.tolist(), words.tolist()) == (low, high)


def test_interval_of_equal_utterances_has_no_width():
    assert interval([1] * 50, [10] * 50) == pytest.approx((10.0, 10.0))


def test_utterances_without_words_count_their_errors_and_have_no_rate_of_their_own():
    # of two utterances drawn from two: the wordless one alone (left out), the other alone (50), or both (100)
    low, high = interval([1, 1], [0, 2])
    assert (low, high) == (50.0, 100.0)
    found = paired([1, 1], [3, 1], [0, 2])
    assert (found.difference, found.low, found.high) == (100.0, 0.0, 100.0)
    assert interval([1, 0], [0, 0]) == (0.0, 0.0)


def test_paired_sees_a_steady_difference_that_single_intervals_do_not():
    generator = np.random.default_rng(2)
    words = np.full(500, 20)
    first = generator.binomial(words, 0.3)
    second = first - (np.arange(500) % 10 == 0) * (first > 0)
    result = paired(first.tolist(), second.tolist(), words.tolist())
    assert result.difference == pytest.approx(100 * (second.sum() - first.sum()) / words.sum())
    assert result.low < result.difference < result.high < 0
    assert result.beyond_noise and result.p < 0.001
    one, two = interval(first.tolist(), words.tolist()), interval(second.tolist(), words.tolist())
    assert two[1] > one[0]  # they overlap


def test_paired_of_like_systems_is_noise():
    generator = np.random.default_rng(3)
    words = np.full(300, 20)
    first, second = generator.binomial(words, 0.2), generator.binomial(words, 0.2)
    result = paired(first.tolist(), second.tolist(), words.tolist())
    assert not result.beyond_noise and result.p > 0.05
    same = paired(first.tolist(), first.tolist(), words.tolist())
    assert (same.difference, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)
    back = paired(second.tolist(), first.tolist(), words.tolist())
    assert (back.difference, back.low, back.high) == pytest.approx(
        (-result.difference, -result.high, -result.low), abs=0.02
    )


def test_over_seeds_is_students_interval():
    spread = over_seeds([10.0, 11.0, 12.0])
    assert (spread.mean, spread.sd) == (11.0, 1.0)
    assert spread.high - 11.0 == pytest.approx(4.302653 / 3**0.5, rel=1e-5)  # t(0.975, 2)
    assert over_seeds([7.0]).sd is None


def test_seeds_apart_is_welchs_interval():
    first, second = [10.0, 11.0, 12.5], [8.0, 8.5, 9.5, 9.0]
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert seeds_apart(first, second) == pytest.approx((expected.low, expected.high))
    assert seeds_apart([1.0], [2.0, 3.0]) is None
    assert seeds_apart([1.0, 1.0], [3.0, 3.0]) == (2.0, 2.0)
