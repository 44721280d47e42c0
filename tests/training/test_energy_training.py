"""Energies from scratch, by denoising score matching: what the loss is, and what it has in common with distillation."""

import pytest
import torch
from torch import nn

from alps_exp.priors import Denoiser, Energy
from alps_exp.training import CosineAdam, EnergyDistillation, EnergyTraining, LogNormalSigma

MADE = (CosineAdam(), LogNormalSigma())


def test_the_loss_is_the_error_of_the_denoised_image_in_edms_weight(network):
    energy = Energy(network(1, seed=2))
    training = EnergyTraining(energy.network, *MADE)
    x, noisy, sigma = torch.randn(2, 1, 16, 16), torch.randn(2, 1, 16, 16), torch.tensor([0.5, 1.0])
    error = energy.denoise(noisy, sigma) - x
    weight = (sigma.square() + 0.25) / (0.5 * sigma).square()
    assert torch.allclose(training.loss(x, noisy, sigma), weight * error.square().mean(dim=(1, 2, 3)), rtol=1e-4)
    assert torch.allclose(training.errors(x, noisy, sigma)["energy"], error, atol=1e-5)


def test_clean_images_around_those_of_the_teacher_add_their_variance_and_nothing_else(network):
    """The mean over x = D + e and x = D - e is the loss of a distillation, and the square of e, for any energy."""
    teacher, energy = Denoiser(network(1, seed=1)), Energy(network(1, seed=2))
    distillation = EnergyDistillation(teacher, *MADE, start=energy)
    training = EnergyTraining(network(1, seed=3), *MADE, start=energy)
    noisy, sigma, e = torch.randn(2, 1, 16, 16), torch.tensor([0.5, 1.0]), torch.randn(2, 1, 16, 16)
    d = teacher.denoise(noisy, sigma)
    mean = (training.loss(d + e, noisy, sigma) + training.loss(d - e, noisy, sigma)) / 2
    variance = training.weight(sigma) * e.square().mean(dim=(1, 2, 3))
    assert torch.allclose(mean, distillation.loss(d, noisy, sigma) + variance, rtol=1e-4)


class Scaling(nn.Module):
    """psi = factor x, whose energy (1 - factor)^2 ||x||^2 / 2 is that of a Gaussian."""

    sigma_data = 0.5

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x, sigma, augment_labels=None):
        return self.factor * x


def minimizer(training, x, noisy, sigma):
    """Return |1 - factor| with the least loss; the energy has no sign of it."""
    optimizer = torch.optim.LBFGS(training.network.parameters(), max_iter=50, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = training.loss(x, noisy, sigma).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return abs(1 - training.network.factor.item())


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_on_gaussian_images_both_trainings_have_the_minimizer_of_the_closed_form(sigma):
    std, generator = 0.5, torch.Generator().manual_seed(0)
    x, noise = (torch.randn(100, 1, 64, 64, generator=generator) for _ in range(2))
    x, scales = std * x, torch.full((100,), sigma)
    noisy = x + sigma * noise
    teacher, start = Denoiser(Scaling(std**2 / (std**2 + sigma**2))), Energy(Scaling(0.2))
    expected = sigma / (std**2 + sigma**2) ** 0.5
    distillation = EnergyDistillation(teacher, *MADE, start=start)
    assert minimizer(distillation, x, noisy, scales) == pytest.approx(expected, rel=1e-4)
    assert minimizer(EnergyTraining(None, *MADE, start=start), x, noisy, scales) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("kind", [Energy, Denoiser])
def test_it_goes_on_from_an_energy_and_starts_from_the_weights_of_a_teacher(network, kind):
    start = kind(network(1, seed=2))
    before = [parameter.clone() for parameter in start.network.parameters()]
    training = EnergyTraining(network(1, seed=3), *MADE, start=start)
    for trained, given in zip(training.network.parameters(), before, strict=True):
        assert torch.equal(trained, given)
        nn.init.zeros_(trained)
    assert all(torch.equal(now, then) for now, then in zip(start.network.parameters(), before, strict=True))
