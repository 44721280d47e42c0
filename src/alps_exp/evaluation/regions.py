"""Numbers of a region of an image, with their uncertainty from posterior samples."""

from __future__ import annotations

from torch import Tensor

from alps_exp.estimates import has_std, sample_std
from alps_exp.evaluation.calibration import credible_interval


def region_statistics(
    samples: Tensor, region: Tensor, level: float | None = None, antithetic: bool = False
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
    found = {"pixels": pixels, "mean": float(means.mean())}
    if has_std(len(means), antithetic):
        found["std"] = float(sample_std(means, antithetic))
    if len(means) > 1 and level is not None:
        low, high = credible_interval(means.reshape(-1, 1, 1, 1, 1), level)
        found |= {"low": float(low), "high": float(high)}
    return found
