"""MAP against the minimizer in closed form."""

import pytest
import torch
from gaussian_posterior import exact_posterior, measurement, operator_named, random_prior

from alps_exp.operators import Inpainting
from alps_exp.priors import Energy, GaussianMixturePrior
from alps_exp.samplers import ALPS, MAP, GeometricSchedule
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.line_search import line_search
from alps_exp.samplers.potential import Point, Potential

SIGMA_MIN = 0.02


@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d", "mri_2d"])
def test_map_is_the_minimizer_at_the_last_scale(name):
    operator, dtype = operator_named(name)
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    expected, _ = exact_posterior(prior, operator, y, SIGMA_MIN)
    sampler = MAP(GeometricSchedule(5.0, SIGMA_MIN, 20), tolerance=1e-6, max_iterations=60)
    estimates = sampler(prior, operator, y, num_samples=2)
    assert (estimates.mean.flatten() - expected).norm() < 1e-4 * expected.norm()
    assert torch.equal(estimates.samples[0], estimates.samples[1])
    assert estimates.diagnostics["gradient_norm"].max() <= 1e-6


def test_the_line_search_never_goes_up(network):
    torch.manual_seed(0)
    energy = Energy(network(3)).double()
    operator = Inpainting((torch.rand(2, 1, 16, 16) < 0.3).float(), noise_std=0.1)
    y = operator.forward(torch.randn(2, 3, 16, 16, dtype=torch.float64))
    schedule = GeometricSchedule(2.0, 0.1, 10)
    start = ALPS(schedule, "independent", "diffused")(energy, operator, y).mean
    best = MAP(schedule, tolerance=1e-8, max_iterations=10)(energy, operator, y)

    def objective(x):
        return energy.energy(x, 0.1) / 0.1**2 + operator.misfit(x, y)

    assert torch.all(objective(best.mean) < objective(start))
    assert torch.allclose(objective(best.mean), best.diagnostics["objective"][0])


def test_it_says_what_it_did():
    operator, dtype = operator_named("blur")
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    best = MAP(GeometricSchedule(5.0, SIGMA_MIN, 10), tolerance=1e-6, max_iterations=40, starts=3)(prior, operator, y)
    trace = best.diagnostics["trace"][0, 0]
    assert len(trace) == 41 and torch.all(trace.diff() <= 1e-9 * trace.abs().max())
    assert trace[-1] == best.diagnostics["objective"][0, 0]
    assert best.diagnostics["converged"][0, 0] == 1
    assert best.diagnostics["apart"][0, 0] < 1e-5 and best.diagnostics["basins"][0, 0] == 1
    hurried = MAP(GeometricSchedule(5.0, SIGMA_MIN, 10), tolerance=1e-6, max_iterations=1)(prior, operator, y)
    assert hurried.diagnostics["converged"][0, 0] == 0


def test_of_several_starts_the_lowest_end_is_the_estimate():
    means = torch.tensor([-1.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
    prior = GaussianMixturePrior(weights, means, torch.full((2, 1, 1), 0.01, dtype=torch.float64))
    operator, y = Inpainting(torch.ones(1, 1, 1, 1), 1.0), torch.zeros(6, 1, 1, 1, dtype=torch.float64)
    schedule = GeometricSchedule(2.0, 0.05, 10)
    single = MAP(schedule, tolerance=1e-6)(prior, operator, y).mean.flatten()
    assert (single < 0).any() and (single > 0).any()
    several = MAP(schedule, tolerance=1e-6, starts=24)(prior, operator, y)
    assert (several.mean > 0).all()
    assert (several.diagnostics["apart"] > 1.5).all()
    assert (several.diagnostics["basins"] == 2).all()


class Uphill:
    """A potential that rises wherever it is asked, although its gradient promises a descent."""

    def __init__(self):
        self.asked = 0

    def __call__(self, x, wanted):
        self.asked += 1
        return Point(x, torch.ones(1, 1), torch.ones_like(x), torch.ones_like(x))


def test_a_search_that_finds_no_descent_ends_where_it_began():
    x = torch.zeros(1, 1, 1, 2, 2)
    potential = Uphill()
    point = Point(x, torch.zeros(1, 1), torch.ones_like(x), torch.ones_like(x))
    found = line_search(potential, point, -torch.ones_like(x))
    assert torch.equal(found.x, x) and found.value.item() == 0
    assert potential.asked == 13  # the unit step and twelve halvings
    assert line_search(potential, point, torch.ones_like(x)) is point and potential.asked == 13  # an ascent


def test_the_gradient_norm_is_that_of_an_exact_solve():
    """Points need conjugate gradients; their error in P g must not show in the norm that decides."""
    operator, dtype = operator_named("mri_2d")
    operator.tolerance = 0.3
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    best = MAP(GeometricSchedule(5.0, SIGMA_MIN, 10), tolerance=0.05, max_iterations=1)(prior, operator, y)
    exact = Potential(BatchedPrior(prior, None), operator, y, SIGMA_MIN, accuracy=1e-8)(best.samples)
    norm = (exact.square / best.samples[0, 0].numel()).sqrt()
    assert torch.allclose(best.diagnostics["gradient_norm"], norm, rtol=0.02)


def test_majorize_minimize_never_goes_up_and_finds_the_minimizer(network):
    operator, dtype = operator_named("blur")
    prior = random_prior(dtype, smallest=0.5)
    y = measurement(operator, prior)
    expected, _ = exact_posterior(prior, operator, y, 0.5)
    sampler = MAP(GeometricSchedule(5.0, 0.5, 5), tolerance=1e-8, max_iterations=300, optimizer="majorize")
    best = sampler(prior, operator, y)
    assert (best.mean.flatten() - expected).norm() < 1e-6 * expected.norm()
    assert best.diagnostics["gradient_norm"].item() <= 1e-8

    torch.manual_seed(0)
    rough = Energy(network(3)).double()  # not trained, and not convex
    operator = Inpainting((torch.rand(2, 1, 16, 16) < 0.3).float(), noise_std=0.1)
    y = operator.forward(torch.randn(2, 3, 16, 16, dtype=torch.float64))
    trace = MAP(GeometricSchedule(2.0, 0.1, 5), optimizer="majorize")(rough, operator, y).diagnostics["trace"][0]
    assert torch.all(trace.diff() <= 0) and torch.all(trace[:, :6].diff() < 0)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(ValueError, match="optimizer is 'adam', expected newton or majorize"):
        MAP(optimizer="adam")
