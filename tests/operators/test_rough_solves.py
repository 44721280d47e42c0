"""Solves that need not be exact: where they stop, where they start, and that chains keep their moments."""

import math

import pytest
import torch
from operator_cases import randn

from alps_exp.masks import BirdcageMaps, CartesianMask2D
from alps_exp.operators import GaussianBlur, MultiCoilMRI
from alps_exp.operators.cg import RecentSteps, Rough, conjugate_gradients
from alps_exp.priors import smooth_gaussian
from alps_exp.samplers import ALPS, GeometricSchedule, alps

SIZE = 200


def system(images=1):
    """Return eigenvalues (1, 1, SIZE) and right-hand sides that excite them all."""
    values = torch.logspace(-4, 0, SIZE, dtype=torch.float64)[None, None]
    return values, values.sqrt() * randn(images, 1, 1, SIZE, seed=1)


def test_the_distance_of_the_last_steps_is_the_true_one():
    values, b = system()
    shift, x, residual, direction = 1e-3, torch.zeros_like(b), b, b
    recent, iterates = RecentSteps(0.0), [x]
    square = residual.square().sum()
    for step in range(12):
        product = (values + shift) * direction
        length = square / (direction * product).sum()
        x, residual = x + length * direction, residual - length * product
        last, square = square, residual.square().sum()
        direction = residual + square / last * direction
        recent.add(torch.tensor(True), length, last, square / last)
        iterates.append(x)
        before = iterates[max(0, step + 1 - RecentSteps.COUNT)]
        torch.testing.assert_close(recent.distance(), (x - before).square().sum(), rtol=1e-9, atol=0)


def test_it_stops_at_the_first_short_steps_and_not_before():
    values, b = system()
    products = []

    def normal(v):
        products.append(v)
        return values * v

    allowed = 0.05
    rough = conjugate_gradients(normal, b, 1e-3, 1e-9, 1000, allowed)
    count = len(products)
    iterates = [conjugate_gradients(normal, b, 1e-3, 1e-9, 1000, math.inf)]
    assert len(products) == count + RecentSteps.COUNT and count > 2 * RecentSteps.COUNT
    exact = b / (values + 1e-3)
    assert 0 < (rough - exact).square().mean() < (iterates[0] - exact).square().mean()


def test_images_stop_on_their_own():
    values, b = system(images=3)
    b = b * torch.tensor([1e-3, 1.0, 30.0], dtype=torch.float64)[:, None, None, None]
    together = conjugate_gradients(lambda v: values * v, b, 1e-3, 1e-9, 1000, 0.05)
    for index in range(3):
        one = slice(index, index + 1)
        alone = conjugate_gradients(lambda v: values * v, b[one], 1e-3, 1e-9, 1000, 0.05)
        torch.testing.assert_close(together[one], alone, rtol=1e-12, atol=1e-12)


def test_a_start_spares_the_iterations_that_it_makes_superfluous_and_changes_no_exact_mean(monkeypatch):
    d, y, operator = mri(12, torch.complex128)
    operator.tolerance = 1e-9
    exact = operator.posterior_mean(d, y, 1.0, Rough(0.0))
    normal, calls = type(operator).normal, []
    monkeypatch.setattr(type(operator), "normal", lambda self, x: calls.append(x) or normal(self, x))
    near = operator.posterior_mean(d, y, 1.0, Rough(0.01, 0.999 * (exact - d)))
    assert len(calls) == RecentSteps.COUNT
    torch.testing.assert_close(near, exact, rtol=0, atol=0.01)
    operator.posterior_mean(d, y, 1.0, Rough(0.01))
    assert len(calls) > 5 * RecentSteps.COUNT
    far = randn(*d.shape, seed=9, dtype=torch.complex128)
    torch.testing.assert_close(operator.posterior_mean(d, y, 1.0, Rough(0.0, far)), exact, rtol=0, atol=1e-6)


def test_closed_forms_stay_exact():
    d, y = randn(2, 1, 8, 8, seed=1), randn(2, 1, 8, 8, seed=2)
    operator = GaussianBlur(1.0, 0.05)
    assert torch.equal(operator.posterior_mean(d, y, 1.0, Rough(math.inf)), operator.posterior_mean(d, y, 1.0))


@pytest.mark.parametrize("t", [1.0, 5.0, 50.0])
def test_float32_is_enough_for_a_rough_solve_at_any_scale(t):
    d, y, operator = mri(12, torch.complex64)
    rough = operator.posterior_mean(d, y, t, Rough(0.03 * t))
    wide = operator.posterior_mean(d.to(torch.complex128), y.to(torch.complex128), t, Rough(0.03 * t))
    assert (rough - wide).abs().max() < 1e-4 * t


@pytest.mark.parametrize("matching", [0, 2])
def test_chains_of_diffused_annealing_keep_their_moments(matching, monkeypatch):
    """Against the same chains with exact solves: spread within 1 %, mean within 1 % of the posterior's width."""
    _, y, operator = mri(8, torch.complex64)
    prior = smooth_gaussian(size=8, complex_valued=True)
    sampler = ALPS(GeometricSchedule(5.0, 0.01, 40), moment_matching=matching)
    samples = sampler(prior, operator, y, num_samples=100).samples
    monkeypatch.setattr(alps, "MEAN_TOLERANCE", 1e-9)
    exact = sampler(prior, operator, y, num_samples=100).samples
    ratio = samples.std(0) / exact.std(0)
    assert 0.99 < ratio.min() and ratio.max() < 1.01
    moved = (samples.mean(0) - exact.mean(0)).abs() / exact.std(0)
    assert moved.square().mean().sqrt() < 0.01 and moved.max() < 0.02


def mri(size, dtype):
    """Return an image, a measurement, and an operator whose mask varies along both axes."""
    image = randn(1, 1, size, size, seed=1, dtype=dtype)
    maps = BirdcageMaps(4)({"image": image}).to(dtype)
    mask = CartesianMask2D(4, 0.1)({"image": image, "image_id": ["a"]})
    operator = MultiCoilMRI(mask, maps, 0.02)
    y = operator.measure(image, randn(1, 4, size, size, seed=2, dtype=dtype))
    return image, y, operator
