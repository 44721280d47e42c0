"""The energy and its gradient: finite differences, recorded values, batches, and what is not kept."""

import copy
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from alps_exp.priors import Denoiser, Energy
from alps_exp.priors.energy import energy_and_gradient

TRACES = Path(__file__).parents[1] / "reference" / "alps_reference_traces.npz"
SCALES = torch.tensor([0.03, 0.7, 20.0], dtype=torch.float64)


def closed_form_psi(x, t):
    """Return psi of the recorded traces."""
    t = t[:, None, None, None]
    return x / (1 + t**2) + 0.2 * torch.tanh(x) * t / (1 + t)


@pytest.fixture(params=[torch.float64, torch.complex128], ids=["real", "complex"])
def dtype(request):
    return request.param


@pytest.fixture(params=[(16, 16), (15, 18), (17, 13)], ids=["divisible", "odd-height", "odd-sides"])
def images(request, dtype):
    torch.manual_seed(1)
    return torch.randn(3, 1, *request.param, dtype=dtype)


def energy_of(network, x):
    return Energy(network(2 if x.is_complex() else 1)).double()


def test_gradient_is_that_of_finite_differences(network, images):
    energy = energy_of(network, images)
    _, gradient = energy.energy_and_gradient(images, SCALES)
    step = 1e-5
    for seed in range(4):
        torch.manual_seed(seed)
        direction = torch.randn_like(images)
        ahead, behind = (energy.energy(images + s * direction, SCALES) for s in (step, -step))
        slope = torch.linalg.vecdot(gradient.flatten(1), direction.flatten(1)).real
        assert torch.allclose((ahead - behind) / (2 * step), slope, rtol=1e-6)


def test_energy_is_half_the_squared_distance_to_psi(network, images):
    energy = energy_of(network, images)
    channels = torch.cat([images.real, images.imag], 1) if images.is_complex() else images
    residual = channels - energy.network(channels, SCALES)
    expected = residual.square().sum((1, 2, 3)) / 2
    assert torch.allclose(energy.energy(images, SCALES), expected, rtol=1e-12)
    assert torch.allclose(energy.energy_and_gradient(images, SCALES)[0], expected, rtol=1e-12)


def test_energy_and_gradient_are_the_recorded_ones_of_the_published_code():
    recorded = {name: torch.from_numpy(value) for name, value in np.load(TRACES).items()}
    energy, gradient = energy_and_gradient(closed_form_psi, recorded["truth"], recorded["energy/t"][None])
    assert torch.allclose(energy, recorded["energy/E"], rtol=1e-10)
    assert torch.allclose(gradient, recorded["energy/grad"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("precision, bound", [(torch.bfloat16, 0.02), (torch.float16, 0.01)])
def test_mixed_precision_neither_over_nor_underflows_at_any_scale(network, precision, bound):
    psi = network(3)
    torch.manual_seed(1)
    images, noise = torch.randn(2, 2, 3, 16, 16)
    for t in (0.002, 0.03, 0.7, 20.0, 80.0):
        x, scales = images / 2 + t * noise, torch.full((2,), t)
        energy, gradient = energy_and_gradient(psi, x, scales)
        with torch.autocast("cpu", precision):
            rough_energy, rough = energy_and_gradient(psi, x, scales)
        assert rough.dtype == torch.float32 and torch.allclose(rough_energy, energy, rtol=2e-3)
        assert (rough - gradient).norm() <= bound * gradient.norm()


def test_an_image_has_the_same_energy_alone_and_in_a_batch(network):
    torch.manual_seed(2)
    x = torch.randn(8, 3, 16, 16, dtype=torch.float64)
    t = torch.logspace(-1.5, 1, 8, dtype=torch.float64)
    energy = Energy(network(3)).double()
    together = energy.energy_and_gradient(x, t)
    alone = [energy.energy_and_gradient(x[i : i + 1], float(t[i])) for i in range(8)]
    for i, values in enumerate(zip(*alone, strict=True)):
        assert torch.allclose(together[i], torch.cat(values), rtol=1e-10, atol=1e-10)


def test_leading_dimensions_are_samples_of_the_batch(network):
    torch.manual_seed(3)
    x = torch.randn(2, 3, 1, 16, 16, dtype=torch.complex128)
    energy = Energy(network(2)).double()
    values, gradients = energy.energy_and_gradient(x, SCALES)
    one, gradient = energy.energy_and_gradient(x[1], SCALES)
    assert values.shape == (2, 3)
    assert torch.allclose(values[1], one) and torch.allclose(gradients[1], gradient)


def test_no_graph_is_kept_unless_asked_for(network):
    energy = Energy(network(3))
    x = torch.randn(2, 3, 16, 16)
    value, gradient = energy.energy_and_gradient(x, 0.5)
    assert not value.requires_grad and not gradient.requires_grad
    _, differentiable = energy_and_gradient(energy.network, x, torch.full((2,), 0.5), create_graph=True)
    differentiable.square().sum().backward()
    assert all(p.grad is not None for name, p in energy.network.named_parameters() if "aux_conv.bias" not in name)


def test_calls_are_counted_in_images(network):
    energy, teacher = Energy(network(3)), Denoiser(network(3))
    x = torch.randn(2, 3, 3, 16, 16)
    energy.denoise(x, 0.5)
    teacher.denoise(x, 0.5)
    teacher.denoise_and_apply_vjp(x, 0.5, lambda d: d)
    assert (energy.calls.forward, energy.calls.vjp) == (6, 6)
    assert (teacher.calls.forward, teacher.calls.vjp) == (12, 6)


@pytest.mark.parametrize("kind", [Denoiser, Energy])
def test_vjp_is_the_transposed_jacobian(network, kind, images):
    prior = kind(network(2 if images.is_complex() else 1)).double()
    torch.manual_seed(4)
    v, direction = torch.randn_like(images), torch.randn_like(images)
    d, product = prior.denoise_and_apply_vjp(images, SCALES, lambda _: v)
    step = 1e-5
    ahead, behind = (prior.denoise(images + s * direction, SCALES) for s in (step, -step))
    change = (ahead - behind) / (2 * step)
    left = torch.linalg.vecdot(product.flatten(1), direction.flatten(1)).real
    right = torch.linalg.vecdot(v.flatten(1), change.flatten(1)).real
    assert torch.allclose(d, prior.denoise(images, SCALES))
    assert torch.allclose(left, right, rtol=1e-5)


@pytest.mark.parametrize(("kind", "cost"), [(Denoiser, 3), (Energy, 7)])
def test_one_forward_pass_serves_any_number_of_products(network, kind, cost):
    prior = kind(network(1)).double()
    torch.manual_seed(5)
    x, v = torch.randn(2, 1, 16, 16, dtype=torch.float64), torch.randn(3, 2, 1, 16, 16, dtype=torch.float64)
    with torch.no_grad():  # as in Lightning's predict
        d, vjp = prior.denoise_with_vjp(x, 0.5)
        products = [vjp(v[0]), vjp(v[1]), vjp(v[0] + v[1])]
    assert torch.allclose(products[0] + products[1], products[2])
    assert not d.requires_grad and not products[0].requires_grad
    assert (prior.calls.forward, prior.calls.vjp) == (2, 2 * cost)


def test_calls_are_those_of_a_thread_and_copies_have_them(network):
    energy, x = Energy(network(1)), torch.zeros(3, 1, 16, 16)
    energy.denoise(x, 1.0)
    beside = threading.Thread(target=energy.energy, args=(x, 1.0))
    beside.start()
    beside.join()
    assert (energy.calls.forward, energy.calls.vjp) == (3, 3)
    energy.energy(x, 1.0)
    assert copy.deepcopy(energy).calls == copy.copy(energy.calls) == energy.calls
    assert (energy.calls.forward, energy.calls.vjp) == (6, 3)
