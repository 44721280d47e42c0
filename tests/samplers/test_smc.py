"""Sequential Monte Carlo against posteriors, evidences and mode weights in closed form."""

import math

import pytest
import torch
from gaussian_posterior import compare, measurement, operator_named, random_prior

from alps_exp.evaluation import exact_posterior
from alps_exp.operators import Inpainting
from alps_exp.priors import GaussianMixturePrior, GaussianPrior
from alps_exp.samplers import ALPS, SMC, GeometricSchedule
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.problem import Problem
from alps_exp.samplers.smc import _Population

CHAINS = 5000
SIGMA_MIN = 0.05


class OneStream:
    """Noise of many chains from one generator: quicker than one for each."""

    def __init__(self, num_samples, seed=0):
        self.num_samples, self.generator = num_samples, torch.Generator().manual_seed(seed)

    def draw(self, x):
        parts = math.sqrt(2) if x.is_complex() else 1
        return parts * torch.randn((self.num_samples, *x.shape), dtype=x.dtype, generator=self.generator)


def run(sampler, prior, operator, y, chains=CHAINS):
    last = sampler.sample(Problem(BatchedPrior(prior, None), operator, y, OneStream(chains)))
    return last.x, last.diagnostics


def two_modes(variance):
    """Return one pixel with modes at +-1 of equal weight, measured as 0.1 with noise 0.3."""
    means = torch.tensor([-1.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    covariances = torch.full((2, 1, 1), variance, dtype=torch.float64)
    prior = GaussianMixturePrior(torch.tensor([0.5, 0.5], dtype=torch.float64), means, covariances)
    return prior, Inpainting(torch.ones(1, 1, 1, 1), 0.3), torch.full((1, 1, 1, 1), 0.1, dtype=torch.float64)


@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d"])
def test_on_gaussians_moments_and_evidence_are_exact(name):
    operator, dtype = operator_named(name)
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    x, diagnostics = run(SMC(GeometricSchedule(5.0, SIGMA_MIN, 40)), prior, operator, y)
    deviations = x.flatten(1) - x.flatten(1).mean(0)
    covariance = deviations.mT @ deviations.conj() / CHAINS / (2 if dtype.is_complex else 1)
    exact = exact_posterior(prior, operator, y, SIGMA_MIN)
    ratios, error = compare((x.flatten(1).mean(0), covariance), (exact.mean.flatten(), exact.covariance))
    assert 0.94 < ratios.min() and ratios.max() < 1.06
    assert error < 4 / math.sqrt(CHAINS)
    wide = GaussianPrior(torch.zeros_like(prior.mean), 25 * torch.eye(9, dtype=dtype))
    gained = diagnostics["log_evidence"][0, 0] - prior.log_partition(SIGMA_MIN) + wide.log_partition(0.0)
    assert abs(gained - (exact.log_evidence - exact_posterior(wide, operator, y).log_evidence)) < 0.15
    assert 0.4 < diagnostics["acceptance"].mean() < 0.8


def test_weights_bring_modes_to_their_mass():
    prior, operator, y = two_modes(0.02)
    exact = exact_posterior(prior, operator, y, SIGMA_MIN).weights[0]
    schedule = GeometricSchedule(5.0, SIGMA_MIN, 100)
    shares = {}
    for name, sampler in {
        "weighted": SMC(schedule),
        "annealed": ALPS(schedule, "calibrated", "static"),
    }.items():
        x, _ = run(sampler, prior, operator, y, chains=4000)
        shares[name] = (x < 0).double().mean()
    assert abs(shares["weighted"] - exact) < 0.03
    assert shares["annealed"] - exact > 0.1


def test_moves_go_on_until_the_chains_agree():
    operator, dtype = operator_named("blur")
    prior = random_prior(dtype, smallest=0.5)
    y = measurement(operator, prior)
    schedule = GeometricSchedule(5.0, 0.5, 4)
    with pytest.raises(ValueError, match="at least 2, got num_samples=1"):
        run(SMC(schedule, agree=1.1), prior, operator, y, chains=1)
    run(SMC(schedule, agree=1.5, max_moves=16), prior, operator, y, chains=2)
    short, diagnostics = run(SMC(schedule, agree=1.1, max_moves=400), prior, operator, y, chains=8)
    assert torch.all(diagnostics["r_hat"] <= 1.1)
    stopped, diagnostics = run(SMC(schedule, agree=1.0001, max_moves=20), prior, operator, y, chains=8)
    assert torch.all(diagnostics["r_hat"] > 1.0001)


def test_r_hat_is_the_root_of_total_over_within_variance():
    operator, dtype = operator_named("mri_1d")
    prior = random_prior(dtype, smallest=0.5)
    y = measurement(operator, prior)
    measured, moved = (
        _Population(Problem(BatchedPrior(prior, None), operator, y, OneStream(4)), 0.5) for _ in range(2)
    )
    r_hat = measured.window_r_hat(16, torch.tensor([True]))
    points = []
    for _ in range(16):
        moved.move()
        points.append(moved.point.x)
    x = torch.stack(points)
    within, between = x.var(0).mean(0), x.mean(0).var(0)
    assert r_hat.item() == pytest.approx((15 / 16 + between / within).sqrt().max().item())
    assert r_hat > 1.1


def test_the_first_step_falls_with_the_cube_root_of_the_dimension():
    operator, dtype = operator_named("blur")
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    population = _Population(Problem(BatchedPrior(prior, None), operator, y, OneStream(4)), 0.5)
    assert population.log_step.exp().item() == pytest.approx(prior.mean.numel() ** (-1 / 3))


def test_a_potential_that_is_not_finite_is_not_passed_over():
    prior, operator, y = two_modes(0.02)
    with pytest.raises(FloatingPointError, match="not finite"):
        run(SMC(GeometricSchedule(5.0, SIGMA_MIN, 5)), prior, operator, y / 0, chains=4)


@pytest.mark.parametrize("arguments", [{"resample_below": 1.5}, {"agree": 1.0}, {"max_moves": 15}])
def test_impossible_limits_are_refused(arguments):
    with pytest.raises(ValueError, match="got"):
        SMC(**arguments)


def test_an_image_whose_chains_agree_costs_nothing_more_and_changes_nothing():
    operator, dtype = operator_named("blur")
    prior = random_prior(dtype, smallest=0.5)
    y = torch.cat([scale * measurement(operator, prior) for scale in (1, 2, 3, 4)])
    sampler = SMC(GeometricSchedule(5.0, 0.5, 4), agree=1.3, max_moves=120)

    def restore(*images):
        before = prior.calls.forward
        estimates = sampler(prior, operator, y[list(images)], 4, image_ids=[str(i) for i in images])
        return estimates, prior.calls.forward - before

    together, cost = restore(0, 1, 2, 3)
    alone = [restore(i) for i in range(4)]
    costs = [calls for _, calls in alone]
    assert cost == sum(costs) and min(costs) < max(costs)
    for i, (estimates, _) in enumerate(alone):
        assert torch.allclose(estimates.samples[:, 0], together.samples[:, i], atol=1e-10)
        assert torch.allclose(estimates.diagnostics["acceptance"][:, 0], together.diagnostics["acceptance"][:, i])
