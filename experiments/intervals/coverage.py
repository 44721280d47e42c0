"""Simulate how often the 95 % intervals of tables and calibration reports contain the true value.

    python experiments/intervals/coverage.py [REPEATS]

prints the tables of experiments/intervals/README.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import numpy as np
import scipy

from alps_exp.intervals import Interval, mean_interval, median_interval, rms_ratio_interval

COUNTS = (6, 10, 20, 64)
OUTLIER = 10.0  # standard deviations above the others, one difference in 20
WIDTHS = (0.0, 0.4, 0.7)  # standard deviations of the logarithm of the posterior's width over images
PIXELS = 50  # independent ones of an image
RATIO = 0.9  # of spread and error
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
DIFFERENCES: dict[str, tuple[Draw, float, float]] = {
    "normal": (lambda rng, shape: rng.normal(size=shape), 0, 0),
    "skewed (exponential)": (lambda rng, shape: rng.exponential(size=shape), 1, np.log(2)),
    "skewed (lognormal)": (lambda rng, shape: rng.lognormal(size=shape), np.exp(0.5), 1),
    "normal, 1 in 20 an outlier": (
        lambda rng, shape: rng.normal(size=shape) + OUTLIER * (rng.random(shape) < 1 / 20),
        OUTLIER / 20,
        float(scipy.optimize.brentq(lambda x: 0.95 * scipy.stats.norm.cdf(x) - 0.5, 0, 1)),
    ),
}
"""How the differences of images are drawn, their mean, and their median."""


def main(repeats: int) -> None:
    """Print the tables."""
    print(f"Differences, {repeats:,} repeats (standard error at 95 %: {100 * (0.95 * 0.05 / repeats) ** 0.5:.2f} %):\n")
    table(of_differences(repeats), "differences")
    print(f"\nSpread / error, {repeats:,} repeats:\n")
    table(of_ratios(repeats), "widths of the images")


def of_differences(repeats: int) -> Iterable[tuple[str, str, list[float]]]:
    """Yield the coverage of the intervals of the mean and of the median for each distribution of differences."""
    for name, (draw, mean, median) in DIFFERENCES.items():
        drawn = [draw(np.random.default_rng(count), (repeats, count)) for count in COUNTS]
        yield name, "mean, Student", [covered(mean_interval(values), mean) for values in drawn]
        yield name, "median, sign test", [covered(median_interval(values), median) for values in drawn]
        yield name, "mean, percentile bootstrap", [covered(bootstrap(values, np.mean), mean) for values in drawn]


def of_ratios(repeats: int) -> Iterable[tuple[str, str, list[float]]]:
    """Yield the coverage of the intervals of spread / error, whose true value is `RATIO`."""
    for widths in WIDTHS:
        name = f"lognormal, {widths}" if widths else "equal"
        drawn = [spread_and_error(np.random.default_rng(count), (repeats, count), widths) for count in COUNTS]
        yield name, "pooled", [covered(rms_ratio_interval(*pair), RATIO) for pair in drawn]
        ones = [(np.ones_like(spread), error / spread) for spread, error in drawn]
        yield name, "per image", [covered(rms_ratio_interval(*pair), RATIO) for pair in ones]
        both = [np.stack(pair, 1) for pair in drawn]
        yield name, "pooled, percentile bootstrap", [covered(bootstrap(values, pooled), RATIO) for values in both]


def spread_and_error(rng: np.random.Generator, shape: tuple[int, int], widths: float) -> tuple[np.ndarray, np.ndarray]:
    """Return spreads and errors of images whose posteriors have different widths, with `RATIO` between them."""
    width = rng.lognormal(sigma=widths, size=shape)
    return RATIO * width, width * np.sqrt(rng.chisquare(PIXELS, shape) / PIXELS)


def bootstrap(values: np.ndarray, statistic: Callable[..., np.ndarray]) -> Interval:
    """Return the percentile interval of a statistic over images (repeats, ..., n) from 500 resamples."""
    rng, found = np.random.default_rng(0), []
    for part in np.array_split(values, max(1, values.size // 50_000)):
        chosen = rng.integers(values.shape[-1], size=(500, values.shape[-1]))
        found.append(np.quantile(statistic(part[..., chosen], axis=-1), [0.025, 0.975], axis=-1))
    return Interval(*np.concatenate(found, 1))


def pooled(both: np.ndarray, axis: int) -> np.ndarray:
    """Return spread / error over images of spreads and errors (repeats, 2, ...)."""
    square = (both**2).mean(axis)
    return np.sqrt(square[:, 0] / square[:, 1])


def covered(interval: Interval, true: float) -> float:
    """Return the share of intervals that contain the true value, in percent."""
    return 100 * float(((interval.low <= true) & (true <= interval.high)).mean())


def table(rows: Iterable[tuple[str, str, list[float]]], what: str) -> None:
    """Print a row of percentages for each interval."""
    print(f"| {what} | 95 % interval of | {' | '.join(f'n = {count}' for count in COUNTS)} |")
    print(f"|{'---|' * (len(COUNTS) + 2)}")
    for name, interval, percentages in rows:
        print(f"| {name} | {interval} | {' | '.join(f'{percentage:.1f}' for percentage in percentages)} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
