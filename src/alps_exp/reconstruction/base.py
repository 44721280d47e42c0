"""Reconstructions without a learned prior: what they know of images is a formula, not a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from alps_exp.estimates import Estimates, chain_ids
from alps_exp.operators import LinearOperator
from alps_exp.priors.base import Prior


class Reconstruction(ABC):
    """One image from a measurement, the same for every seed and sample; it has no schedule and asks no prior.

    It is called as a `Sampler` is, so that one can stand in for the other.
    """

    estimate: ClassVar = "point"
    prior_kind: ClassVar = None
    independent: ClassVar = True

    def __call__(
        self,
        prior: Prior,
        operator: LinearOperator,
        y: Tensor,
        num_samples: int = 1,
        seed: int = 0,
        image_ids: Sequence[str] | None = None,
        first_sample: int = 0,
    ) -> Estimates:
        """Return the reconstruction of every image of the measurement `y` (B, ...), `num_samples` times.

        Raises
        ------
        ValueError
            If the operator and the measurement do not fit each other, or there is no sample to return.
        """
        chain_ids(y, num_samples, image_ids)
        x = self.reconstruct(operator, y)
        calls = torch.zeros(len(y), dtype=torch.float64)
        return Estimates(x.expand(num_samples, *x.shape), nfe_forward=calls, nfe_vjp=calls)

    @abstractmethod
    def reconstruct(self, operator: LinearOperator, y: Tensor) -> Tensor:
        """Return the images (B, C, H, W) of the measurement y (B, ...)."""
