"""Conformal factors and scores: order statistics, closed forms, and the coverage that is promised."""

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy
import torch

from alps_exp.estimates import Estimates
from alps_exp.evaluation import psnr, ssim
from alps_exp.evaluation.conformal import (
    LEVELS,
    conformal_factor,
    conformal_scores,
    images_needed,
    predictions,
    relative_distances,
)


def estimates_of(samples, antithetic=False):
    calls = torch.ones(samples.shape[1])
    return Estimates(samples, calls, calls, antithetic=antithetic)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("count", [3, 4, 9, 18, 19, 20, 99, 300])
def test_the_factor_is_the_smallest_order_statistic_that_covers_a_new_score(level, count):
    """Of n + 1 exchangeable scores, the last is at most the k-th smallest other with probability k / (n + 1)."""
    exact = Fraction(str(level))
    covering = [k for k in range(1, count + 1) if Fraction(k, count + 1) >= exact]
    shuffled = np.random.default_rng(0).permutation(np.arange(1.0, count + 1)).tolist()
    assert conformal_factor(shuffled, level) == min(covering, default=math.inf)
    assert (count >= images_needed(level)) == bool(covering)


def test_a_factor_covers_new_scores_at_its_level():
    """Skewed scores: coverage over calibration sets and new scores is k / (n + 1), by Beta(k, n + 1 - k)."""
    rng, count = np.random.default_rng(1), 39
    covered = [scipy.stats.expon.cdf(conformal_factor(rng.exponential(size=count).tolist(), 0.9)) for _ in range(2000)]
    assert np.mean(covered) == pytest.approx(36 / 40, abs=4 * math.sqrt(0.09 / 41 / 2000))


def test_an_infinite_score_counts_as_a_miss():
    scores = [1.0] * 17 + [math.inf] * 2
    assert conformal_factor(scores, 0.8) == 1 and conformal_factor(scores, 0.9) == math.inf


@pytest.mark.parametrize("level", [0, 1, 1.5])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        conformal_factor([1.0], level)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_scores_are_the_definitions(dtype):
    samples, truth = normal(5, 2, 1, 12, 12, dtype=dtype), normal(2, 1, 12, 12, seed=1, dtype=dtype)
    scores = conformal_scores(estimates_of(samples), truth)
    mean, std = samples.mean(0), samples.std(0)
    for i in range(2):
        factor = scores["pixels"][i]
        assert ((truth - mean).abs() <= factor * (1 + 1e-9) * std)[i].double().mean() == 137 / 144  # ceil(0.95 * 144)
        assert ((truth - mean).abs() < factor * (1 - 1e-9) * std)[i].double().mean() == 136 / 144
    parts = 2 if dtype.is_complex else 1
    error = ((truth - mean).abs().square().mean((1, 2, 3)) / parts).sqrt()
    spread = ((std.square() * (1 + 1 / 5)).mean((1, 2, 3)) / parts).sqrt()
    assert torch.allclose(scores["error"], error / spread)
    for name, metric in (("psnr", psnr), ("ssim", ssim)):
        overrated = torch.stack([metric(mean, sample) for sample in samples]).mean(0) - metric(mean, truth)
        assert torch.allclose(scores[name], overrated)


def test_predictions_and_scores_compare_inside_the_crop():
    samples, truth = normal(3, 1, 1, 16, 16, dtype=torch.complex128), normal(1, 1, 16, 16, dtype=torch.complex128)
    center = (..., slice(2, 14), slice(2, 14))
    inside = predictions(estimates_of(samples[center]))
    assert torch.allclose(predictions(estimates_of(samples), (12, 12))["psnr"], inside["psnr"])
    scores = conformal_scores(estimates_of(samples), truth, (12, 12))
    assert torch.allclose(scores["ssim"], inside["ssim"] - ssim(samples[center].mean(0), truth[center]))


def test_the_spread_of_antithetic_samples_is_theirs():
    half = normal(2, 1, 1, 12, 12)
    pairs = torch.stack([half[0], -half[0], half[1], -half[1]])
    estimates = estimates_of(pairs, antithetic=True)
    assert relative_distances(estimates, torch.ones(1, 1, 12, 12)).mean() == pytest.approx(
        (1 / half.square().mean(0).sqrt()).mean()
    )


def test_pixels_without_spread_are_certain_or_missed():
    samples = torch.zeros(3, 2, 1, 12, 12)
    truth = torch.zeros(2, 1, 12, 12)
    truth[1, 0, 0, :8] = 0.5  # 8 of 144: more than one in twenty
    assert conformal_scores(estimates_of(samples), truth)["pixels"].tolist() == [0, math.inf]


def test_half_the_spread_takes_twice_the_factor():
    samples, truth = normal(400, 3, 1, 12, 12), normal(3, 1, 12, 12, seed=1)
    wide, narrow = (conformal_scores(estimates_of(scale * samples), truth) for scale in (1, 0.5))
    assert torch.allclose(narrow["pixels"], 2 * wide["pixels"], rtol=0.1)
    assert wide["pixels"].mean() == pytest.approx(1.96, abs=0.2)
