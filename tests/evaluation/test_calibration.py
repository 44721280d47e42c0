"""Calibration numbers against closed forms, on Gaussians with known width."""

import math
from statistics import NormalDist

import pytest
import torch

from alps_exp.evaluation import calibration
from alps_exp.evaluation.calibration import LEVELS

NORMAL = NormalDist()


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def draws(generator, num_samples, images=400, side=8, scale=1.0, dtype=torch.float64):
    """Return samples of `scale` times the truth's width about a known mean, and truths."""
    shape = (images, 1, side, side)
    truth = torch.randn(shape, generator=generator, dtype=dtype)
    return scale * torch.randn(num_samples, *shape, generator=generator, dtype=dtype), truth


def histogram_of(samples, truth, generator):
    return calibration.rank_histogram(calibration.ranks(samples, truth, generator), len(samples))


@pytest.mark.parametrize("num_samples", [2, 7, 19])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_ideal_samples_have_uniform_ranks_and_the_coverage_of_every_level(generator, num_samples, dtype):
    samples, truth = draws(generator, num_samples, dtype=dtype)
    histogram = histogram_of(samples, truth, generator)
    numbers = 400 * 64 * (2 if dtype.is_complex else 1)
    uniform = 1 / (num_samples + 1)
    assert histogram.shape == (400, num_samples + 1)
    assert (histogram.mean(0) - uniform).abs().max() < 4 * math.sqrt(uniform / numbers)
    covered = calibration.coverage(histogram).mean(0)
    assert (covered - torch.tensor(LEVELS, dtype=torch.float64)).abs().max() < 4 * math.sqrt(0.25 / numbers)
    assert calibration.rank_bias(histogram).mean().abs() < 4 * math.sqrt(1 / 12 / numbers)
    assert calibration.rank_dispersion(histogram).mean() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("num_samples", [1, 2, 9, 19])
def test_uniform_ranks_give_the_level_itself(num_samples):
    uniform = torch.full((1, num_samples + 1), 1 / (num_samples + 1), dtype=torch.float64)
    expected = torch.tensor(LEVELS, dtype=torch.float64)
    assert torch.allclose(calibration.coverage(uniform)[0], expected, atol=1e-14, rtol=0)
    assert calibration.rank_bias(uniform).item() == pytest.approx(0, abs=1e-14)
    assert calibration.rank_dispersion(uniform).item() == pytest.approx(1)


def test_nineteen_samples_cover_ninety_percent_with_all_ranks_but_the_outermost():
    each_rank = torch.eye(20, dtype=torch.float64)
    inside = calibration.coverage(each_rank, [0.9])[:, 0]
    assert torch.allclose(inside, torch.tensor([0.0] + [1.0] * 18 + [0.0], dtype=torch.float64))
    half = calibration.coverage(each_rank, [0.95])[:, 0]
    assert half[[0, 19]].tolist() == pytest.approx([0.5, 0.5]) and half[1:19].min() == pytest.approx(1)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_narrow_samples_cover_as_the_normal_distribution_says(generator, level):
    """Many samples of 0.7 times the width: coverage 2 Phi(0.7 z) - 1."""
    samples, truth = draws(generator, 399, images=100, scale=0.7)
    covered = calibration.coverage(histogram_of(samples, truth, generator), [level]).mean()
    expected = 2 * NORMAL.cdf(0.7 * NORMAL.inv_cdf((1 + level) / 2)) - 1
    assert covered == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 6400))


def test_bias_and_dispersion_tell_shifted_from_narrow_samples(generator):
    samples, truth = draws(generator, 19)
    above = histogram_of(samples, truth + 1, generator)
    expected = 19 / 20 * (NORMAL.cdf(1 / math.sqrt(2)) - 0.5)
    assert calibration.rank_bias(above).mean() == pytest.approx(expected, abs=0.01)
    narrow = histogram_of(0.7 * samples, truth, generator)
    # the rank is binomial with chance u = Phi(z / 0.7), and E (u - 1/2)^2 = arcsin(1 / (1 + 0.7^2)) / (2 pi)
    square = math.asin(1 / 1.49) / (2 * math.pi)
    expected = 12 * (19 * (0.25 - square) + 19**2 * square) / (19 * 21)
    assert calibration.rank_dispersion(narrow).mean() == pytest.approx(expected, abs=0.02)
    assert calibration.rank_bias(narrow).mean().abs() < 0.01


def test_ties_are_broken_evenly(generator):
    samples, truth = torch.zeros(4, 10, 1, 50, 50), torch.zeros(10, 1, 50, 50)
    shares = histogram_of(samples, truth, generator).mean(0)
    assert (shares - 0.2).abs().max() < 4 * math.sqrt(0.2 * 0.8 / 25_000)


@pytest.mark.parametrize(("num_samples", "level"), [(19, 0.9), (19, 0.5), (4, 0.2)])
def test_credible_intervals_cover_exchangeable_truths_at_their_level(generator, num_samples, level):
    samples, truth = draws(generator, num_samples)
    low, high = calibration.credible_interval(samples, level)
    covered = ((low <= truth) & (truth <= high)).double().mean()
    assert covered == pytest.approx(level, abs=4 * math.sqrt(0.25 / 25_600))


def test_credible_intervals_of_few_samples_reach_only_so_far(generator):
    samples, _ = draws(generator, 19, images=1)
    low, high = calibration.credible_interval(samples, 0.9)
    assert torch.equal(low, samples.min(0).values) and torch.equal(high, samples.max(0).values)
    with pytest.raises(ValueError, match="19 samples give intervals of up to 0.9, got 0.95"):
        calibration.credible_interval(samples, 0.95)
    both = calibration.credible_interval(torch.complex(samples, 2 * samples), 0.9)[0]
    assert torch.equal(both.real, low) and torch.equal(both.imag, 2 * low)


def gaussian_case(generator, scale, images=300, num_samples=19, dtype=torch.float64):
    """Return samples of `scale` times the width of a correlated Gaussian, and the Gaussian's scores there."""
    side, size = 3, 9
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=dtype))
    values = torch.logspace(-1, 0, size, dtype=torch.float64)
    z = torch.randn(num_samples, images, size, generator=generator, dtype=dtype)
    z = z * (math.sqrt(2) if dtype.is_complex else 1)
    x = 0.5 + scale * (z * values.sqrt()) @ basis.mT
    scores = -((x - 0.5) @ basis.conj() / values) @ basis.mT
    return [a.reshape(num_samples, images, 1, side, side) for a in (x, scores)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("length", [None, 1.0])
def test_stein_numbers_of_samples_of_the_density_itself_are_centered(generator, dtype, length):
    samples, scores = gaussian_case(generator, 1.0, dtype=dtype)
    for values, expected in (
        (calibration.kernel_stein_discrepancy(samples, scores, length), 0),
        (calibration.stein_variance_ratio(samples, scores), 1),
    ):
        assert (values.mean() - expected).abs() < 3.5 * values.std() / math.sqrt(300)


def test_stein_numbers_notice_narrow_samples(generator):
    samples, scores = gaussian_case(generator, 0.7)
    discrepancy = calibration.kernel_stein_discrepancy(samples, scores)
    assert discrepancy.mean() > 8 * discrepancy.std() / math.sqrt(300)
    ratio = calibration.stein_variance_ratio(samples, scores)
    assert ratio.mean() == pytest.approx(0.49, abs=4 * ratio.std().item() / math.sqrt(300))


def test_the_stein_kernel_is_the_stein_operator_applied_twice(generator):
    """k_p(x, y) by automatic differentiation of the kernel, for a density with scores of its own."""
    x, y = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    x, y = x.requires_grad_(), y.requires_grad_()
    s_x, s_y, length = x.detach() ** 3, y.detach() ** 3, 1.3
    k = (1 + (x - y).square().sum() / length**2) ** -0.5
    by_x, by_y = torch.autograd.grad(k, (x, y), create_graph=True)
    mixed = sum(torch.autograd.grad(by_x[i], y, retain_graph=True)[0][i] for i in range(4))
    expected = (k * s_x @ s_y + s_x @ by_y + s_y @ by_x + mixed) * length**2 / 4
    samples, scores = (torch.stack(pair).detach().reshape(2, 1, 1, 2, 2) for pair in ((x, y), (s_x, s_y)))
    assert calibration.kernel_stein_discrepancy(samples, scores, length).item() == pytest.approx(expected.item())


def test_sliced_wasserstein_distance_of_shifted_samples_is_the_projected_shift(generator):
    samples = torch.randn(50, 3, 1, 2, 2, generator=generator, dtype=torch.float64)
    shift = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)[:, None, None, None].expand(3, 1, 2, 2)
    distance = calibration.sliced_wasserstein(samples, samples + shift, 20_000, generator)
    # the root mean square of theta . shift over unit vectors theta of 4 numbers is ||shift|| / 2
    assert distance.tolist() == pytest.approx([0.0, 1.0, 3.0], rel=0.02)
    assert torch.allclose(
        calibration.sliced_wasserstein(samples, samples.flip(0), 10, generator), torch.zeros(3).double()
    )


IMAGES = [str(i) for i in range(64)]


def of_spread(spread, error):
    return {"histogram": torch.full((len(error), 4), 0.25), "spread": spread, "error": error}


def test_spread_over_error_is_pooled_over_images_and_image_by_image():
    spread, error = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 7.0])
    summary = calibration.summarize(of_spread(spread, error), IMAGES[:2])
    assert summary["spread_error"]["value"] == pytest.approx(5 / math.sqrt(50))
    assert summary["spread_error_per_image"]["value"] == pytest.approx(math.sqrt(2 / (1 / 9 + 49 / 16)))


def test_the_interval_of_a_ratio_pairs_spread_and_error_of_an_image():
    """Where an image's spread is always half its error, the ratio of any images is one half."""
    error = torch.rand(10, generator=torch.Generator().manual_seed(2)) + 0.1
    summary = calibration.summarize(of_spread(error / 2, error), IMAGES[:10])
    for name in ("spread_error", "spread_error_per_image"):
        assert tuple(summary[name].values()) == pytest.approx((0.5, 0.5, 0.5))


def test_five_images_have_no_interval():
    summary = calibration.summarize(of_spread(torch.ones(5), torch.ones(5)), IMAGES[:5])
    assert summary["spread_error"] == {"value": 1.0, "low": None, "high": None}
    assert summary["coverage"]["low"] == [None] * len(calibration.LEVELS)


def test_chains_that_coincide_have_a_ratio_of_zero_and_no_interval():
    summary = calibration.summarize(of_spread(torch.zeros(8), torch.ones(8)), IMAGES[:8])
    for name in ("spread_error", "spread_error_per_image"):
        assert summary[name] == {"value": 0.0, "low": None, "high": None}


def test_the_slices_of_a_volume_count_as_one():
    """Twelve slices of six volumes, alike within each, have the interval of the six."""
    of_volumes = torch.arange(6.0)
    six = calibration.summarize(of_spread(of_volumes + 1, torch.ones(6)) | {"further": of_volumes}, list("abcdef"))
    twice, volumes = of_volumes.repeat(2), list("abcdef") * 2
    twelve = calibration.summarize(of_spread(twice + 1, torch.ones(12)) | {"further": twice}, volumes)
    width = 2.570582 * math.sqrt(3.5 / 6)  # the variance of 0 ... 5 is 3.5
    assert tuple(twelve["further"].values()) == pytest.approx((2.5, 2.5 - width, 2.5 + width))
    for name in ("further", "spread_error", "spread_error_per_image"):
        assert tuple(twelve[name].values()) == pytest.approx(tuple(six[name].values()))


def test_a_summary_puts_intervals_over_images_around_every_number(generator):
    samples, truth = draws(generator, 19, images=64)
    statistics = calibration.image_statistics(samples, truth, generator)
    narrow = calibration.image_statistics(0.7 * samples, truth, generator)
    statistics |= {f"{name}_noiseless": values for name, values in narrow.items()}
    summary = calibration.summarize(statistics | {"further": torch.arange(64.0)}, IMAGES)
    assert {"coverage", "rank_histogram", "spread_error", "further"} <= set(summary)
    ninety = {name: values[LEVELS.index(0.9)] for name, values in summary["coverage"].items()}
    assert ninety["low"] < 0.9 < ninety["high"] and ninety["high"] - ninety["low"] < 0.06
    ratio = summary["spread_error"]
    assert ratio["low"] < ratio["value"] < ratio["high"] and ratio["value"] == pytest.approx(1, abs=0.05)
    assert summary["further"]["value"] == 31.5
    without = summary["coverage_noiseless"]["value"][LEVELS.index(0.9)]
    assert without == pytest.approx(2 * NORMAL.cdf(0.7 * NORMAL.inv_cdf(0.95)) - 1, abs=0.03)
    assert summary["spread_error_noiseless"]["value"] == pytest.approx(0.7 * ratio["value"], rel=0.05)


def test_mistakes_are_named(generator):
    samples, truth = draws(generator, 3, images=2)
    with pytest.raises(ValueError, match="do not fit a truth"):
        calibration.ranks(samples, truth[:1], generator)
    with pytest.raises(ValueError, match="levels must lie between 0 and 1"):
        calibration.coverage(torch.ones(1, 4), [1.0])
    with pytest.raises(ValueError, match="at least 2 samples"):
        calibration.kernel_stein_discrepancy(samples[:1], samples[:1])
    with pytest.raises(ValueError, match="of one shape"):
        calibration.sliced_wasserstein(samples, samples[:2], 5, generator)
