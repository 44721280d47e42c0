"""Reconstructions without a learned prior: what they know of images is a formula, not a network."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from alps_exp.operators import LinearOperator
from alps_exp.randomness import NoiseSource
from alps_exp.samplers.base import Sampler
from alps_exp.samplers.batched_prior import BatchedPrior


class Reconstruction(Sampler):
    """A reconstruction without a prior: one image from a measurement, the same for every seed and sample."""

    estimate = "point"
    last_scale = None

    def __init__(self) -> None:
        self.prior_kind, self.micro_batch = None, None

    @abstractmethod
    def reconstruct(self, operator: LinearOperator, y: Tensor) -> Tensor:
        """Return the images (B, C, H, W) of the measurement y (B, ...)."""

    def sample(
        self, prior: BatchedPrior, operator: LinearOperator, y: Tensor, noise: NoiseSource
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the reconstruction S times, (S, B, C, H, W); the prior is not asked and there are no diagnostics."""
        x = self.reconstruct(operator, y)
        return x.expand(noise.num_samples, *x.shape), {}
