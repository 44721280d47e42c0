"""ALPS on Gaussian posteriors, whose mean and covariance are known: exact moments at 250 calls in float64."""

import pytest
import torch
from gaussian_posterior import (
    PIXELS,
    compare,
    exact_posterior,
    measurement,
    operator_named,
    random_prior,
    sampler_moments,
)

from alps_exp.samplers import ALPS, ExplicitSchedule, GeometricSchedule, KarrasSchedule
from alps_exp.samplers.alps import calibrated_amplitudes

OPERATORS = ["inpainting", "blur", "mri_1d"]
CALLS = GeometricSchedule(5.0, 0.02, 100)


def moments_and_exact(name, sampler):
    operator, dtype = operator_named(name)
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    return sampler_moments(sampler, prior, operator, y), exact_posterior(prior, operator, y)


@pytest.mark.parametrize("annealing", ["static", "diffused"])
@pytest.mark.parametrize("name", [*OPERATORS, "nothing"])
def test_calibrated_noise_gives_the_posterior(name, annealing):
    ratios, error = compare(*moments_and_exact(name, ALPS(CALLS, "calibrated", annealing)))
    assert 0.95 <= ratios.min() and ratios.max() <= 1.05
    assert error <= 0.1


@pytest.mark.parametrize("name", OPERATORS)
def test_moment_matching_gives_it_in_fifteen_steps(name):
    matched = ALPS(GeometricSchedule(5.0, 0.01, 15), moment_matching=PIXELS)
    ratios, error = compare(*moments_and_exact(name, matched))
    assert 0.95 <= ratios.min() and ratios.max() <= 1.05
    assert error <= 0.02


def test_amplitudes_keep_the_spread_while_the_scale_falls():
    scales = GeometricSchedule(5.0, 0.01, 15)()
    amplitudes = calibrated_amplitudes(scales)
    assert amplitudes[-1] == scales[-1]
    for t, sigma, below in zip(scales, amplitudes, amplitudes[1:], strict=False):
        assert sigma**2 + sigma * below == pytest.approx(2 * t**2)


@pytest.mark.parametrize("name", OPERATORS)
def test_published_noise_understates_undetermined_directions(name):
    published = ALPS(KarrasSchedule(10.0, 0.02, 50, 5.0, inner_steps=5), "reference", "static")
    ratios, _ = compare(*moments_and_exact(name, published))
    assert 0.6 <= ratios.min() <= 0.8


def test_independent_noise_understates_them_too():
    ratios, _ = compare(*moments_and_exact("inpainting", ALPS(CALLS, "independent", "static")))
    assert 0.6 <= ratios.min() <= 0.8


@pytest.mark.parametrize("annealing", ["static", "diffused"])
def test_without_noise_the_chain_ends_near_the_mode(annealing):
    (mean, covariance), exact = moments_and_exact("blur", ALPS(CALLS, "none", annealing))
    _, error = compare((mean, covariance), exact)
    assert error <= 0.2
    assert covariance.abs().max() < (1e-20 if annealing == "static" else 1e-3)


@pytest.mark.parametrize("annealing", ["static", "diffused"])
def test_without_the_final_noise_the_last_step_gives_its_mean(annealing):
    operator, dtype = operator_named("inpainting")
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    schedule = GeometricSchedule(5.0, 0.02, 50)
    with_noise, without = (ALPS(schedule, "calibrated", annealing, noisy) for noisy in (True, False))
    mean, covariance = sampler_moments(with_noise, prior, operator, y)
    smooth_mean, smooth = sampler_moments(without, prior, operator, y)
    assert torch.allclose(smooth_mean, mean)
    assert torch.linalg.eigvalsh(covariance - smooth).max() > 1e-4
    assert torch.trace(smooth) < torch.trace(covariance)


@pytest.mark.parametrize("annealing", ["static", "diffused"])
def test_samples_are_known_without_the_noise_of_the_last_step(annealing):
    operator, dtype = operator_named("inpainting")
    prior = random_prior(dtype)
    schedule, y = GeometricSchedule(5.0, 0.1, 6), measurement(operator, prior)
    drawn, means = (ALPS(schedule, "calibrated", annealing, noisy)(prior, operator, y, 3) for noisy in (True, False))
    assert torch.equal(drawn.noiseless, means.samples) and torch.equal(means.noiseless, means.samples)
    assert (drawn.samples - drawn.noiseless).std() == pytest.approx(0.1, rel=0.5)


def test_listed_scales_have_steps_of_their_own():
    assert ExplicitSchedule((2.0, 1.0, 0.5), (1, 3, 2))() == [2.0, 1.0, 1.0, 1.0, 0.5, 0.5]
    with pytest.raises(ValueError, match="scales must decrease"):
        ExplicitSchedule((2.0, 0.5, 1.0, 0.1), (1, 1, 1, 1))
    with pytest.raises(ValueError, match="each of 2 scales"):
        ExplicitSchedule((2.0, 1.0), (1,))
