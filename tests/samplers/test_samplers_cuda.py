"""A sample on a GPU is the sample of the CPU."""

import pytest
import torch
from test_samplers import SAMPLERS

from alps_exp.operators import Inpainting
from alps_exp.priors import Denoiser, Energy, GaussianMixturePrior
from alps_exp.randomness import KeyedNoise, measurement_noise

pytestmark = pytest.mark.cuda


def restore(sampler, prior, device):
    """Return the samples and the network calls of two images."""
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(2, 1, 16, 16, generator=generator) < 0.4).float()
    truth = torch.rand(2, 3, 16, 16, generator=generator, dtype=torch.float64) * 2 - 1
    operator = Inpainting(masks.to(device), noise_std=0.1)
    y = operator.measure(truth.to(device), measurement_noise(3, ["a", "b"], truth.to(device)))
    estimates = sampler(prior.to(device, torch.float64), operator, y, num_samples=2, seed=3, image_ids=["a", "b"])
    assert estimates.samples.device.type == device.type
    return estimates.samples.cpu(), estimates.nfe_forward.cpu()


@pytest.mark.parametrize("name", SAMPLERS)
def test_samples_are_those_of_the_cpu(name, network, gpu):
    sampler = SAMPLERS[name][0]
    prior = (Energy if sampler.prior_kind == "energy" else Denoiser)(network(3))
    here, calls_here = restore(sampler, prior, torch.device("cpu"))
    there, calls_there = restore(sampler, prior, gpu)
    assert torch.equal(calls_here, calls_there)
    assert (there - here).norm() <= 1e-6 * here.norm()


def test_noise_is_that_of_the_cpu(gpu):
    like = torch.zeros(2, 3, 8, 8)
    here, there = (KeyedNoise(0, ["a", "b"], 3).draw(x) for x in (like, like.to(gpu)))
    assert there.is_cuda and torch.equal(there.cpu(), here)


def test_draws_of_a_closed_form_are_those_of_the_cpu(gpu):
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(3, 1, 4, 4, generator=generator)
    roots = torch.randn(3, 16, 16, generator=generator)
    prior = GaussianMixturePrior(torch.ones(3) / 3, means, roots @ roots.mT)
    here = prior.sample(5, torch.Generator().manual_seed(1))
    there = prior.to(gpu).sample(5, torch.Generator().manual_seed(1))
    assert there.is_cuda and (there.cpu() - here).norm() <= 1e-4 * here.norm()
