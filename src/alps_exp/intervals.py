"""Intervals and tests over independent images: Student's, the sign test's, those of a ratio, Holm's, conformal ranks.

They are of level `LEVEL`, and there are none of fewer than `LEAST` images: of five, no interval of the median covers
95 % of the time, and how well Student's does hangs on the shape of a distribution that five numbers do not show. What
they cover with few images is simulated in experiments/intervals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy

LEVEL = 0.95
LEAST = 6
"""Fewest independent images of which there is an interval or a p-value."""


class Interval(NamedTuple):
    """The ends of an interval, each of the shape of the number that it is about; NaN: there is none."""

    low: np.ndarray
    high: np.ndarray


def mean_interval(values: np.ndarray) -> Interval:
    """Return Student's interval of the mean over the last axis, which is exact for normal values.

    Parameters
    ----------
    values
        (..., n), one for each image.

    References
    ----------
    Student, "The probable error of a mean", Biometrika 6, 1908.
    """
    if values.shape[-1] < LEAST:
        return _none(values)
    width = scipy.stats.t.ppf((1 + LEVEL) / 2, values.shape[-1] - 1) * _standard_error(values)
    return Interval(values.mean(-1) - width, values.mean(-1) + width)


def rms_ratio_interval(numerator: np.ndarray, denominator: np.ndarray) -> Interval:
    """Return an interval of `rms_ratio`: that of its logarithm, with the jackknife's standard error.

    Where few images have most of the squares, the scatter of their ratios is known as badly as from few images, so the
    degrees of freedom of Student's quantile are the effective number of images minus 1.

    Parameters
    ----------
    numerator, denominator
        (..., n), a pair for each image.

    References
    ----------
    Miller, "The jackknife: a review", Biometrika 61, 1974. Kish, "Survey Sampling", 1965: the effective number.
    """
    count = numerator.shape[-1]
    if count < LEAST:
        return _none(numerator)
    above, below = numerator**2, denominator**2
    sums = above.sum(-1, keepdims=True), below.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):  # where all are 0 there is no ratio either
        without_one = np.log((sums[0] - above) / (sums[1] - below)) / 2
        shares = (above / sums[0] + below / sums[1]) / 2
    error = without_one.std(-1) * np.sqrt(count - 1)
    freedom = np.maximum(1 / (shares**2).sum(-1) - 1, 1)
    ratio, factor = rms_ratio(numerator, denominator), np.exp(scipy.stats.t.ppf((1 + LEVEL) / 2, freedom) * error)
    return Interval(ratio / factor, ratio * factor)


def rms_ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the root of the ratio of mean squares over the last axis, NaN or inf where the denominators are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: np.ndarray = np.sqrt((numerator**2).mean(-1) / (denominator**2).mean(-1))
    return ratio


def median_interval(values: np.ndarray) -> Interval:
    """Return the sign test's interval of the median over the last axis: the k-th value from either end.

    Of independent values of any continuous distribution it contains the median with a chance of at least `LEVEL`.

    Parameters
    ----------
    values
        (..., n), one for each image.

    References
    ----------
    Thompson, "On confidence ranges for the median", Annals of Mathematical Statistics 7, 1936.
    """
    count = values.shape[-1]
    if count < LEAST:
        return _none(values)
    k = int(scipy.stats.binom.ppf((1 - LEVEL) / 2, count, 0.5))  # the most for which P(fewer than k below) is allowed
    ordered = np.sort(values, -1)
    return Interval(ordered[..., k - 1], ordered[..., -k])


def t_test(values: np.ndarray) -> float:
    """Return the two-sided p-value of a zero mean of values (n,) by Student's test.

    Values that are all alike have no scatter: the p-value is 1 if they are 0, and otherwise 0.
    """
    if len(values) < LEAST:
        return np.nan
    mean, error = abs(values.mean()), _standard_error(values)
    if error == 0:
        return float(not mean)
    return float(2 * scipy.stats.t.sf(mean / error, len(values) - 1))


def sign_test(values: np.ndarray) -> float:
    """Return the two-sided p-value of as many values (n,) above 0 as below it; those that are 0 do not count.

    References
    ----------
    Dixon & Mood, "The statistical sign test", Journal of the American Statistical Association 41, 1946.
    """
    if len(values) < LEAST:
        return np.nan
    above, below = int((values > 0).sum()), int((values < 0).sum())
    return min(1.0, float(2 * scipy.stats.binom.cdf(min(above, below), above + below, 0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values for which the chance of any wrong rejection, over all of them, is at most the level.

    Parameters
    ----------
    p_values
        The p-values of all comparisons; NaN where there is none, which stays and does not count.

    References
    ----------
    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    given = np.asarray(p_values, float)
    order = np.argsort(given)  # NaN comes last
    factors = np.arange(np.isfinite(given).sum(), 0, -1)
    found = np.full(len(given), np.nan)
    ascending = given[order][: len(factors)] * factors
    found[order[: len(factors)]] = np.minimum(np.maximum.accumulate(ascending), 1)
    return found.tolist()


def conformal_position(count: int, level: float) -> int:
    """Return k = ceil((n + 1) level): a new score is at most the k-th smallest of n with a chance of at least `level`.

    Beyond n there is no such bound.
    """
    return math.ceil(round((count + 1) * level, 9))  # rounded, because 0.9 is not a binary fraction


def _none(values: np.ndarray) -> Interval:
    return Interval(*np.full((2, *values.shape[:-1]), np.nan))


def _standard_error(values: np.ndarray) -> np.ndarray:
    error: np.ndarray = values.std(-1, ddof=1) / np.sqrt(values.shape[-1])
    return error
