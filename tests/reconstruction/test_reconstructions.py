"""Classical reconstructions: against sigpy's applications, their optimality conditions, and other operators."""

from __future__ import annotations

import numpy as np
import pytest
import sigpy.mri
import torch

from alps_exp.masks import BirdcageMaps
from alps_exp.operators import Inpainting, MultiCoilMRI
from alps_exp.priors import NullPrior
from alps_exp.reconstruction import SENSE, L1Wavelet, TotalVariation, ZeroFilled
from alps_exp.reconstruction.transforms import Differences, Wavelet
from alps_exp.samplers import DPS

SIZE = 16
SHAPE = torch.Size((2, 1, SIZE, SIZE))


@pytest.fixture(scope="module")
def scan():
    """Return an operator for two images with masks of their own, and measurements of two discs."""
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    discs = np.stack([np.hypot(rows, columns) < radius for radius in (6, 4)])[:, None]
    truth = torch.from_numpy(discs * np.exp(0.1j * columns))
    maps = BirdcageMaps(4)({"image": truth}).to(torch.complex128)
    generator = torch.Generator().manual_seed(0)
    mask = (torch.rand(2, 1, SIZE, SIZE, generator=generator) < 0.5).double()
    operator = MultiCoilMRI(mask, maps, 0.02, tolerance=1e-4)
    noise = 2**0.5 * torch.randn(maps.shape, dtype=maps.dtype, generator=generator)
    return operator, operator.measure(truth, noise), truth


def run(sampler, operator, y, num_samples=1):
    return sampler(NullPrior(), operator, y, num_samples)


@pytest.mark.parametrize(
    ("sampler", "application", "weight", "iterations", "tolerance"),
    [
        (SENSE(0.05), sigpy.mri.app.SenseRecon, 0.05, 200, 0.01),
        # sigpy takes the transform for unitary, which it is not at the border: its result is near the minimizer only
        (L1Wavelet(0.02, 100), sigpy.mri.app.L1WaveletRecon, 0.02, 200, 0.05),
        (TotalVariation(0.02, 100), sigpy.mri.app.TotalVariationRecon, 0.02, 400, 0.01),
    ],
)
def test_the_minimizer_is_that_of_sigpy(scan, sampler, application, weight, iterations, tolerance):
    operator, y, _ = scan
    estimates = run(sampler, operator, y)
    assert estimates.samples.shape == (1, *SHAPE)
    for i in range(2):
        arguments = y[i].numpy(), operator.sensitivity_maps[i, 0].numpy(), weight
        weights = operator.mask[i, 0].double().numpy()
        expected = application(*arguments, weights=weights, max_iter=iterations, show_pbar=False).run()
        error = estimates.mean[i, 0].numpy() - expected
        assert np.linalg.norm(error) < tolerance * np.linalg.norm(expected)


@pytest.mark.parametrize("sampler", [L1Wavelet(0.02, 200), TotalVariation(0.02, 200)], ids=["wavelet", "variation"])
def test_no_small_change_improves_the_objective(scan, sampler):
    operator, y, _ = scan
    x = run(sampler, operator, y).mean
    W = sampler.transform(x)

    def objective(x):
        penalty = W.forward(x).abs().sum()
        return (operator.forward(x) - y).abs().square().sum() / 2 + sampler.weight * penalty

    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        change = 0.02 * torch.randn(SHAPE, dtype=x.dtype, generator=generator)
        assert objective(x + change) > objective(x) - 1e-5


@pytest.mark.parametrize("transform", [Wavelet(SHAPE), Differences()], ids=["wavelet", "differences"])
def test_transforms_have_an_adjoint_and_a_bounded_norm(transform):
    x = torch.randn(SHAPE, dtype=torch.complex128)
    p = torch.randn_like(transform.forward(x))
    left = torch.vdot(transform.forward(x).flatten(), p.flatten())
    right = torch.vdot(x.flatten(), transform.adjoint(p).flatten())
    assert torch.allclose(left, right)
    for _ in range(50):
        x = transform.adjoint(transform.forward(x / x.norm()))
    assert x.norm() <= transform.square_norm * (1 + 1e-9)


def test_differences_are_those_of_sigpy():
    x = torch.randn(SHAPE, dtype=torch.complex128)
    expected = sigpy.linop.FiniteDifference(SHAPE, axes=(-2, -1))(x.numpy())
    np.testing.assert_allclose(Differences().forward(x).numpy(), expected)


SAMPLERS = [ZeroFilled(), SENSE(), L1Wavelet(0.02, 30), TotalVariation(0.02, 30)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
def test_an_image_is_the_same_alone_as_in_a_batch_and_asks_no_prior(scan, sampler):
    operator, y, _ = scan
    together = run(sampler, operator, y, num_samples=2)
    alone = run(sampler, MultiCoilMRI(operator.mask[1:], operator.sensitivity_maps[1:], 0.02, 1e-4), y[1:])
    assert torch.allclose(alone.samples[0, 0], together.samples[1, 1], rtol=0, atol=1e-9)
    assert not torch.as_tensor([together.nfe_forward.sum(), together.nfe_vjp.sum()]).any()
    assert sampler.estimate == "point"


@pytest.mark.parametrize("sampler", SAMPLERS[1:], ids=lambda sampler: type(sampler).__name__)
def test_penalties_help_beyond_zero_filling(scan, sampler):
    operator, y, truth = scan
    errors = [(run(each, operator, y).mean - truth).abs().square().mean() for each in (sampler, ZeroFilled())]
    assert errors[0] < errors[1] / 2


def test_real_images_of_other_operators_are_reconstructed_too():
    truth = torch.zeros(2, 3, 16, 16, dtype=torch.float32)
    truth[..., 4:12, 5:11] = 1
    torch.manual_seed(0)
    operator = Inpainting((torch.rand(2, 1, 16, 16) < 0.6).float(), noise_std=0.02)
    y = operator.measure(truth, torch.randn_like(truth))
    estimate = run(TotalVariation(0.01, 200), operator, y).mean
    assert estimate.dtype == torch.float32
    assert (estimate - truth).square().mean().sqrt() < 0.15
    assert run(L1Wavelet(0.02, 50), operator, y).mean.shape == truth.shape


def test_no_prior_is_a_clear_error_where_one_is_needed(scan):
    operator, y, _ = scan
    with pytest.raises(ValueError, match="prior.*none"):
        run(DPS(), operator, y)


@pytest.mark.parametrize(
    ("build", "given"),
    [(lambda: SENSE(0), 0), (lambda: L1Wavelet(weight=-1.0), -1.0), (lambda: TotalVariation(0.1, 0), 0)],
)
def test_impossible_requests_are_refused(build, given):
    with pytest.raises(ValueError, match=f" {given}$"):
        build()
