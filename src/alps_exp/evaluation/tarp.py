"""Tests of accuracy with random points (TARP): whether the samples are those of the joint posterior of all pixels.

Ranks and coverage of single pixels cannot see what several pixels have in common: samples whose pixels are shuffled
between chains pass them. TARP ranks the distance of the truth from a random point among those of the samples. If truth
and samples have the same distribution, all ranks are equally likely, for every choice of the point (Lemos, Coogan,
Hezaveh & Perreault-Levasseur, "Sampling-based accuracy testing of posterior estimators", arXiv 2302.03026). What the
test sees depends on that choice, though: from a point of white noise, distances hardly tell correlated errors from
others, so the points here have structure at all scales, as images have.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from alps_exp.evaluation.calibration import coverage, rank_bias, rank_dispersion, rank_histogram, ranks


def tarp_statistics(samples: Tensor, truth: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the statistics of B images whose means over images are the result of the test, and have its interval.

    Parameters
    ----------
    samples
        (S, B, C, H, W), real or complex.
    truth
        (B, C, H, W).
    generator
        CPU generator of the points, and of the order of equal distances.

    Returns
    -------
    dict[str, Tensor]
        Of the ranks of the distances, one an image: ``tarp_bias`` and ``tarp_dispersion`` (B,), and ``tarp_coverage``
        (B, L), as `rank_bias`, `rank_dispersion` and `coverage` of `alps_exp.evaluation.calibration`. If calibrated,
        they are 0, 1 and the levels on average. The bias is positive if truths lie farther away than samples do.
    """
    everything = torch.cat([truth[None], samples]).cpu()
    if everything.is_complex():
        everything = torch.cat([everything.real, everything.imag], 2)
    points = _random_points(everything[0], generator)
    distances = (everything.double() - points).flatten(2).norm(dim=-1)[..., None, None, None]
    histogram = rank_histogram(ranks(distances[1:], distances[0], generator), len(samples))
    return {
        "tarp_bias": rank_bias(histogram),
        "tarp_dispersion": rank_dispersion(histogram),
        "tarp_coverage": coverage(histogram),
    }


def _random_points(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return sums of uniform noise on grids of 1, 2, 4, ... cells a side, of the shape (B, C, H, W) of real images.

    They have the variance of single uniform noise in [-1, 1].
    """
    grids = [2**i for i in range(1 + int(math.log2(min(like.shape[-2:]))))]
    noise = (2 * torch.rand(*like.shape[:2], n, n, generator=generator, dtype=torch.float64) - 1 for n in grids)
    total = sum(interpolate(one, like.shape[-2:]) for one in noise)
    assert isinstance(total, Tensor)
    return total / math.sqrt(len(grids))
