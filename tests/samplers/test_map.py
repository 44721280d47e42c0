"""MAP against the minimiser in closed form."""

import pytest
import torch
from gaussian_posterior import exact_posterior, measurement, operator_named, random_prior

from alps_exp.samplers import MAP, Geometric

SIGMA_MIN = 0.02


@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d", "mri_2d"])
def test_map_is_the_minimiser_at_the_last_scale(name):
    operator, dtype = operator_named(name)
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    expected, _ = exact_posterior(prior, operator, y, SIGMA_MIN)
    sampler = MAP(Geometric(5.0, SIGMA_MIN, 20), tolerance=1e-6, max_iterations=60)
    estimates = sampler(prior, operator, y, num_samples=2)
    assert (estimates.mean.flatten() - expected).norm() < 1e-4 * expected.norm()
    assert torch.equal(estimates.samples[0], estimates.samples[1])
    assert estimates.diagnostics["gradient_norm"].max() <= 1e-6


def test_the_line_search_never_goes_up(network):
    from alps_exp.operators import Inpainting
    from alps_exp.priors import Energy
    from alps_exp.samplers import ALPS

    torch.manual_seed(0)
    energy = Energy(network(3)).double()
    operator = Inpainting((torch.rand(2, 1, 16, 16) < 0.3).float(), noise_std=0.1)
    y = operator.forward(torch.randn(2, 3, 16, 16, dtype=torch.float64))
    schedule = Geometric(2.0, 0.1, 10)
    start = ALPS(schedule, "independent", "noised")(energy, operator, y).mean
    best = MAP(schedule, tolerance=1e-8, max_iterations=10)(energy, operator, y)

    def objective(x):
        return energy.energy(x, 0.1) / 0.1**2 + operator.misfit(x, y)

    assert torch.all(objective(best.mean) < objective(start))
    assert torch.allclose(objective(best.mean), best.diagnostics["objective"][0])
