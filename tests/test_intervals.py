"""Intervals and tests over images against published examples and tables."""

import math

import numpy as np
import pytest

from alps_exp.intervals import (
    LEAST,
    holm,
    mean_interval,
    median_interval,
    rms_ratio,
    rms_ratio_interval,
    sign_test,
    t_test,
)

SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
"""Hours of sleep gained by ten patients, the example of Student, Biometrika 6, 1908."""
T_975 = {6: 2.570582, 10: 2.262157, 20: 2.093024, 64: 1.998341}
"""The 97.5 % quantiles of t for n values, from tables."""


def test_the_paired_test_of_student_on_his_own_example():
    assert tuple(mean_interval(SLEEP)) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert t_test(SLEEP) == pytest.approx(0.002833, abs=5e-7)


@pytest.mark.parametrize("count", T_975)
def test_the_interval_of_the_mean_has_the_width_of_the_table(count):
    values = np.random.default_rng(0).normal(size=(3, count))
    low, high = mean_interval(values)
    error = np.sqrt(((values - values.mean(1, keepdims=True)) ** 2).sum(1) / (count - 1) / count)
    assert (high - low) / 2 == pytest.approx(T_975[count] * error, rel=1e-6)
    assert (high + low) / 2 == pytest.approx(values.mean(1))


@pytest.mark.parametrize(("count", "ends"), [(6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (10, (2, 9)), (20, (6, 15))])
def test_the_interval_of_the_median_goes_by_binomial_tails(count, ends):
    shuffled = np.random.default_rng(0).permutation(count) + 1.0
    assert tuple(median_interval(shuffled)) == ends
    missed = [sum(math.comb(count, i) for i in range(k)) / 2 ** (count - 1) for k in (ends[0], ends[0] + 1)]
    assert missed[0] <= 0.05 < missed[1]  # one further in would cover too little


def test_the_sign_test_leaves_ties_out():
    legs_of_deer = np.array([4, 4, -3, 5, -1, 5, 6, 5, 6, 2.0])  # hind less fore; Zar, Biostatistical Analysis, 24.6
    assert sign_test(legs_of_deer) == 2 * (1 + 10 + 45) / 2**10
    assert sign_test(SLEEP) == 2 / 2**9
    assert sign_test(-SLEEP) == 2 / 2**9
    assert sign_test(np.array([1.0, -1, 0, 0, 0, 0])) == 1


def test_differences_that_are_all_alike():
    nothing, something = np.zeros(6), np.full(6, -0.5)
    assert (t_test(nothing), sign_test(nothing)) == (1, 1)
    assert (t_test(something), sign_test(something)) == (0, 2 / 2**6)
    assert tuple(mean_interval(nothing)) == tuple(median_interval(nothing)) == (0, 0)


@pytest.mark.parametrize("count", [0, 1, LEAST - 1])
def test_there_is_nothing_of_fewer_than_six(count):
    values = np.arange(1.0, count + 1)
    intervals = median_interval(values), rms_ratio_interval(values, values), mean_interval(values)
    assert np.isnan(intervals if count else intervals[:1]).all()
    assert np.isnan([t_test(values), sign_test(values)]).all()


def test_holm_on_an_example_of_his_procedure():
    """Four tests in the order of their p-values: times 4, 3, 2 and 1, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.01, math.nan, 0.04]) == pytest.approx([0.02, math.nan, 0.04], nan_ok=True)
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_the_interval_of_a_ratio_is_students_of_its_logarithm():
    """Where denominators are equal and squares 1 + e, the logarithm of the ratio has the scatter of e / 2."""
    squares = 1 + 1e-4 * np.random.default_rng(1).normal(size=20)
    ratio = rms_ratio(np.sqrt(squares), np.full(20, 2.0))
    assert ratio == pytest.approx(math.sqrt(squares.mean()) / 2)
    low, high = rms_ratio_interval(np.sqrt(squares), np.full(20, 2.0))
    width = T_975[20] * squares.std(ddof=1) / math.sqrt(20) / 2
    assert np.log([low, high]) == pytest.approx([math.log(ratio) - width, math.log(ratio) + width], rel=1e-6)
    assert rms_ratio_interval(squares, 2 * squares) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(("count", "widths"), [(6, 0.0), (6, 0.7), (20, 0.4), (64, 0.7)])
def test_the_interval_of_a_ratio_covers_it_whatever_the_widths_of_the_images(count, widths):
    rng = np.random.default_rng(count)
    spread = rng.lognormal(sigma=widths, size=(4000, count))
    low, high = rms_ratio_interval(spread, spread * np.sqrt(rng.chisquare(50, spread.shape) / 50))
    assert 0.93 < ((low <= 1) & (1 <= high)).mean() < 0.98


@pytest.mark.parametrize("count", T_975)
def test_intervals_cover_normal_differences_at_their_level(count):
    values = np.random.default_rng(count).normal(size=(20_000, count))
    low, high = mean_interval(values)
    covered = ((low <= 0) & (0 <= high)).mean()
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 20_000))
    low, high = median_interval(values)
    assert ((low <= 0) & (0 <= high)).mean() > 0.95
