import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from scipy import stats

from kdasr.score import intervals
from kdasr.score.intervals import Paired, interval, over_seeds, paired, seeds_apart


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
    assert not same.beyond_noise
    back = paired(second.tolist(), first.tolist(), words.tolist())
    # where the two change places, the same utterances are drawn
    assert (back.difference, back.low, back.high, back.p) == pytest.approx(
        (-result.difference, -result.high, -result.low, result.p), abs=1e-9
    )


@pytest.mark.parametrize(
    ("low", "high", "beyond"),
    [(0, 0, False), (0, 1, False), (-1, 0, False), (-1, 1, False), (0.01, 1, True), (-1, -0.01, True)],
)
def test_an_interval_that_holds_zero_or_ends_there_is_noise(low, high, beyond):
    assert Paired(0.0, low, high, 0.5).beyond_noise == beyond


def test_p_is_twice_the_rarer_tail_with_the_sample_itself_among_those_counted():
    assert paired([1] * 9, [0] * 9, [5] * 9).p == pytest.approx(2 / 10_001)  # no resample turns the sign round
    assert paired([0] * 9, [1] * 9, [5] * 9).p == pytest.approx(2 / 10_001)
    # of two utterances both are drawn, or one of them twice: 1/4 of the sums are above zero, 1/4 below
    assert paired([0, 1], [1, 0], [5, 5]).p == 1.0
    # 1/4 of the sums, those of the second utterance alone, are above zero, and 3/4 are below it
    assert paired([2, 0], [0, 1], [5, 5]).p == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("block", [1, 300, 7777, 1 << 18])
@pytest.mark.parametrize("worth", [0, 100])
def test_all_resamples_are_drawn_block_by_block(block, worth, monkeypatch):
    """None turns the sign round, so that p tells their number; and every one has a rate."""
    monkeypatch.setattr(intervals, "WORTH", worth)
    monkeypatch.setattr(intervals, "BLOCK", block)
    monkeypatch.setattr(intervals, "RESAMPLES", 500)
    sums = intervals._resampled(np.array([[1.0, 5.0], [2.0, 5.0]]), 0)
    assert sums.shape == (500, 2) and set(sums[:, 1]) == {10.0} and set(sums[:, 0]) == {2.0, 3.0, 4.0}
    assert paired([1, 2], [0, 0], [5, 5]).p == pytest.approx(2 / 501)


def test_another_seed_draws_other_resamples():
    generator = np.random.default_rng(4)
    for size in (30, 3000):  # drawn one by one, and those that are alike together
        words = generator.integers(5, 30 if size == 30 else 8, size)
        first, second = generator.binomial(words, 0.3), generator.binomial(words, 0.3)
        assert len({interval(first, words, seed) for seed in (0, 1, 2)}) == 3
        assert len({paired(first, second, words, seed).low for seed in (0, 1, 2)}) == 3


def test_over_seeds_is_students_interval():
    spread = over_seeds([10.0, 11.0, 12.0])
    assert (spread.mean, spread.sd) == (11.0, 1.0)
    assert spread.high - 11.0 == pytest.approx(4.302653 / 3**0.5, rel=1e-5)  # t(0.975, 2)
    assert 11.0 - spread.low == pytest.approx(4.302653 / 3**0.5, rel=1e-5)
    assert over_seeds([7.0]) == intervals.Spread(7.0, None, None, None)


def test_seeds_apart_is_welchs_interval():
    first, second = [10.0, 11.0, 12.5], [8.0, 8.5, 9.5, 9.0]
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert seeds_apart(first, second) == pytest.approx((expected.low, expected.high))
    assert seeds_apart([1.0], [2.0, 3.0]) is None
    assert seeds_apart([1.0, 1.0], [3.0, 3.0]) == (2.0, 2.0)
    assert seeds_apart([2.0, 3.0], [1.0]) is None
    assert seeds_apart([1.0, 2.0], [1.0, 2.0])[0] == -seeds_apart([1.0, 2.0], [1.0, 2.0])[1]


rates = st.lists(st.integers(0, 400).map(lambda value: value / 8), min_size=2, max_size=6)


@examples(100)
@given(rates, rates)
def test_spreads_are_scipys(first, second):
    for values in (first, second):
        found = over_seeds(values)
        error = stats.sem(values)
        low, high = (
            stats.t.interval(0.95, len(values) - 1, np.mean(values), error) if error else (found.mean, found.mean)
        )
        assert (found.mean, found.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
        assert (found.low, found.high) == pytest.approx((low, high))
    found, change = seeds_apart(first, second), np.mean(second) - np.mean(first)
    if len({*first}) == len({*second}) == 1:
        assert found == (change, change)
    else:
        expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
        assert found == pytest.approx((expected.low, expected.high))


def every_resample(columns):
    """The rates, in percent and in order, of all U ** U equally likely resamples of U utterances that have words."""
    utterances = len(columns)
    drawn = np.indices((utterances,) * utterances).reshape(utterances, -1)  # (U, U ** U)
    errors, words = np.asarray(columns)[drawn].sum(axis=0).T
    return np.sort(100.0 * errors[words > 0] / words[words > 0])


def assert_quantile(value, rates, share):
    """At most `share` of the exact rates lie below a value, and at least as many at or below it, give or take luck."""
    assert np.mean(rates < value - 1e-9) < share + 0.012
    assert np.mean(rates <= value + 1e-9) > share - 0.012


utterances = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=5)


@examples(100)
@given(utterances, st.sampled_from([0, 100]), st.sampled_from([400, 1 << 18]), st.sampled_from([0.5, 0.8, 0.95]))
def test_intervals_and_p_are_those_of_all_resamples_however_they_are_drawn(rows, worth, block, level):
    first, second, words = zip(*rows, strict=True)
    if not any(words):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "WORTH", worth)  # 0: alike utterances are drawn together, 100: never
        patch.setattr(intervals, "BLOCK", block)  # few or all resamples at a time
        found, alone = paired(first, second, words), interval(first, words, level=level)
    rates = every_resample([(b - a, n) for a, b, n in rows])
    observed = 100.0 * (sum(second) - sum(first)) / sum(words)
    assert found.difference == pytest.approx(observed)
    assert_quantile(found.low, rates, 0.025)
    assert_quantile(found.high, rates, 0.975)
    assert found.p == pytest.approx(min(1.0, 2 * min(np.mean(rates <= 0), np.mean(rates >= 0))), abs=0.04)
    rates = every_resample([(a, n) for a, _, n in rows])
    assert_quantile(alone[0], rates, (1 - level) / 2)
    assert_quantile(alone[1], rates, (1 + level) / 2)
