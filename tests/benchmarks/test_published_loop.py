"""The published loop of the benchmark is the published sampler, written another way."""

import torch
from benchmark_cases import SmoothEnergy

from alps_exp.benchmarks.published_loop import INNER_STEPS, SCALES, published_sample
from alps_exp.operators import Inpainting
from alps_exp.samplers import ALPS, KarrasSchedule
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.problem import Problem

ETA = 0.05


class SameNoise:
    """The draws of the loop's generator, in its order."""

    num_samples = 1

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, x):
        return torch.randn(x.shape, generator=self.generator, dtype=x.dtype)[None]


def test_it_is_the_sampler_with_reference_noise():
    torch.manual_seed(0)
    mask = (torch.rand(1, 1, 8, 8) < 0.4).float()
    operator = Inpainting(mask, ETA)
    y = operator.forward(torch.randn(1, 1, 8, 8))
    energy = SmoothEnergy()
    sample = published_sample(energy.psi, mask, y, ETA, seed=3)
    sampler = ALPS(KarrasSchedule(100.0, 0.1, SCALES, 5.0, INNER_STEPS), noise="reference", annealing="static")
    expected = sampler.sample(Problem(BatchedPrior(energy, None), operator, y, SameNoise(3))).x[0]
    assert sample.std() > 0.1
    torch.testing.assert_close(sample, expected, rtol=1e-4, atol=1e-4)
