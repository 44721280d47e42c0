"""Langevin samplers on Gaussians: the stationary laws that their closed forms predict."""

import math

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
from many_chains import OneStream, run

from alps_exp.operators import Inpainting
from alps_exp.priors import ComposedEnergy, GaussianPrior
from alps_exp.samplers import MALA, ULA, ExplicitSchedule, PnPULA
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.mala import _move
from alps_exp.samplers.pnp_ula import _largest_eigenvalue
from alps_exp.samplers.potential import Potential
from alps_exp.samplers.problem import Problem

T = 0.5


def problem(name, noise_std=0.05):
    operator, dtype = operator_named(name)
    operator.noise_std, operator.tolerance = noise_std, 1e-8
    prior = random_prior(dtype)
    return prior, operator, measurement(operator, prior)


def normal_matrix(operator, dtype):
    units = torch.eye(PIXELS, dtype=dtype).reshape(PIXELS, 1, 1, SIDE, SIDE)
    return operator.normal(units).reshape(PIXELS, PIXELS).mT


def biased(covariance, preconditioner, h):
    """Return S (I - h P S^(-1))^(-1) = (S^(-1) - h S^(-1) P S^(-1))^(-1)."""
    precision = torch.linalg.inv(covariance)
    return torch.linalg.inv(precision - h * precision @ preconditioner @ precision)


@pytest.mark.parametrize("h", [0.5, 2.0])
@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d"])
def test_ula_is_as_wide_as_its_step_predicts(name, h):
    prior, operator, y = problem(name)
    mean, covariance = exact_posterior(prior, operator, y, T)
    identity = torch.eye(PIXELS, dtype=covariance.dtype)
    preconditioner = torch.linalg.inv(
        normal_matrix(operator, covariance.dtype) / operator.noise_std**2 + identity / T**2
    )
    sampler = ULA(ExplicitSchedule((1.0, T), (1, int(60 / h))), h)
    moments = sampler_moments(sampler, prior, operator, y)
    ratios, error = compare(moments, (mean, biased(covariance, preconditioner, h / 4)))
    assert torch.allclose(ratios, torch.ones_like(ratios), atol=1e-3) and error < 0.02
    ratios, _ = compare(moments, (mean, covariance))
    assert ratios.max() > 1.02 and ratios.max() < (1 - h / 4) ** -0.5 + 1e-6


def test_ula_on_a_composed_energy_has_the_law_of_the_product():
    """The product of N(m, C + t^2 I) with itself has twice its precision."""
    prior, operator, y = problem("blur")
    twice = ComposedEnergy([prior, prior], [1.0, 1.0])
    _, covariance = exact_posterior(prior, operator, y, T)
    normal = normal_matrix(operator, covariance.dtype) / operator.noise_std**2
    product = torch.linalg.inv(2 * torch.linalg.inv(covariance) - normal)
    identity = torch.eye(PIXELS, dtype=covariance.dtype)
    preconditioner = torch.linalg.inv(normal + 2 * identity / T**2)
    mean, result = sampler_moments(ULA(ExplicitSchedule((1.0, T), (1, 60)), 1.0), twice, operator, y)
    ratios, _ = compare((mean, result), (mean, biased(product, preconditioner, 0.25)))
    assert torch.allclose(ratios, torch.ones_like(ratios), atol=1e-4)


@pytest.mark.parametrize("h", [1.0, 2.0])
@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d"])
def test_a_move_of_mala_keeps_the_posterior_whatever_its_step(name, h):
    prior, operator, y = problem(name)
    count = 20_000
    mean, covariance = exact_posterior(prior, operator, y, T)
    of = Problem(BatchedPrior(prior, None), operator, y, OneStream(count))
    potential = Potential(of.prior, operator, y, T)
    z = of.noise.draw(prior.mean[None]).flatten(1)
    x = (mean + z @ torch.linalg.cholesky(covariance).mT).reshape(count, 1, 1, SIDE, SIDE)
    point, probability = _move(of, potential, potential(x), torch.full((count, 1), h, dtype=torch.float64))
    assert 0.04 < probability.mean() < 0.95
    deviations = point.x.flatten(1) - point.x.flatten(1).mean(0)
    found = deviations.mT @ deviations.conj() / count / (2 if x.is_complex() else 1)
    ratios, error = compare((point.x.flatten(1).mean(0), found), (mean, covariance))
    assert 0.97 < ratios.min() and ratios.max() < 1.03 and error < 4 / math.sqrt(count)


@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d"])
def test_mala_has_the_moments_of_the_posterior(name):
    prior, operator, y = problem(name)
    x, diagnostics = run(MALA(ExplicitSchedule((3.0, 1.0, T), (10, 10, 40))), prior, operator, y, chains=5000)
    deviations = x.flatten(1) - x.flatten(1).mean(0)
    covariance = deviations.mT @ deviations.conj() / len(x) / (2 if x.is_complex() else 1)
    ratios, error = compare((x.flatten(1).mean(0), covariance), exact_posterior(prior, operator, y, T))
    assert 0.95 < ratios.min() and ratios.max() < 1.05 and error < 4 / math.sqrt(len(x))
    assert diagnostics["acceptance"].shape == diagnostics["step_size"].shape == (len(x), 1, 3)
    first = diagnostics["step_size"][..., 0]
    assert torch.allclose(first, torch.full_like(first, PIXELS ** (-1 / 3)))
    adapted = diagnostics["step_size"][..., 1].log() - first.log()
    assert torch.allclose(adapted, diagnostics["acceptance"][..., 0] - 0.574)


def test_a_potential_that_is_not_finite_is_not_passed_over():
    prior, operator, y = problem("blur")
    with pytest.raises(FloatingPointError, match="not finite"):
        run(MALA(ExplicitSchedule((1.0, T), (1, 1))), prior, operator, y / 0, chains=4)


@pytest.mark.parametrize(("name", "step_size"), [("inpainting", 1.0), ("blur", 0.5), ("mri_1d", 1.0)])
def test_pnp_ula_is_as_wide_as_its_step_predicts(name, step_size):
    prior, operator, y = problem(name, noise_std=1.0)
    mean, covariance = exact_posterior(prior, operator, y, T)
    steps = int(150 / step_size)
    sampler = PnPULA(ExplicitSchedule((1.0, T), (1, steps)), step_size, bound=100.0, prior_kind="energy")
    lipschitz = _largest_eigenvalue(Problem(BatchedPrior(prior, None), operator, y, OneStream(1))).item()
    h = step_size / (3 * (1 / T**2 + lipschitz))
    moments = sampler_moments(sampler, prior, operator, y)
    identity = torch.eye(PIXELS, dtype=covariance.dtype)
    ratios, error = compare(moments, (mean, biased(covariance, identity, h / 2)))
    assert torch.allclose(ratios, torch.ones_like(ratios), atol=2e-3) and error < 1e-2


def test_pnp_ula_is_drawn_back_to_the_box_by_the_penalty_stated():
    variance, t, bound = 100.0, 1.0, 1.0
    prior = GaussianPrior(torch.zeros(1, 1, 1, dtype=torch.float64), torch.full((1, 1), variance, dtype=torch.float64))
    operator, y = Inpainting(torch.zeros(1, 1, 1, 1), 1.0), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    schedule = ExplicitSchedule((2.0, t), (1, 400))
    x, _ = run(PnPULA(schedule, 0.05, bound=bound, prior_kind="energy"), prior, operator, y, chains=8000)
    grid = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    density = (-(grid**2) / (2 * (variance + t**2)) - (grid.abs() - bound).clamp(min=0) ** 2 / t**2).exp()
    expected = (density * grid**2).sum() / density.sum()
    assert x.square().mean().item() == pytest.approx(expected.item(), rel=0.06)


@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d", "mri_2d", "nothing"])
def test_the_norm_of_an_operator_is_that_of_its_matrix(name):
    operator, dtype = operator_named(name)
    prior = random_prior(dtype)
    largest = torch.linalg.eigvalsh(normal_matrix(operator, dtype))[-1].item()
    found = _largest_eigenvalue(
        Problem(BatchedPrior(prior, None), operator, measurement(operator, prior), OneStream(1))
    )
    assert found.item() == pytest.approx(largest, rel=0.02)


def test_a_step_at_which_chains_diverge_is_refused():
    with pytest.raises(ValueError, match="below 4, where the chains diverge, got 4"):
        ULA(step_size=4.0)
