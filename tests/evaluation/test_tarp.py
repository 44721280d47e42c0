"""TARP: uniform ranks for samples of the posterior itself, others where they are not, also if every pixel is right."""

import math

import pytest
import torch

from alps_exp.evaluation import calibration
from alps_exp.evaluation.calibration import LEVELS, summarize
from alps_exp.evaluation.tarp import tarp_statistics

IMAGES, SAMPLES = 1000, 9


def gaussian_posteriors(scale=1.0, dtype=torch.float64):
    """Return samples and truths of Gaussian posteriors, correlated between pixels, about means that vary.

    The samples have `scale` times the width of the truth.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        white, common = (torch.randn(*shape, *size, generator=generator, dtype=dtype) for size in ((8, 8), (1, 1)))
        return 0.1 * (white + common)

    mean = torch.randn(IMAGES, 1, 8, 8, generator=generator, dtype=dtype) / 2
    return mean + scale * draw(SAMPLES, IMAGES, 1), mean + draw(IMAGES, 1)


def tarp(samples, truth):
    return tarp_statistics(samples, truth, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_exact_samples_have_uniform_ranks_and_the_coverage_of_every_level(dtype):
    found = tarp(*gaussian_posteriors(dtype=dtype))
    assert found["tarp_bias"].mean().abs() < 4 * math.sqrt(1 / 12 / IMAGES)
    assert found["tarp_dispersion"].mean() == pytest.approx(1, abs=4 * math.sqrt(0.8 / IMAGES))
    levels = torch.tensor(LEVELS, dtype=torch.float64)
    assert (found["tarp_coverage"].mean(0) - levels).abs().max() < 4 * math.sqrt(0.25 / IMAGES)


def test_narrow_samples_are_told_by_ranks_at_both_ends():
    found = tarp(*gaussian_posteriors(0.5))
    assert found["tarp_dispersion"].mean() - 1 > 10 * math.sqrt(0.8 / IMAGES)
    assert found["tarp_bias"].mean() > 4 * math.sqrt(1 / 12 / IMAGES)
    assert found["tarp_coverage"].mean(0)[LEVELS.index(0.5)] - 0.5 < -10 * math.sqrt(0.25 / IMAGES)


def test_wide_samples_are_told_by_truths_that_lie_nearer():
    assert tarp(*gaussian_posteriors(2.0))["tarp_bias"].mean() < -10 * math.sqrt(1 / 12 / IMAGES)


def test_pixels_shuffled_between_chains_pass_alone_and_fail_together():
    samples, truth = gaussian_posteriors()
    order = torch.rand(samples.shape, generator=torch.Generator().manual_seed(2)).argsort(0)
    shuffled = samples.gather(0, order)
    alone = calibration.ranks(shuffled, truth, torch.Generator().manual_seed(3))
    histogram = calibration.rank_histogram(alone, SAMPLES)
    assert calibration.rank_dispersion(histogram).mean() == pytest.approx(1, abs=0.05)
    assert tarp(shuffled, truth)["tarp_dispersion"].mean() > 1.3


def test_a_report_puts_intervals_over_images_around_it():
    samples, truth = gaussian_posteriors()
    statistics = calibration.image_statistics(samples, truth, torch.Generator().manual_seed(0))
    bias = summarize(statistics | tarp(samples, truth), list(map(str, range(IMAGES))))["tarp_bias"]
    assert bias["low"] < 0 < bias["high"]
    assert bias["high"] - bias["low"] == pytest.approx(2 * 1.96 * math.sqrt(1 / 12 / IMAGES), rel=0.1)
