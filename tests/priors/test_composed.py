"""Composed energies against the closed form of two Gaussians, and by finite differences."""

import pytest
import torch

from alps_exp.evaluation import exact_posterior
from alps_exp.operators import Inpainting
from alps_exp.priors import ComposedEnergy, GaussianPrior
from alps_exp.samplers import CSGM, GeometricSchedule
from alps_exp.samplers.batched_prior import BatchedPrior

A, B, T = 1.5, 0.8, 0.6
SHAPE, SIZE = (1, 3, 3), 9


def random_gaussian(dtype, seed):
    torch.manual_seed(seed)
    root = torch.randn(SIZE, SIZE, dtype=dtype)
    return GaussianPrior(torch.randn(*SHAPE, dtype=dtype), root @ root.mH / SIZE)


def composed_precision(parts, t):
    """Return precision and mean of the Gaussian whose E / t^2 is the weighted sum of those of the parts."""
    identity = torch.eye(SIZE, dtype=parts[0][1].mean.dtype)
    precisions = [a * torch.linalg.inv(p.covariance + t**2 * identity) for a, p in parts]
    pull = sum(precision @ p.mean.flatten() for precision, (_, p) in zip(precisions, parts, strict=True))
    return sum(precisions), torch.linalg.solve(sum(precisions), pull)


@pytest.fixture(params=[torch.float64, torch.complex128])
def pair(request):
    parts = [(A, random_gaussian(request.param, 1)), (B, random_gaussian(request.param, 2))]
    return parts, ComposedEnergy([p for _, p in parts], [a for a, _ in parts])


def test_two_gaussians_make_a_gaussian(pair):
    parts, composed = pair
    precision, mean = composed_precision(parts, T)
    x = torch.randn(4, *SHAPE, dtype=mean.dtype)
    difference = x.flatten(1) - mean
    energy, gradient = composed.energy_and_gradient(x, T)
    quadratic = torch.linalg.vecdot(difference, difference @ precision.mT).real / 2
    offset = composed.energy(mean.reshape(SHAPE), T)  # what the parts disagree by
    assert torch.allclose((energy - offset) / T**2, quadratic)
    assert torch.allclose(energy, composed.energy(x, T))
    assert torch.allclose(gradient.flatten(1) / T**2, difference @ precision.mT)


def test_samplers_that_do_not_know_its_curvature_refuse_it(pair):
    _, composed = pair
    operator = Inpainting(torch.ones(1, *SHAPE), noise_std=0.1)
    y = operator.forward(torch.zeros(1, *SHAPE, dtype=pair[0][0][1].mean.dtype))
    with pytest.raises(ValueError, match="CSGM.*composed"):
        CSGM(GeometricSchedule(steps=2))(composed, operator, y)
    thirds = ComposedEnergy([part for _, part in [*pair[0], pair[0][0]]], [0.7, 0.2, 0.1])  # of sum 1, but for rounding
    assert CSGM(GeometricSchedule(steps=2))(thirds, operator, y).samples.isfinite().all()


def test_gradient_and_jacobian_by_finite_differences(pair):
    _, composed = pair
    x, u = (torch.randn(4, *SHAPE, dtype=pair[0][0][1].mean.dtype) for _ in range(2))
    step = 1e-5
    _, gradient = composed.energy_and_gradient(x, T)
    slope = (composed.energy(x + step * u, T) - composed.energy(x - step * u, T)) / (2 * step)
    assert torch.allclose(slope, torch.linalg.vecdot(gradient.flatten(1), u.flatten(1)).real, rtol=1e-6, atol=1e-6)
    seen = []
    d, product = composed.denoise_and_apply_vjp(x, T, lambda d: seen.append(d) or u)
    moved = (composed.denoise(x + step * u, T) - composed.denoise(x - step * u, T)) / (2 * step)
    assert torch.allclose(d, composed.denoise(x, T)) and torch.equal(seen[0], d)
    assert torch.allclose(product, moved, rtol=1e-6, atol=1e-6)


def test_the_curvature_is_that_of_large_scales(pair):
    _, composed = pair
    x, u = (torch.randn(*SHAPE, dtype=pair[0][0][1].mean.dtype) for _ in range(2))
    gradients = [composed.energy_and_gradient(point, 1e4)[1] for point in (x + u, x)]
    assert torch.allclose(gradients[0] - gradients[1], composed.curvature * u, rtol=1e-6)
    assert composed.curvature == pytest.approx(A + B) and BatchedPrior(composed, None).curvature == composed.curvature
    nested = ComposedEnergy([composed, pair[0][0][1]], [2.0, 1.0])
    assert nested.curvature == pytest.approx(2 * (A + B) + 1)
    expected = 2 * composed.energy(x, T) + pair[0][0][1].energy(x, T)
    assert torch.allclose(nested.energy(x, T), expected)
    moved = (nested.denoise(x + 1e-5 * u, T) - nested.denoise(x - 1e-5 * u, T)) / 2e-5
    assert torch.allclose(nested.denoise_and_apply_vjp(x, T, lambda _: u)[1], moved, rtol=1e-6, atol=1e-6)


def test_steps_with_the_curvature_find_the_minimizer_of_the_posterior(pair):
    """The posterior mean for (d, t / sqrt(curvature)) is x - P grad U; with t in its place A + B > 2 diverges."""
    parts, composed = pair
    precision, mean = composed_precision(parts, T)
    equivalent = GaussianPrior(mean.reshape(SHAPE), torch.linalg.inv(precision))
    mask = torch.tensor([1.0, 0, 1, 0, 1, 0, 0, 1, 0]).reshape(1, 1, 3, 3)
    operator = Inpainting(mask, noise_std=0.2)
    y = operator.measure(torch.randn(1, *SHAPE, dtype=mean.dtype), torch.randn(1, *SHAPE, dtype=mean.dtype))
    exact = exact_posterior(equivalent, operator, y)
    x = torch.zeros_like(y)
    for _ in range(300):
        x = operator.posterior_mean(composed.denoise(x, T), y, T / composed.curvature**0.5)
    assert torch.allclose(x[0], exact.mean, rtol=1e-6, atol=1e-6)


def test_calls_are_those_of_the_parts():
    first, second = random_gaussian(torch.float64, 1), random_gaussian(torch.float64, 2)
    composed = ComposedEnergy([first, second, first], [1.0, 1.0, 1.0])
    composed.denoise(torch.zeros(2, 3, *SHAPE, dtype=torch.float64), T)
    assert (composed.calls.forward, composed.calls.vjp) == (18, 18)


def test_what_does_not_compose_is_refused():
    real, complex_one = random_gaussian(torch.float64, 1), random_gaussian(torch.complex128, 1)
    for energies, weights in ([real], [1.0, 2.0]), ([], []), ([real], [-1.0]), ([real], [float("nan")]):
        with pytest.raises(ValueError, match="positive weight"):
            ComposedEnergy(energies, weights)
    with pytest.raises(ValueError, match=r"channels.*\[1, 2\]"):
        ComposedEnergy([real, complex_one], [1.0, 1.0])
