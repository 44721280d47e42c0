"""Split conformal prediction: bounds that hold with a stated probability, whatever the prior and the sampler are worth.

Of n calibration images with known truths, each gets a score: how far its truth lies beyond what the samples predict. If
a new image is exchangeable with them, its score is at most the k-th smallest of theirs, k = ceil((n + 1) level), with
probability at least ``level`` (Vovk, Gammerman & Shafer, "Algorithmic learning in a random world", 2005; Lei et al.,
arXiv 1604.04173). The probability is over calibration images and new image together, and each bound has its own.

The scores, by name:

- ``pixels``: the smallest factor with which at least `PIXEL_SHARE` of the pixel values of the truth lie within factor
  times standard deviation of the mean. The statement is about single images, so one can rely on it for the image at
  hand. Coverage on average over pixels and images, the usual alternative, leaves open whether all misses are in one.
- ``error``: error of the mean over the spread of the samples, see `alps_exp.evaluation.spread_and_error`.
- ``psnr``, ``ssim``: how much the samples overrate the mean, which is compared with each of them in place of the truth.
  Bounds of metrics from posterior samples and conformal prediction are due to Wen, Ahmad & Schniter, arXiv 2505.09528.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from alps_exp.estimates import Estimates
from alps_exp.evaluation.metrics import image_metrics, spread_and_error
from alps_exp.intervals import conformal_position

LEVELS = (0.8, 0.9, 0.95)
"""Levels of the bounds."""
PIXEL_SHARE = 0.95
"""Share of the pixel values of an image that lie in their intervals, see ``pixels``."""
SCORES = ("pixels", "error", "psnr", "ssim")
"""Names of the scores."""


def images_needed(level: float) -> int:
    """Return the smallest number of calibration images that give a finite factor at a level in (0, 1)."""
    return math.ceil(round(level / (1 - level), 9))


def conformal_factor(scores: Sequence[float], level: float) -> float:
    """Return the k-th smallest score of n calibration images, k = ceil((n + 1) level); infinite if k exceeds n.

    Parameters
    ----------
    scores
        The scores, of which some may be infinite.
    level
        Probability with which the score of a new image shall be at most the factor.

    Raises
    ------
    ValueError
        If the level is outside (0, 1).

    Examples
    --------
    >>> conformal_factor(range(1, 20), 0.95), conformal_factor(range(1, 19), 0.95)
    (19, inf)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    position = conformal_position(len(scores), level)
    return sorted(scores)[position - 1] if position <= len(scores) else math.inf


def conformal_scores(estimates: Estimates, truth: Tensor, crop: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """Return the scores of B images by name, each (B,) in float64.

    Parameters
    ----------
    estimates
        Samples (S, B, C, H, W), enough for a standard deviation.
    truth
        The images (B, C, H, W).
    crop
        Center in which PSNR and SSIM compare, see `alps_exp.evaluation.image_metrics`.
    """
    predicted, actual = predictions(estimates, crop), image_metrics(estimates.mean, truth, crop=crop)
    distances = relative_distances(estimates, truth).flatten(1)
    needed = math.ceil(round(PIXEL_SHARE * distances.shape[1], 9))
    error = spread_and_error(estimates.samples, truth, estimates.antithetic, estimates.weights)[1]
    return {
        "pixels": distances.kthvalue(needed, dim=1).values,
        "error": _ratio(error.double(), predicted["error"]),
        "psnr": predicted["psnr"] - actual["psnr"],
        "ssim": predicted["ssim"] - actual["ssim"],
    }


def predictions(estimates: Estimates, crop: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """Return what the samples predict of the mean of each image, (B,) in float64, without its truth.

    ``error`` is the spread; ``psnr`` and ``ssim`` are means over the metrics of the mean against each sample.
    Parameters as in `conformal_scores`.
    """
    samples, mean = estimates.samples, estimates.mean
    metrics = image_metrics(mean.expand_as(samples), samples, crop=crop)
    spread = spread_and_error(samples, mean, estimates.antithetic, estimates.weights)[0]
    assert spread is not None
    return {"error": spread.double(), "psnr": metrics["psnr"].mean(0), "ssim": metrics["ssim"].mean(0)}


def relative_distances(estimates: Estimates, x: Tensor) -> Tensor:
    """Return how many standard deviations images lie from the mean, pixel by pixel, (B, C, H, W) in float64.

    Complex ones by the modulus of the difference. No difference is 0 standard deviations, whatever these are.
    """
    return _ratio((x - estimates.mean).abs().double(), estimates.std.double())


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(a == 0, 0, a / b)
