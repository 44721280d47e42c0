"""The Gaussian prior against its density."""

import pytest
import torch

from alps_exp.priors import GaussianPrior


def random_prior(dtype):
    torch.manual_seed(0)
    root = torch.randn(12, 12, dtype=dtype)
    return GaussianPrior(torch.randn(3, 2, 2, dtype=dtype), root @ root.mH / 12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_energy_is_the_log_density_of_the_noisy_prior(dtype):
    prior = random_prior(dtype)
    x = torch.randn(5, 3, 2, 2, dtype=dtype)
    t = 0.3
    covariance = prior.vectors * prior.values @ prior.vectors.mH + t**2 * torch.eye(12)
    difference = (x - prior.mean).flatten(1)
    solved = torch.linalg.solve(covariance, difference.mT).mT
    energy, gradient = prior.energy_and_gradient(x, t)
    assert torch.allclose(energy / t**2, torch.linalg.vecdot(difference, solved).real / 2)
    assert torch.allclose(energy, prior.energy(x, t))
    assert torch.allclose(gradient.flatten(1) / t**2, solved)


def test_denoiser_is_the_posterior_mean():
    prior = random_prior(torch.float64)
    x = torch.randn(5, 3, 2, 2, dtype=torch.float64)
    t = torch.linspace(0.1, 2, 5, dtype=torch.float64)
    covariance = prior.vectors * prior.values @ prior.vectors.mT
    for i in range(5):
        gain = covariance @ torch.linalg.inv(covariance + t[i] ** 2 * torch.eye(12))
        expected = prior.mean.flatten() + gain @ (x[i] - prior.mean).flatten()
        assert torch.allclose(prior.denoise(x, t)[i].flatten(), expected)


def test_covariances_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 3\).* 4"):
        GaussianPrior(torch.zeros(1, 2, 2), torch.eye(3))
    with pytest.raises(ValueError, match="eigenvalue.*-1"):
        GaussianPrior(torch.zeros(1, 2, 2), torch.diag(torch.tensor([-1.0, 1, 1, 1])))
