"""Numbers of a region of an image, with their uncertainty from posterior samples."""

from __future__ import annotations

from torch import Tensor

from alps_exp.estimates import Weights, has_std, sample_mean, sample_std
from alps_exp.evaluation.calibration import credible_interval


def region_statistics(
    samples: Tensor,
    region: Tensor,
    level: float | None = None,
    antithetic: bool = False,
    weights: Weights | None = None,
) -> dict[str, float]:
    """Return the posterior of the mean over a region, of the values of real images and the magnitude of complex ones.

    Parameters
    ----------
    samples
        Samples of an image (S, C, H, W), or one estimate (1, C, H, W).
    region
        Where the region is, (H, W) bool.
    level
        Level of the central interval; None: there is none.
    antithetic
        Whether the samples are antithetic pairs, see `alps_exp.estimates.Estimates`.
    weights
        Weights (S,) of the samples; None: they are equal.

    Returns
    -------
    dict[str, float]
        ``pixels``; ``mean``, over the samples, and if they are enough ``std``, of a sample, and the ends ``low`` and
        ``high`` of the interval.

    Raises
    ------
    ValueError
        If the region is empty, or S samples allow no interval of this level.
    """
    pixels = int(region.sum())
    if not pixels:
        raise ValueError("the region is empty")
    values = samples.abs() if samples.is_complex() else samples
    means = values.double()[..., region].mean((-2, -1))
    found = {"pixels": pixels, "mean": float(sample_mean(means, weights))}
    if has_std(len(means), antithetic):
        found["std"] = float(sample_std(means, antithetic, weights))
    if len(means) > 1 and level is not None:
        equal = means if weights is None else weights.resampled(means)
        low, high = credible_interval(equal.reshape(-1, 1, 1, 1, 1), level)
        found |= {"low": float(low), "high": float(high)}
    return found
