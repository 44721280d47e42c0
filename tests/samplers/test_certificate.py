"""The certificate of MAP against dense linear algebra."""

import math

import pytest
import torch
from gaussian_posterior import PIXELS, SIDE, measurement, operator_named, random_prior
from many_chains import OneStream

from alps_exp.evaluation import exact_posterior
from alps_exp.operators import GaussianBlur, Inpainting
from alps_exp.priors import GaussianMixturePrior, GaussianPrior
from alps_exp.samplers import MAP, GeometricSchedule
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.certificate import count_basins
from alps_exp.samplers.lanczos import lanczos
from alps_exp.samplers.newton import NewtonSettings, newton
from alps_exp.samplers.potential import Potential

T = 0.02


def case(name):
    """Return the potential of a Gaussian posterior, with its dense Hessian and preconditioner on real numbers."""
    operator, dtype = operator_named(name)
    prior = random_prior(dtype)
    y = measurement(operator, prior)
    potential = Potential(BatchedPrior(prior, None), operator, y, T, accuracy=1e-10)
    parts = 2 if dtype.is_complex else 1
    units = torch.eye(PIXELS, dtype=dtype)
    units = torch.cat([units, 1j * units]) if dtype.is_complex else units
    x = units.reshape(parts * PIXELS, 1, 1, SIDE, SIDE)
    active = torch.ones(len(x), 1, dtype=torch.bool)
    ((_, hessian),) = potential.hessians(torch.zeros_like(x), active)
    return potential, x, real(hessian(x, active)), real(potential.precondition(x))


def real(x):
    x = x.flatten(1)
    return torch.cat([x.real, x.imag], dim=1) if x.is_complex() else x


def whitened_eigenvalues(hessian, preconditioner):
    root = torch.linalg.cholesky(preconditioner)
    return torch.linalg.eigvalsh(root.mT @ hessian @ root)


@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d", "mri_2d"])
def test_the_hessian_is_that_of_the_gradient(name):
    potential, x, hessian, _ = case(name)
    changes = real(potential(x).gradient - potential(torch.zeros_like(x)).gradient)
    assert torch.allclose(hessian, changes, atol=1e-8 * hessian.abs().max())


@pytest.mark.parametrize("name", ["inpainting", "blur", "mri_1d", "mri_2d"])
def test_the_iteration_encloses_decrement_and_curvature_at_every_length(name):
    potential, x, hessian, preconditioner = case(name)
    torch.manual_seed(0)
    b = torch.randn_like(x[:1])
    exact = (real(b) @ torch.linalg.solve(hessian, real(b).mT)).item()
    least = whitened_eigenvalues(hessian, preconditioner)[0].item()
    active = torch.ones(1, 1, dtype=torch.bool)
    ((_, product),) = potential.hessians(torch.zeros_like(b), active)
    bounds = []
    for products in range(1, len(hessian) + 3):
        space = lanczos(product, potential.precondition, b, active, products, lambda _: torch.zeros_like(active))
        value, error = space.smallest()
        assert value >= least * (1 - 1e-6) and space.count <= len(hessian)
        below, above = space.decrement.item(), space.decrement_bound(torch.full((1, 1), least)).item()
        assert below <= exact * (1 + 1e-6) and exact <= above * (1 + 1e-6)
        bounds.append((below, above))
    assert bounds[0][1] > 1.05 * exact  # a bound that says something, and becomes tight
    assert bounds[-1][0] == pytest.approx(exact, rel=1e-5) and bounds[-1][1] == pytest.approx(exact, rel=1e-5)
    assert value.item() == pytest.approx(least, rel=1e-5) and error < 1e-3 * least
    assert torch.allclose(real(space.solution), torch.linalg.solve(hessian, real(b).mT).mT, rtol=1e-4)
    assert space.decrement_bound(torch.zeros(1, 1)).item() == math.inf


def ends_at(x, prior, operator, y, tolerance=1e-3):
    potential = Potential(BatchedPrior(prior, None), operator, y, T)
    (ends,) = newton(potential, potential(x), torch.ones_like(x), NewtonSettings(tolerance, 1, 30), 0)
    return potential, ends


def two_modes():
    """Return a pixel with modes at -1 and 1, and the exact curvature of U at 0 in units of P."""
    means = torch.tensor([-1.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    variance, eta = 0.04, 1.0
    covariances = torch.full((2, 1, 1), variance, dtype=torch.float64)
    prior = GaussianMixturePrior(torch.tensor([0.5, 0.5], dtype=torch.float64), means, covariances)
    square = variance + T**2
    curvature = (1 / square - 1 / square**2 + 1 / eta**2) / (1 / eta**2 + 1 / T**2)
    return prior, Inpainting(torch.ones(1, 1, 1, 1), eta), torch.zeros(1, 1, 1, 1, dtype=torch.float64), curvature


def test_the_ridge_between_two_modes_is_called_a_saddle():
    prior, operator, y, curvature = two_modes()
    potential, ends = ends_at(torch.zeros(1, 1, 1, 1, 1, dtype=torch.float64), prior, operator, y)
    assert ends.point.gradient.abs().max() == 0
    assert ends.curvature[0].item() == pytest.approx(curvature, rel=1e-9) and curvature < 0
    assert ends.saddle(1e-3).all() and not ends.minimum.any() and not ends.converged(1e-3).any()


def test_basins_are_counted_once():
    prior, operator, y, _ = two_modes()
    minimum = MAP(GeometricSchedule(2.0, T, 10), tolerance=1e-9, max_iterations=60)(prior, operator, y).mean.abs()
    width = (0.04 + T**2) ** -0.5
    offsets = torch.tensor([1, -1, 1, 1, -1], dtype=torch.float64)
    near = torch.tensor([0, 0, 5e-4, -9e-4, 2e-4], dtype=torch.float64) / width
    x = (offsets * minimum.item() + near).reshape(5, 1, 1, 1, 1)
    potential, ends = ends_at(x, prior, operator, y)
    assert count_basins(potential, ends, 1e-3).item() == 2
    assert count_basins(potential, ends, 1e-5).item() == 2  # the two exact ones; the others are no minimizers then


@pytest.mark.parametrize("seed", range(4))
def test_where_map_says_converged_it_is_and_it_says_so_for_hard_spectra(seed):
    """Prior variances from 1e-4 to 100: in units of P the smallest curvature is then some 1e-6."""
    side, t, generator = 8, 0.01, torch.Generator().manual_seed(seed)
    size = side**2
    basis, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    variances = torch.logspace(-4, 2, size, dtype=torch.float64)
    prior = GaussianPrior(torch.zeros(1, side, side, dtype=torch.float64), (basis * variances) @ basis.mH)
    mask = (torch.rand(1, 1, side, side, generator=generator) < 0.5).double()
    operator = Inpainting(mask, 0.02) if seed % 2 else GaussianBlur(1.5, 0.05)
    x = prior.sample(1, generator)
    y = operator.measure(x, torch.randn(x.shape, generator=generator, dtype=torch.float64))
    exact = exact_posterior(prior, operator, y, t)
    best = MAP(GeometricSchedule(5.0, t, 30), max_iterations=200, products=100)(prior, operator, y)
    error = (best.mean - exact.mean).flatten()
    deviations = (error @ torch.linalg.solve(exact.covariance, error) / size).sqrt()
    assert best.diagnostics["converged"].all() and best.diagnostics["minimum"].all()
    assert best.diagnostics["decrement"][0, 0] <= deviations * (1 + 1e-6)
    assert deviations <= best.diagnostics["decrement_bound"][0, 0] * (1 + 1e-6) and deviations <= 0.01


def test_the_gradient_alone_would_have_called_it_converged():
    operator, dtype = operator_named("inpainting")
    prior = random_prior(dtype, smallest=1e-4)
    y = measurement(operator, prior)
    sampler = MAP(GeometricSchedule(5.0, 0.005, 20), tolerance=0.02, max_iterations=4)
    hurried = sampler(prior, operator, y).diagnostics
    assert hurried["gradient_norm"].item() <= 0.02 and hurried["decrement"].item() > 0.1
    assert not hurried["converged"].any()


def test_the_start_of_the_look_at_the_curvature_has_the_covariance_of_the_inverse():
    potential, x, _, preconditioner = case("mri_1d")
    noise = OneStream(20_000)
    draws = real(potential.whiten((noise.draw(potential.y), noise.draw(x[0]))))
    covariance = draws.mT @ draws / len(draws)
    values = whitened_eigenvalues(covariance, preconditioner)
    assert 0.9 < values.min() and values.max() < 1.1


def test_newton_steps_and_their_cost_are_those_of_an_image_alone():
    operator, dtype = operator_named("blur")
    prior = random_prior(dtype, smallest=1e-3)
    y = torch.cat([scale * measurement(operator, prior) for scale in (0.1, 1, 30)])
    sampler = MAP(GeometricSchedule(5.0, 0.01, 6), tolerance=0.05, max_iterations=8, products=4, starts=3)
    together = sampler(prior, operator, y, image_ids=["0", "1", "2"])
    sampler.micro_batch = 3
    parts = sampler(prior, operator, y, image_ids=["0", "1", "2"])
    alone = [sampler(prior, operator, y[i : i + 1], image_ids=[str(i)]) for i in range(3)]
    assert len(set(together.nfe_vjp.tolist())) == 3
    for i, one in enumerate(alone):
        for batch in (together, parts):
            assert torch.allclose(one.mean[0], batch.mean[i], atol=1e-5)  # a curvature of 1e-5 enlarges rounding
            assert (one.nfe_forward[0], one.nfe_vjp[0]) == (batch.nfe_forward[i], batch.nfe_vjp[i])
            for name in ("decrement", "curvature", "trace", "basins"):
                assert torch.allclose(one.diagnostics[name][:, 0], batch.diagnostics[name][:, i], rtol=1e-3), name
