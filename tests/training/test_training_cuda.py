"""Losses of all trainings on a GPU are those of the CPU, with their gradients."""

import pytest
import torch

from alps_exp.priors import Denoiser
from alps_exp.training import CosineAdam, EnergyDistillation, EnergyTraining, LogNormalSigma, TeacherTraining

pytestmark = pytest.mark.cuda


@pytest.fixture(params=["teacher", "energy", "scratch"])
def training(request, network):
    if request.param == "teacher":
        return TeacherTraining(network(1), CosineAdam(), LogNormalSigma())
    if request.param == "scratch":
        return EnergyTraining(network(1), CosineAdam(), LogNormalSigma())
    return EnergyDistillation(Denoiser(network(1)), CosineAdam(), LogNormalSigma())


def loss_and_gradient(training, device):
    """Return the losses of four images, and the gradient of their mean with respect to all weights."""
    training = training.to(device, torch.float64)
    training.on_fit_start()
    training.zero_grad()
    generator = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(4, 1, 16, 16, generator=generator, dtype=torch.float64) for _ in range(2))
    sigma = torch.tensor([0.05, 0.3, 1.0, 5.0], dtype=torch.float64)
    noisy = x + sigma[:, None, None, None] * noise
    losses = training.loss(x.to(device), noisy.to(device), sigma.to(device))
    losses.mean().backward()
    gradients = [p.grad.flatten() for p in training.network.parameters() if p.grad is not None]
    return losses.detach().cpu(), torch.cat(gradients).cpu()


def test_loss_and_gradient_are_those_of_the_cpu(training, gpu):
    for here, there in zip(
        loss_and_gradient(training, torch.device("cpu")), loss_and_gradient(training, gpu), strict=True
    ):
        assert (there - here).norm() <= 1e-8 * here.norm()


def test_validation_noise_is_that_of_the_cpu(training, gpu):
    x = torch.zeros(2, 1, 16, 16)
    here, there = (training.validation_noise(y, 0.5, ["a", "b"])[0] for y in (x, x.to(gpu)))
    assert there.is_cuda and torch.equal(there.cpu(), here)
