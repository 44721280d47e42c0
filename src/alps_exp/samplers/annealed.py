"""Samplers that anneal their chains: the same step at every noise scale."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from alps_exp.samplers.base import Sampler
from alps_exp.samplers.problem import Problem, State
from alps_exp.samplers.schedules import to_zero


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

    draws_last: ClassVar[bool] = False
    """Whether the last step, to scale 0, adds noise all the same."""

    def chain(self, problem: Problem) -> Iterator[State]:
        """Yield the state after each `step`; there are no diagnostics."""
        x = self.start(problem)
        for t, s in to_zero(self.schedule()):
            x = self.step(problem, x, t, s)
            yield problem.state(x, t, noiseless=None if s or self.draws_last else x)

    def start(self, problem: Problem) -> Tensor:
        """Return the initial chains (S, B, C, H, W): noise of the first scale, at which images are negligible."""
        return self.schedule()[0] * problem.draw()

    @abstractmethod
    def step(self, problem: Problem, x: Tensor, t: float, s: float) -> Tensor:
        """Return the chains (S, B, C, H, W) at scale s < t from those at scale t; s is 0 in the last step."""
