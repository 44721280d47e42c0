"""Baselines on Gaussians and mixtures: what is exact is exact, what is biased is biased by the number stated."""

import math
from functools import partial

import pytest
import torch
from gaussian_posterior import (
    PIXELS,
    SIDE,
    compare,
    exact_posterior,
    measurement,
    operator_named,
    random_prior,
    sampler_moments,
)
from many_chains import OneStream, run, two_modes

from alps_exp.operators import Inpainting, JointOperator, SuperResolution
from alps_exp.priors import GaussianPrior
from alps_exp.samplers import (
    ALPS,
    CSGM,
    DAPS,
    DDNM,
    DPS,
    MMPS,
    DiffPIR,
    ExplicitSchedule,
    GeometricSchedule,
    KarrasSchedule,
    PiGDM,
    REDDiff,
)
from alps_exp.samplers import alps as alps_module
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.moment_matching import correction
from alps_exp.samplers.problem import Problem

OPERATORS = ["inpainting", "blur", "mri_1d", "mri_2d"]
FINE = GeometricSchedule(5.0, 0.005, 250)


class Silent:
    """No noise at all, for one chain."""

    num_samples = 1

    def draw(self, x):
        return torch.zeros(1, *x.shape, dtype=x.dtype)


def problem(name, prior=None, noise_std=0.05):
    operator, dtype = operator_named(name)
    operator.noise_std = noise_std
    prior = prior(dtype) if prior else random_prior(dtype)
    return prior, operator, measurement(operator, prior)


def isotropic(std):
    def build(dtype):
        mean = torch.linspace(-1, 1, PIXELS).reshape(1, SIDE, SIDE).to(dtype)
        return GaussianPrior(mean, std**2 * torch.eye(PIXELS, dtype=dtype))

    return build


def against_exact(sampler, prior, operator, y):
    return compare(sampler_moments(sampler, prior, operator, y), exact_posterior(prior, operator, y))


def pixel_ratios(sampler, prior, operator, y):
    """Return the standard deviation of each pixel in units of the exact one."""
    _, covariance = sampler_moments(sampler, prior, operator, y)
    exact = exact_posterior(prior, operator, y)[1]
    return (covariance.diagonal().real / exact.diagonal().real).sqrt().reshape(SIDE, SIDE)


# Moment matching.


@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("name", OPERATORS)
def test_moment_matching_moves_to_the_mean_given_both_the_noisy_image_and_the_data(name, preconditioned):
    prior, operator, y = problem(name)
    t, x = 0.4, prior.mean[None, None] + torch.randn(3, 1, 1, SIDE, SIDE, dtype=prior.mean.dtype)
    d, vjp = prior.denoise_with_vjp(x, t)
    operator.tolerance = 1e-9  # of the preconditioner, where conjugate gradients apply it
    moved = correction(operator, y, t, d, vjp, iterations=2 * PIXELS, preconditioned=preconditioned)
    shrinkage = prior.values * t**2 / (prior.values + t**2)
    for chain in range(3):
        given_x = GaussianPrior(d[chain, 0], prior.vectors * shrinkage @ prior.vectors.mH)
        mean, _ = exact_posterior(given_x, operator, y)
        assert torch.allclose((d + moved)[chain].flatten(), mean, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("preconditioned", [False, True])
@pytest.mark.parametrize("name", ["one pixel", "one sum"])
def test_more_iterations_than_measured_numbers_change_nothing(name, preconditioned, dtype):
    """After one the residual is rounding, and no direction is left: the next would have no length."""
    mask = (torch.arange(PIXELS) == 4).reshape(1, 1, SIDE, SIDE).to(dtype)
    operator = Inpainting(mask, 0.05) if name == "one pixel" else SuperResolution(SIDE, 0.05)
    prior = random_prior(torch.float64).to(dtype)
    x = torch.randn(50, 1, 1, SIDE, SIDE, dtype=dtype, generator=torch.Generator().manual_seed(0))
    d, vjp = prior.denoise_with_vjp(x, 0.8)
    y = operator.forward(torch.ones(1, 1, SIDE, SIDE, dtype=dtype))
    once, often = (
        correction(operator, y, 0.8, d, vjp, iterations=count, preconditioned=preconditioned) for count in (1, 5)
    )
    assert once.abs().amax() > 0.1
    torch.testing.assert_close(often, once, rtol=1e-5, atol=1e-5)


def test_the_preconditioner_keeps_its_accuracy_in_float32():
    mask, eta, t = (torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float(), 1e-3, 2.5
    d, y = torch.randn(1, 1, 1, 8, 8), torch.randn(1, 1, 8, 8) * mask
    operator = Inpainting(mask, eta)
    moved = correction(operator, y, t, d, lambda v: v, iterations=1, preconditioned=True)
    expected = operator.posterior_mean(d, y, t)
    assert ((d + moved - expected).abs().max() / eta) < 1e-2


@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d"])
def test_mmps_gives_the_posterior(name):
    ratios, error = against_exact(MMPS(GeometricSchedule(5.0, 0.005, 100), iterations=PIXELS), *problem(name))
    assert 0.96 <= ratios.min() and ratios.max() <= 1.0
    assert error < 0.03


def test_one_iteration_of_mmps_misses_directions_that_differ_in_variance():
    ratios, error = against_exact(MMPS(FINE, iterations=1), *problem("blur"))
    assert 0.65 <= ratios.min() <= 0.75 and error > 0.15
    ratios, error = against_exact(MMPS(FINE, iterations=1), *problem("inpainting", isotropic(0.7)))
    assert 0.97 <= ratios.min() and ratios.max() <= 1.0 and error < 0.03


@pytest.mark.parametrize("preconditioned", [False, True])
def test_moment_matching_keeps_what_it_has_where_the_jacobian_is_no_covariance(preconditioned):
    prior, operator, y = problem("inpainting")
    d = prior.mean[None, None].clone()
    solve = partial(correction, iterations=3, preconditioned=preconditioned)
    assert not solve(operator, y, 0.5, d, lambda v: -v).any()
    assert not solve(operator, operator.forward(d), 0.5, d, lambda v: v).any()
    both, images = torch.cat([d, d], 1), torch.tensor([1.0, -1.0])[:, None, None, None]
    moved = solve(operator, y, 0.5, both, lambda v: images * v)
    assert torch.equal(moved[:, :1], solve(operator, y, 0.5, d, lambda v: v))
    assert not moved[:, 1].any()


# Pseudoinverse guidance.


@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d"])
@pytest.mark.parametrize("std", [1.0, 0.5])
def test_pigdm_by_the_score_gives_the_posterior_of_isotropic_gaussians(name, std):
    sampler = PiGDM(GeometricSchedule(20 * std, 0.005, 200), prior_std=std, adaptive_weight=False)
    ratios, error = against_exact(sampler, *problem(name, isotropic(std)))
    assert 0.96 <= ratios.min() and ratios.max() <= 1.0
    assert error < 0.005


def test_pigdm_as_published_follows_the_noise_of_the_data():
    sampler = PiGDM(GeometricSchedule(20.0, 0.005, 200))
    prior, operator, y = problem("inpainting", isotropic(1.0))
    mean, _ = sampler_moments(sampler, prior, operator, y)
    ratios = pixel_ratios(sampler, prior, operator, y)
    measured = operator.mask[0, 0]
    assert torch.all(abs(ratios[measured] - 0.196) < 0.01)
    assert torch.all(abs(ratios[~measured] - 0.98) < 0.01)
    assert (operator.forward(mean.reshape(1, 1, SIDE, SIDE)) - y).abs().max() < 1e-3  # the exact one: eta^2


# Plug-and-play and null-space samplers.


@pytest.mark.parametrize("name", OPERATORS)
def test_diffpir_with_fresh_noise_is_diffused_annealing(name, monkeypatch):
    monkeypatch.setattr(alps_module, "MEAN_TOLERANCE", 1e-6)
    prior, operator, y = problem(name)
    operator.tolerance = 1e-9
    scales = GeometricSchedule(5.0, 0.01, 20)
    alps = ALPS(scales, "independent", "diffused", final_noise=False)
    one, other = (run(sampler, prior, operator, y, chains=4)[0] for sampler in (DiffPIR(scales, zeta=1.0), alps))
    assert torch.allclose(one, other)


@pytest.mark.parametrize(
    ("zeta", "smallest", "largest"), [(1.0, 0.700, 0.707), (0.3, 0.945, 0.994), (0.0, 0.857, 1.405)]
)
def test_zeta_sets_the_width_of_diffpir(zeta, smallest, largest):
    ratios, error = against_exact(DiffPIR(FINE, zeta=zeta), *problem("inpainting"))
    assert abs(ratios.min() - smallest) < 0.005 and abs(ratios.max() - largest) < 0.005
    assert error < 0.4


def test_the_weight_of_diffpir_is_that_of_a_narrower_prior():
    prior, operator, y = problem("blur")
    t, s = 0.5, 0.1
    noise = Constant(0.3)
    sampler = DiffPIR(ExplicitSchedule((t, s), (1, 1)), weight=4.0, zeta=0.0)
    x = sampler.sample(Problem(BatchedPrior(prior, None), operator, y, noise)).x
    first = noise.value * t * torch.ones_like(x)
    for scale, below in ((t, s), (s, 0.0)):
        x0 = operator.posterior_mean(prior.denoise(first, scale), y, scale / 2)
        first = x0 + below / scale * (first - x0)
    assert torch.allclose(x, first)


class Constant(Silent):
    """One chain whose noise is a constant image."""

    def __init__(self, value):
        self.value = value

    def draw(self, x):
        return torch.full((1, *x.shape), self.value, dtype=x.dtype)


@pytest.mark.parametrize("name", ["inpainting", "mri_1d"])
def test_data_without_noise_are_reproduced(name):
    prior, operator, y = problem(name, noise_std=1e-3)
    scales = GeometricSchedule(5.0, 1e-3, 100)
    for sampler in (DDNM(scales), DiffPIR(scales), MMPS(scales, PIXELS), PiGDM(scales)):
        x, _ = run(sampler, prior, operator, y, chains=4)
        assert operator.misfit(x, y).max() < 30, type(sampler).__name__


@pytest.mark.parametrize(("s", "share"), [(0.5, 0.1), (0.02, 0.1), (0.0, 1.0), (0.3, 0.0)])
def test_the_noise_of_ddnm_adds_up(s, share):
    """a^2 lambda^2 eta^2 / sigma_i^2 of the data and the fresh noise make w^2 = s^2 a."""
    eta, gain = 0.05, torch.tensor([1.0, 0.3, 0.01, 1e-4, 0.0], dtype=torch.float64)
    sampler, data_noise = DDNM(threshold=0.03), math.sqrt(share) * eta
    weight, fresh = (f(s, data_noise, gain) for f in (sampler._correction, sampler._fresh_noise))
    of_data = share * weight * gain.sqrt() * eta
    assert torch.allclose(of_data**2 + s**2 * share * fresh**2, torch.full_like(gain, s**2 * share))
    assert torch.all(weight * gain <= 1) and not weight[3:].any()
    if s == 0.5:
        assert torch.allclose(weight[:3] * gain[:3], torch.ones(3, dtype=torch.float64))


def test_ddnm_understates_what_is_measured():
    prior, operator, y = problem("inpainting", isotropic(0.5))
    ratios = pixel_ratios(DDNM(FINE), prior, operator, y)
    measured = operator.mask[0, 0]
    assert torch.all(ratios[measured] < 0.1)
    assert torch.all(abs(ratios[~measured] - 0.984) < 0.01)


def test_ddnm_refuses_operators_without_a_spectrum():
    prior, operator, y = problem("mri_2d")
    with pytest.raises(ValueError, match="MultiCoilMRI has no known spectrum"):
        run(DDNM(FINE), prior, operator, y, chains=1)


# Optimization and Langevin dynamics.


@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d"])
def test_red_diff_without_noise_ends_where_data_and_denoiser_balance(name):
    """At a constant scale with weight eta^2 / t^2 that is the mean of p_t(x | y)."""
    prior, operator, y = problem(name)
    t = 0.3
    scales = KarrasSchedule(t * (1 + 1e-6), t, 1000, 1.0)
    sampler = REDDiff(scales, weight=(operator.noise_std / t) ** 2, learning_rate=0.01)
    mu = sampler.sample(Problem(BatchedPrior(prior, None), operator, y, Silent())).x
    mean, covariance = exact_posterior(prior, operator, y, t)
    assert compare((mu.flatten(), covariance), (mean, covariance))[1] < 0.1


def test_the_chains_of_red_diff_differ_little_where_the_data_speak():
    prior, operator, y = problem("inpainting")
    x, _ = run(REDDiff(KarrasSchedule(5.0, 0.01, 200, 7.0)), prior, operator, y, chains=500)
    exact = exact_posterior(prior, operator, y)[1].diagonal().sqrt().reshape(SIDE, SIDE)
    ratios = x.std(0)[0, 0] / exact
    measured = operator.mask[0, 0]
    assert torch.all(ratios[measured] < 0.3) and torch.all(ratios[~measured] < 0.9)


def test_csgm_has_the_law_of_langevin_dynamics_at_its_last_scale():
    """Of precision L = (C + t^2 I)^(-1) + A^H A / (eta^2 + t^2) unadjusted dynamics make L^(-1) (I - h L / 2)^(-1)."""
    prior, operator, y = problem("inpainting")
    t, step_size = 0.3, 0.1
    sampler = CSGM(ExplicitSchedule((3.0, 1.0, t), (10, 20, 500)), step_size)
    moments = sampler_moments(sampler, prior, operator, y)
    widened = Inpainting(operator.mask, math.hypot(operator.noise_std, t))
    mean, covariance = exact_posterior(prior, widened, y, t)
    precision = torch.linalg.inv(covariance)
    unadjusted = torch.linalg.inv(precision - step_size * t**2 / 2 * precision @ precision)
    ratios, error = compare(moments, (mean, unadjusted))
    assert 0.995 < ratios.min() and ratios.max() < 1.005 and error < 0.05
    ratios, _ = compare(moments, (mean, covariance))
    assert 1.0 < ratios.min() and ratios.max() < 1.06


# DAPS and DPS.


def test_daps_widths_obey_their_recursion_and_overstate_the_posterior():
    """Per pixel: the flow scales by f, the draw has variance P + (f P / t^2)^2 v, and s^2 is added."""
    std, scales, ode_steps = 0.5, KarrasSchedule(5.0, 0.005, 60, 7.0), 5
    prior, operator, y = problem("inpainting", isotropic(std))
    ratios = pixel_ratios(DAPS(scales, ode_steps, langevin_steps=0), prior, operator, y)
    for pixel, measured in (((0, 0), 0.0), ((0, 1), 1.0)):
        variance = scales()[0] ** 2
        for t in scales():
            below = KarrasSchedule(t, 0.01, ode_steps, 7.0)() if t > 0.01 else [t]
            factor = 1.0
            for sigma, lower in zip(below, [*below[1:], 0.0], strict=True):
                shrunk = std**2 / (std**2 + sigma**2)
                factor *= shrunk + lower / sigma * (1 - shrunk)
            width = 1 / (measured / operator.noise_std**2 + 1 / t**2)
            drawn = width + (factor * width / t**2) ** 2 * variance
            following = scales()[min(scales().index(t) + 1, 59)]
            variance = drawn + following**2
        exact = 1 / (measured / operator.noise_std**2 + 1 / std**2)
        assert abs(ratios[pixel] - math.sqrt(drawn / exact)) < 1e-6
    assert ratios[0, 0] > 1.15 and abs(ratios[0, 1] - 1) < 0.01


@pytest.mark.parametrize("tau", [None, 0.1])
@pytest.mark.parametrize("name", OPERATORS)
def test_daps_with_langevin_steps_obeys_their_recursion(name, tau):
    """From d the n steps x + h (P (A^H y / tau^2 + d / t^2 - Lambda x)) + sqrt(2 h) e make a linear map and a width."""
    prior, operator, y = problem(name)
    scales, count, size = KarrasSchedule(5.0, 0.2, 4, 7.0)(), 5, 1e-3
    sampler = DAPS(KarrasSchedule(5.0, 0.2, 4, 7.0), 1, langevin_steps=count, step_size=size, likelihood_std=tau)
    identity = torch.eye(PIXELS, dtype=prior.mean.dtype)
    normal = operator.normal(identity.reshape(PIXELS, 1, 1, SIDE, SIDE)).reshape(PIXELS, PIXELS).mT
    weight = (tau or operator.noise_std) ** -2
    mean, covariance = torch.zeros(PIXELS, dtype=identity.dtype), scales[0] ** 2 * identity
    for k, (t, s) in enumerate(zip(scales, [*scales[1:], 0.0], strict=True)):
        shrink = prior.vectors * (prior.values / (prior.values + t**2)) @ prior.vectors.mH
        clean = prior.mean.flatten() + shrink @ (mean - prior.mean.flatten())
        h = size * (1 - 0.99 * k / 4)
        powers = [torch.linalg.matrix_power(identity - h * (weight * normal + identity / t**2), j) for j in range(6)]
        summed = sum(powers[:count])
        moved = powers[count] + h / t**2 * summed
        mean = moved @ clean + h * weight * summed @ operator.adjoint(y).flatten()
        covariance = moved @ shrink @ covariance @ shrink.mH @ moved.mH + s**2 * identity
        covariance = covariance + 2 * h * sum(power @ power.mH for power in powers[:count])
    found_mean, found_covariance = sampler_moments(sampler, prior, operator, y)
    assert torch.allclose(found_mean, mean, atol=1e-8) and torch.allclose(found_covariance, covariance, atol=1e-8)


def test_daps_does_not_guess_the_noise_of_joint_measurements():
    operator, dtype = operator_named("inpainting")
    prior, joint = random_prior(dtype), JointOperator([operator, operator], (1, SIDE, SIDE))
    y = joint.forward(prior.mean[None])
    with pytest.raises(ValueError, match="needs likelihood_std null, or langevin_steps 0"):
        run(DAPS(), prior, joint, y, chains=2)
    x, _ = run(DAPS(KarrasSchedule(5.0, 0.2, 4, 7.0), likelihood_std=None), prior, joint, y, chains=2)
    assert torch.isfinite(x).all()


MODE_VARIANCE = 0.05


def clean_moments(x, t, variance=MODE_VARIANCE):
    """Return mean and derivative of the mean of the clean pixel under `two_modes`."""
    modes = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    shares = (-((x[:, None] - modes) ** 2) / (2 * (variance + t**2))).softmax(1)
    means = modes + variance / (variance + t**2) * (x[:, None] - modes)
    mean = (shares * means).sum(1)
    spread = variance * t**2 / (variance + t**2) + (shares * means**2).sum(1) - mean**2
    return mean, spread / t**2


def spread_out(density, grid, centers, std):
    """Return the density on the grid of center + std * normal for a point drawn from `density`."""
    kernel = torch.exp(-((grid - centers[:, None]) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))
    return density @ kernel * (grid[1] - grid[0])


def start_density(grid, t):
    return torch.exp(-(grid**2) / (2 * t**2)) / (t * math.sqrt(2 * math.pi))


GRID = torch.linspace(-9, 9, 1201, dtype=torch.float64)


def lower_share_and_std(density, x=GRID):
    weights = density / density.sum()
    mean = (weights * x).sum()
    return (weights * (x < 0)).sum(), ((weights * (x - mean) ** 2).sum()).sqrt()


def assert_agrees(x, share, std, chains):
    assert abs((x < 0).double().mean() - share) < 4 * math.sqrt(share * (1 - share) / chains) + 0.002
    assert abs(x.std() - std) < 0.03 * std


def test_daps_on_two_modes_is_its_own_density_and_misplaces_their_weights():
    prior, operator, y = two_modes(MODE_VARIANCE)
    scales = KarrasSchedule(2.0, 0.1, 12, 7.0)
    x, _ = run(DAPS(scales, ode_steps=1, langevin_steps=0), prior, operator, y, chains=6000)
    density, eta = start_density(GRID, 2.0), operator.noise_std
    for t, s in zip(scales(), [*scales()[1:], 0.0], strict=True):
        width = 1 / (1 / eta**2 + 1 / t**2)
        centers = width * (0.1 / eta**2 + clean_moments(GRID, t)[0] / t**2)
        density = spread_out(density, GRID, centers, math.sqrt(width + s**2))
    share, std = lower_share_and_std(density)
    assert_agrees(x, share, std, 6000)
    assert share > 0.14 + 0.08  # the posterior's is 0.14


@pytest.mark.parametrize("step_size", [0.3, 1.0])
def test_dps_on_two_modes_is_its_own_density(step_size):
    prior, operator, y = two_modes(MODE_VARIANCE)
    scales = KarrasSchedule(2.0, 0.8, 6, 7.0)
    x, _ = run(DPS(scales, step_size), prior, operator, y, chains=6000)
    density = start_density(GRID, 2.0)
    for t, s in zip(scales(), [*scales()[1:], 0.0], strict=True):
        d, slope = clean_moments(GRID, t)
        guidance = step_size * math.sqrt((1 + t**2) * (1 + s**2)) * slope * torch.sign(0.1 - d)
        centers = d + (s / t) ** 2 * (GRID - d) + guidance
        if s > 0:
            density = spread_out(density, GRID, centers, s * math.sqrt(1 - (s / t) ** 2))
    assert_agrees(x, *lower_share_and_std(density, centers), 6000)


@pytest.mark.parametrize(("step_size", "measured_width"), [(0.05, (0.2, 0.5)), (1.0, (3.0, 12.0))])
def test_the_step_of_dps_sets_the_width_of_measured_pixels(step_size, measured_width):
    """Its gradient step keeps its length however small the residual is: the residual ends at about the step."""
    prior, operator, y = problem("inpainting", isotropic(0.5))
    sampler = DPS(KarrasSchedule(20.0, 0.005, 300, 7.0), step_size)
    x = sampler.sample(Problem(BatchedPrior(prior, None), operator, y, OneStream(500))).x
    exact = exact_posterior(prior, operator, y)[1].diagonal().sqrt().reshape(SIDE, SIDE)
    ratios = x.std(0)[0, 0] / exact
    measured = operator.mask[0, 0]
    assert measured_width[0] < ratios[measured].min() and ratios[measured].max() < measured_width[1]
    assert torch.all(abs(ratios[~measured] - 0.95) < 0.1)


@pytest.mark.parametrize("step_size", [1e-4, 1e-3, 4e-3])
@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d"])
def test_all_langevin_steps_at_once_have_the_moments_of_the_steps_one_by_one(name, step_size, monkeypatch):
    prior, operator, y = problem(name)
    sampler = DAPS(GeometricSchedule(5.0, 0.1, 3), 2, langevin_steps=7, step_size=step_size, likelihood_std=None)
    together = sampler_moments(sampler, prior, operator, y)
    monkeypatch.setattr(type(operator), "has_spectrum", False)
    one_by_one = sampler_moments(sampler, prior, operator, y)
    for moment, expected in zip(together, one_by_one, strict=True):
        torch.testing.assert_close(moment, expected, rtol=1e-9, atol=1e-9)
