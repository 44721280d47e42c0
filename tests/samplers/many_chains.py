"""Many chains of one image, quickly, and a posterior of two modes."""

import math

import torch

from alps_exp.operators import Inpainting
from alps_exp.priors import GaussianMixturePrior
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.problem import Problem


class OneStream:
    """Noise of many chains from one generator: quicker than one for each."""

    def __init__(self, num_samples, seed=0):
        self.num_samples, self.generator = num_samples, torch.Generator().manual_seed(seed)

    def draw(self, x):
        parts = math.sqrt(2) if x.is_complex() else 1
        return parts * torch.randn((self.num_samples, *x.shape), dtype=x.dtype, generator=self.generator)


def last_state(sampler, prior, operator, y, chains):
    return sampler.sample(Problem(BatchedPrior(prior, None), operator, y, OneStream(chains)))


def run(sampler, prior, operator, y, chains):
    last = last_state(sampler, prior, operator, y, chains)
    return last.x, last.diagnostics


def two_modes(variance):
    """Return one pixel with modes at +-1 of equal weight, measured as 0.1 with noise 0.3."""
    means = torch.tensor([-1.0, 1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    covariances = torch.full((2, 1, 1), variance, dtype=torch.float64)
    prior = GaussianMixturePrior(torch.tensor([0.5, 0.5], dtype=torch.float64), means, covariances)
    return prior, Inpainting(torch.ones(1, 1, 1, 1), 0.3), torch.full((1, 1, 1, 1), 0.1, dtype=torch.float64)
