"""Base class of reconstructions that use no learned prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from alps_exp.estimates import EstimateKind, Estimates, chain_ids
from alps_exp.operators import LinearOperator
from alps_exp.priors.base import Prior
from alps_exp.representation import ShowsItsArguments


class Reconstruction(ShowsItsArguments, ABC):
    """Base class of deterministic reconstructions: one image per measurement, the same for every seed and sample.

    It has the call signature of a `Sampler`, so the two are interchangeable, but no schedule, and it ignores the prior.
    """

    estimate: ClassVar[EstimateKind] = "point"
    prior_kind: ClassVar[None] = None
    independent: ClassVar[bool] = True

    def __call__(
        self,
        prior: Prior,
        operator: LinearOperator,
        y: Tensor,
        num_samples: int = 1,
        seed: int = 0,
        image_ids: Sequence[str] | None = None,
        *,
        first_sample: int = 0,
    ) -> Estimates:
        """Return the reconstruction of every image of the measurement `y` (B, ...), repeated `num_samples` times.

        Raises
        ------
        ValueError
            If the operator and the measurement are incompatible, or num_samples < 1.
        """
        chain_ids(y, num_samples, image_ids)
        x = self.reconstruct(operator, y)
        calls = torch.zeros(len(y), dtype=torch.float64)
        return Estimates(x.expand(num_samples, *x.shape), nfe_forward=calls, nfe_vjp=calls)

    @abstractmethod
    def reconstruct(self, operator: LinearOperator, y: Tensor) -> Tensor:
        """Reconstruct images (B, C, H, W) from the measurement y (B, ...)."""
