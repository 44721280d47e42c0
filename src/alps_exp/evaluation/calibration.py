"""Calibration of posterior samples: ranks, coverage, Stein discrepancies, and intervals over images.

Samples have shape (S, B, C, H, W), the truth (B, C, H, W); real and imaginary part of a complex pixel count as two
numbers. The pixels of an image are not independent, nor are the slices of a volume, so that an interval is over units:
volumes, and images that are of none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from alps_exp.evaluation.metrics import spread_and_error
from alps_exp.intervals import Interval, mean_interval, rms_ratio, rms_ratio_interval

LEVELS = tuple(i / 20 for i in range(2, 20))
"""Levels of the central intervals of a report: 10, 15, ... 95 %."""

Numbers = float | list[float]


class Entry(TypedDict):
    """A number of a report, or a list of them, with the ends of its interval over images."""

    value: Numbers
    low: Numbers | None
    high: Numbers | None


def ranks(samples: Tensor, truth: Tensor, generator: torch.Generator) -> Tensor:
    """Return how many of the S samples lie below the truth, for each of its P real numbers, (B, P).

    If samples and truth have the same distribution, all ranks 0 ... S are equally likely (simulation-based calibration,
    Talts et al., arXiv 1804.06788). Ties are broken at random by `generator`, which must be on the samples' device.

    Raises
    ------
    ValueError
        If the shapes do not fit.
    """
    if samples.shape[1:] != truth.shape:
        raise ValueError(f"samples of shape {tuple(samples.shape)} do not fit a truth of {tuple(truth.shape)}")
    values, true_values = _real_numbers(samples), _real_numbers(truth)
    below, ties = (values < true_values).sum(0), (values == true_values).sum(0)
    chance = torch.rand(ties.shape, generator=generator, dtype=torch.float64, device=ties.device)
    return below + (chance * (ties + 1)).long()


def rank_histogram(ranks: Tensor, num_samples: int) -> Tensor:
    """Return the relative frequency of each rank 0 ... S among the ranks (B, P) per image, (B, S + 1) in float64."""
    counts = torch.zeros(len(ranks), num_samples + 1, dtype=torch.float64, device=ranks.device)
    return counts.scatter_add_(1, ranks, torch.ones_like(ranks, dtype=torch.float64)) / ranks.shape[1]


def coverage(histogram: Tensor, levels: Sequence[float] = LEVELS) -> Tensor:
    """Return the coverage of central intervals at each level, (B, L), from a rank histogram.

    Rank r represents the part [r, r + 1] / (S + 1) of the unit interval, and is weighted with the fraction of it that
    lies in [1/2 - level/2, 1/2 + level/2]. The expected coverage of exchangeable samples is then exactly `level` for
    every S: with 19 samples, the ranks 1 ... 18 of 0 ... 19 make up 90 %.

    Raises
    ------
    ValueError
        If a level is outside (0, 1).
    """
    if not all(0 < level < 1 for level in levels):
        raise ValueError(f"levels must lie between 0 and 1, got {list(levels)}")
    count = histogram.shape[1]
    edges = torch.arange(count + 1, dtype=histogram.dtype, device=histogram.device) / count
    tails = (1 - torch.tensor(levels, dtype=histogram.dtype, device=histogram.device))[:, None] / 2
    return histogram @ (count * edges.clamp(tails, 1 - tails).diff()).mT


def rank_bias(histogram: Tensor) -> Tensor:
    """Return the mean of (rank + 1/2) / (S + 1) minus 1/2, (B,): 0 if uniform, positive if the samples are too low."""
    count = histogram.shape[1]
    return histogram @ _offsets(histogram) / count


def rank_dispersion(histogram: Tensor) -> Tensor:
    """Return the mean of (rank - S/2)^2 relative to uniform ranks, (B,): 1 if uniform, above 1 for narrow samples."""
    count = histogram.shape[1]
    return histogram @ _offsets(histogram).square() * 12 / (count**2 - 1)


def _offsets(histogram: Tensor) -> Tensor:
    count = histogram.shape[1]
    return torch.arange(count, dtype=histogram.dtype, device=histogram.device) - (count - 1) / 2


def samples_needed(level: float) -> int:
    """Return the smallest number of samples that have a central interval of a level, see `credible_interval`.

    Parameters
    ----------
    level
        Level of the interval, in (0, 1).
    """
    return math.ceil(round((1 + level) / (1 - level), 9))


def credible_interval(samples: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """Return the ends of the pixelwise central interval at a level, each (B, C, H, W).

    The quantile p is taken at position (S + 1) p among the sorted samples. Exchangeable samples then have coverage
    `level`, exactly if (S + 1) (1 - level) / 2 is an integer and approximately otherwise. Real and imaginary parts have
    separate intervals.

    Parameters
    ----------
    samples
        (S, B, C, H, W), real or complex.
    level
        Level of the interval, above 0 and at most (S - 1) / (S + 1).

    Raises
    ------
    ValueError
        If the level is not between 0 and (S - 1) / (S + 1), the largest that S samples allow.
    """
    count = len(samples)
    position = round((count + 1) * (1 - level) / 2 - 1, 9)  # rounded, because 0.9 is not a binary fraction
    if not (0 < level < 1 and position >= 0):
        raise ValueError(f"{count} samples give intervals of up to {(count - 1) / (count + 1):.4g}, got {level}")
    if samples.is_complex():
        ends = credible_interval(torch.view_as_real(samples), level)
        return torch.view_as_complex(ends[0]), torch.view_as_complex(ends[1])
    ordered = samples.sort(0).values
    k, part = int(position), position % 1
    inner = min(k + 1, count - 1)
    return ordered[k].lerp(ordered[inner], part), ordered[-1 - k].lerp(ordered[-1 - inner], part)


def kernel_stein_discrepancy(samples: Tensor, scores: Tensor, length: float | None = None) -> Tensor:
    """Return the squared kernel Stein discrepancy of the samples of each image to a density with these scores, (B,).

    It is the mean of k_p(x_i, x_j) over all pairs i != j (the U-statistic): zero on average, and so of either sign,
    for independent samples of the density, and positive in the limit for any other distribution. The kernel is the
    inverse multiquadric (1 + ||x - x'||^2 / length^2)^(-1/2). The value is per real number of the image and in units
    of the length, so without dimension. In S^2 P operations for P numbers; its own scatter grows like sqrt(P) / S.

    Parameters
    ----------
    samples
        (S, B, C, H, W).
    scores
        Gradient of the log-density at the samples (complex: d/dRe + i d/dIm), of their shape.
    length
        Length of the kernel. None: the median distance of two samples, image by image.

    Raises
    ------
    ValueError
        If the shapes do not fit, or there are fewer than 2 samples.

    References
    ----------
    Gorham & Mackey, "Measuring sample quality with kernels", arXiv 1703.01717 (2017). Posterior samplers of inverse
    problems are judged by it in arXiv 2602.04189.
    """
    x, s = _centered(samples, scores)
    count, size = x.shape[-2:]
    i, j = torch.triu_indices(count, count, offset=1, device=x.device)
    distances, slopes = _pair_products(x, x)[:, i, j], _pair_products(x, s)[:, i, j]
    square = distances.median(1, keepdim=True).values if length is None else length**2
    square = torch.as_tensor(square).clamp(min=torch.finfo(x.dtype).tiny)  # chains without noise coincide
    q = 1 + distances / square
    stein = square * (s @ s.mT)[:, i, j] * q**-0.5 + (slopes + size) * q**-1.5 - 3 * (q - 1) * q**-2.5
    return stein.mean(1) / size


def stein_variance_ratio(samples: Tensor, scores: Tensor) -> Tensor:
    """Return minus the covariance of samples and scores, averaged over the numbers of an image, (B,): 1 if calibrated.

    By Stein's identity, E[(x - E x) s(x)^T] = -I for samples of the density. For a Gaussian density this is the ratio
    of the samples' variance to the true variance, averaged over the principal axes. It is unbiased for every S and far
    less noisy than the kernel discrepancy if the spread is wrong, but blind to other errors. Arguments and errors as in
    `kernel_stein_discrepancy`.
    """
    x, s = _centered(samples, scores)
    return -(x * s).sum((-2, -1)) / (x.shape[-1] * (x.shape[-2] - 1))


def _centered(samples: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return samples minus their mean, and scores, each (B, S, P) in float64."""
    if samples.shape != scores.shape or len(samples) < 2:
        shapes = f"{tuple(samples.shape)} and {tuple(scores.shape)}"
        raise ValueError(f"expected at least 2 samples and scores of their shape, got {shapes}")
    x, s = (_real_numbers(values).double().movedim(0, 1) for values in (samples, scores))
    return x - x.mean(1, keepdim=True), s


def _pair_products(a: Tensor, b: Tensor) -> Tensor:
    """Return (a_i - a_j) . (b_i - b_j) for all pairs, (B, S, S)."""
    products = a @ b.mT
    own = products.diagonal(dim1=1, dim2=2)
    return own[:, :, None] + own[:, None] - products - products.mT


def sliced_wasserstein(a: Tensor, b: Tensor, num_projections: int, generator: torch.Generator) -> Tensor:
    """Return the sliced 2-Wasserstein distance of two sets of samples of equal size, (B,).

    The root of the mean over random unit directions of the squared one-dimensional distance (Rabin et al. 2011,
    Bonneel et al. 2015).

    Parameters
    ----------
    a, b
        The two sets, each (S, B, C, H, W), real or complex.
    num_projections
        Number of directions.
    generator
        CPU generator of the directions, which are the same for all images.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"expected two sets of samples of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    a, b = _real_numbers(a), _real_numbers(b)
    shape = (a.shape[-1], num_projections)
    directions = torch.randn(shape, generator=generator, dtype=a.dtype).to(a.device)
    directions = directions / directions.norm(dim=0)
    difference: Tensor = (a @ directions).sort(0).values - (b @ directions).sort(0).values
    return difference.square().mean((0, 2)).sqrt()


def image_statistics(samples: Tensor, truth: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the statistics per image for `summarize`: ``histogram`` (B, S + 1), ``spread`` and ``error`` (B,).

    Raises ValueError as `ranks`.
    """
    spread, error = spread_and_error(samples, truth)
    assert spread is not None
    histogram = rank_histogram(ranks(samples, truth, generator), len(samples))
    return {"histogram": histogram, "spread": spread, "error": error}


def summarize(statistics: Mapping[str, Tensor], units: Sequence[str]) -> dict[str, Entry]:
    """Return each number of a calibration report with its 95 % interval over units, see `alps_exp.intervals`.

    Parameters
    ----------
    statistics
        Those of `image_statistics`; ``histogram_noiseless``, ``spread_noiseless`` and ``error_noiseless``, the same
        without the noise of the last step, if they are known; and any further number (B,) whose mean is reported.
    units
        The unit of each image: the volume of a slice, or the image itself.

    Returns
    -------
    ``coverage`` (at `LEVELS`), ``rank_histogram``, ``rank_bias``, ``rank_dispersion``, ``spread_error`` (pooled over
    the images), ``spread_error_per_image`` (one over the root mean square of error / spread, to which images of any
    width add alike), ``coverage_noiseless``, ``spread_error_noiseless`` and the further numbers, each with ``value``,
    ``low`` and ``high``: numbers or lists of them. The ends are None where there is no interval.
    """
    further = dict(statistics)
    histogram, spread, error = further.pop("histogram"), further.pop("spread"), further.pop("error")
    means = {
        "coverage": coverage(histogram),
        "rank_histogram": histogram,
        "rank_bias": rank_bias(histogram),
        "rank_dispersion": rank_dispersion(histogram),
    }
    ratios = {"spread_error": (spread, error), "spread_error_per_image": (torch.ones_like(error), error / spread)}
    if "histogram_noiseless" in further:
        means["coverage_noiseless"] = coverage(further.pop("histogram_noiseless"))
        ratios["spread_error_noiseless"] = further.pop("spread_noiseless"), further.pop("error_noiseless")
    index = np.unique(units, return_inverse=True)[1]
    summary = {name: _ratio(*pair, index) for name, pair in ratios.items()}
    return summary | {name: _mean(values, index) for name, values in (means | further).items()}


def _mean(values: Tensor, index: np.ndarray) -> Entry:
    """Return the mean over units, by the index of each image's, of the means over their images, given (B, ...)."""
    of_units = _sums(values, index) / np.bincount(index)
    return _entry(of_units.mean(-1), mean_interval(of_units))


def _ratio(above: Tensor, below: Tensor, index: np.ndarray) -> Entry:
    """Return the ratio of root mean squares over images (B,)."""
    of_units = np.sqrt(_sums(above.square(), index)), np.sqrt(_sums(below.square(), index))
    return _entry(rms_ratio(*of_units), rms_ratio_interval(*of_units))


def _sums(values: Tensor, index: np.ndarray) -> np.ndarray:
    """Return the sums (..., U) over the images of each unit, of numbers (B, ...)."""
    sums = np.zeros((index.max() + 1, *values.shape[1:]))
    np.add.at(sums, index, values.cpu().double().numpy())
    return np.moveaxis(sums, 0, -1)


def _entry(value: np.ndarray, interval: Interval) -> Entry:
    low, high = (np.where(np.isfinite(end), end, np.array(None)).tolist() for end in interval)
    return {"value": value.tolist(), "low": low, "high": high}


def _real_numbers(x: Tensor) -> Tensor:
    """Flatten images (..., C, H, W) to their real numbers, (..., P)."""
    return torch.view_as_real(x).flatten(-4) if x.is_complex() else x.flatten(-3)
