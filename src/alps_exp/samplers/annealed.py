"""Samplers that anneal their chains: the same step at every noise scale."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.randomness import NoiseSource
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.batched_prior import BatchedPrior
from alps_exp.samplers.schedules import to_zero


@dataclass(frozen=True)
class Problem:
    """The posterior that is sampled: a prior, and the measurement y = A x + eta n of a batch of images."""

    prior: BatchedPrior
    operator: LinearOperator
    y: Tensor
    noise: NoiseSource

    @cached_property
    def adjoint(self) -> Tensor:
        """A^H y, of the shape (B, C, H, W) and the dtype of the images."""
        return self.operator.adjoint(self.y)

    def draw(self) -> Tensor:
        """Return fresh standard normal noise (S, B, C, H, W), one draw for every chain."""
        return self.noise.draw(self.adjoint)


class AnnealedSampler(Sampler):
    """Base class of samplers that take one `step` from each noise scale to the next, the last one to zero.

    A subclass needs no more than a `step`:

    >>> import torch
    >>> from alps_exp.operators import Inpainting
    >>> from alps_exp.priors import smooth_gaussian
    >>> from alps_exp.samplers import GeometricSchedule
    >>> class PlugAndPlay(AnnealedSampler):
    ...     def step(self, problem, x, t, s):
    ...         clean = problem.operator.posterior_mean(problem.prior.denoise(x, t), problem.y, t)
    ...         return clean + s * problem.draw()
    >>> sampler = PlugAndPlay(GeometricSchedule(steps=10), "energy", None)
    >>> operator = Inpainting(torch.ones(1, 1, 8, 8), noise_std=0.1)
    >>> sampler(smooth_gaussian(size=8), operator, torch.zeros(1, 1, 8, 8), num_samples=4).samples.shape
    torch.Size([4, 1, 1, 8, 8])
    """

    def sample(
        self, prior: BatchedPrior, operator: LinearOperator, y: Tensor, noise: NoiseSource
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return samples (S, B, C, H, W); there are no diagnostics."""
        problem = Problem(prior, operator, y, noise)
        x = self.start(problem)
        for t, s in self.progress(to_zero(self.schedule())):
            x = self.step(problem, x, t, s)
        return x, {}

    def start(self, problem: Problem) -> Tensor:
        """Return the initial chains (S, B, C, H, W): noise of the first scale, at which images are negligible."""
        return self.schedule()[0] * problem.draw()

    @abstractmethod
    def step(self, problem: Problem, x: Tensor, t: float, s: float) -> Tensor:
        """Return the chains (S, B, C, H, W) at scale s < t from those at scale t; s is 0 in the last step."""
